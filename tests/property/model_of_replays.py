"""What must be true of replays of destinations: what they open and how far they got change together."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.model import HELD_STATES, Addition, DeliveryDraft, DeliveryState, Replay, ReplayOf, ReplayState
from pipeline.store.transactions.replays import Opened, Portion
from tests.property.model_of_deliveries import ModelOfDeliveries


@dataclass
class ModelOfReplays:
    """The replays, and the deliveries that they open."""

    owing: ModelOfDeliveries
    replays: dict[str, Replay] = field(default_factory=dict)
    _by: dict[str, str] = field(default_factory=dict)
    """Of each delivery the replay that opened it last."""

    def begin(self, replay: Replay) -> Replay | None:
        """One of a destination runs at a time; it is returned where it keeps another from beginning."""
        running = next((each for each in self.running() if each.destination == replay.destination), None)
        if running is None:
            self.replays[replay.id] = replay
        return running

    def running(self) -> list[Replay]:
        """Return the replays that run."""
        return [each for each in self.replays.values() if each.state is ReplayState.RUNNING]

    def advance(self, seen: Replay, portion: Portion, tries: int, now: datetime) -> set[Opened] | None:
        """A portion is opened once: by whoever saw the replay where it stands."""
        replay = self.replays[seen.id]
        if replay.state is not ReplayState.RUNNING or seen.cursor != replay.cursor:
            return None
        states, pending = (
            _stored(replay),
            {each for each in self.owing.deliveries if self.owing.deliveries[each].state is DeliveryState.PENDING},
        )
        opened = [
            each.delivery_id
            for each in portion.reopenings
            if self.owing.open(each.delivery_id, states, tries, each.new_message_id, now, is_by_hand=False)
        ]
        opened += [each.id for each in portion.additions if self._add(each, replay, tries, now)]
        asked = len(portion.reopenings) + len(portion.additions)
        done, skipped = replay.done + len(opened), replay.skipped + asked - len(opened)
        total = None if replay.total is None else max(replay.total, done + skipped)
        self.replays[replay.id] = replace(replay, cursor=portion.cursor, done=done, skipped=skipped, total=total)
        self._by |= dict.fromkeys(opened, replay.id)
        subjects = {each: self.owing.deliveries[each].subject_id for each in opened}
        return {
            Opened(delivery_id=each, subject_id=subjects[each], is_of_batch=False, was_pending=each in pending)
            for each in opened
        }

    def _add(self, new: Addition, replay: Replay, tries: int, now: datetime) -> bool:
        """Only where the message is there still, and has no such delivery yet."""
        message = self.owing.messages.get(new.message_id)
        if message is None or (new.message_id, replay.destination, new.recipient) in self.owing.owed():
            return False
        kind = self.owing.destinations.kinds[replay.destination]
        draft = DeliveryDraft(
            id=new.id, destination=replay.destination, kind=kind, max_attempts=tries, recipient=new.recipient
        )
        self.owing.owe(message, draft, None)
        self.owing.change(new.id, created_at=now, due_at=now, replayed_at=now)
        return True

    def end(self, replay_id: str, state: ReplayState, now: datetime) -> bool:
        """It ends once; completed, it has skipped what it did not open."""
        replay = self.replays[replay_id]
        if replay.state is not ReplayState.RUNNING:
            return False
        is_whole = state is ReplayState.COMPLETED and replay.total is not None
        skipped = (replay.total or 0) - replay.done if is_whole else replay.skipped
        self.replays[replay_id] = replace(replay, state=state, ended_at=now, skipped=skipped)
        return True

    def opened_by(self, replay_id: str) -> Counter[tuple[str, DeliveryState]]:
        """Count the deliveries that a replay was the last to open, by destination and state."""
        there = [
            self.owing.deliveries[each]
            for each, by in self._by.items()
            if by == replay_id and each in self.owing.deliveries
        ]
        return Counter((each.destination, each.state) for each in there)


def _stored(replay: Replay) -> set[DeliveryState]:
    """Return the states that a replay opens; what is held is stored as waiting."""
    states = {DeliveryState(each) for each in replay.of - {ReplayOf.HELD, ReplayOf.MISSING}}
    return states | HELD_STATES if ReplayOf.HELD in replay.of else states

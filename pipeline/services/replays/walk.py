"""What a replay of a destination is to open, in the order in which it does: the deliveries that stand as it names, then
the messages that have none.

Both are walked along their keys, from the replay's cursor on, a page of the store at a time. Nothing is changed here,
so that a dry run and the count of what there is to do take the same way.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import orjson

from pipeline.ids import IdSource, first_id_at
from pipeline.model import (
    HELD_STATES,
    Addition,
    AlertMessage,
    AnyMessage,
    BatchMessage,
    DeliveryState,
    Reopening,
    Replay,
    ReplayOf,
)
from pipeline.services.deliveries.standing import Standing
from pipeline.services.routes import Goal
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.replays import Portion
from pipeline.values import value_json

_PAGE = 500
_TICK = timedelta(milliseconds=1)
_DELIVERY, _MESSAGE = "delivery", "message"
_OF = {
    DeliveryState.DEAD: ReplayOf.DEAD,
    DeliveryState.DELIVERED: ReplayOf.DELIVERED,
    DeliveryState.CANCELLED: ReplayOf.CANCELLED,
    DeliveryState.RETRYING: ReplayOf.RETRYING,
}
"""Where the destination takes deliveries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """One delivery to be opened, or one message whose deliveries are to be made; they go together."""

    of: ReplayOf
    portion: Portion

    @property
    def count(self) -> int:
        """Return how many deliveries it opens."""
        return len(self.portion.reopenings) + len(self.portion.additions)


class ReplayWalk:
    """Finds what replays are of."""

    def __init__(self, *, store: Store, current: Current, standing: Standing, ids: IdSource) -> None:
        self._store = store
        self._current = current
        self._standing = standing
        self._ids = ids

    async def pages(self, replay: Replay) -> AsyncIterator[Sequence[Find]]:
        """Yield all that is left for a replay from its cursor on, some at a time, in order."""
        place, _, rest = replay.cursor.partition(" ")
        since, until = first_id_at(replay.since), first_id_at(replay.until + _TICK)
        if place != _MESSAGE and replay.of != {ReplayOf.MISSING}:
            async for page in self._deliveries(replay, rest or since, until):
                yield page
        if ReplayOf.MISSING in replay.of:
            job_id, _, message_id = rest.partition(" ") if place == _MESSAGE else ("", "", "")
            async for page in self._messages(replay, (job_id, message_id), since, until):
                yield page

    async def _deliveries(self, replay: Replay, after: str, until: str) -> AsyncIterator[Sequence[Find]]:
        while True:
            found = await self._store.replays.deliveries(replay.destination, after=after, below=until, most=_PAGE)
            yield [
                Find(of=of, portion=Portion(cursor=f"{_DELIVERY} {delivery_id}", reopenings=[again]))
                for delivery_id, state in found
                if (of := self._of(replay.destination, state)) in replay.of
                for again in [Reopening(delivery_id=delivery_id, new_message_id=self._new_message_id(replay))]
                if of is not None
            ]
            if len(found) < _PAGE:
                return
            after = found[-1][0]

    def _of(self, destination: str, state: DeliveryState) -> ReplayOf | None:
        if state in HELD_STATES and self._standing.takers.why_held(destination, state):
            return ReplayOf.HELD
        return _OF.get(state)

    async def _messages(
        self, replay: Replay, after: tuple[str, str], since: str, until: str
    ) -> AsyncIterator[Sequence[Find]]:
        position: tuple[str, str] | None = after
        while position is not None:
            messages, position = await self._store.replays.unsent(
                replay.destination, after=position, since=since, until=until, most=_PAGE
            )
            for message in messages:
                goal = self._goal(message, replay.destination)
                # One at a time: a result may be large, and is held only while its filters look at it.
                if goal is not None and not await self._is_filtered(goal, message):
                    yield [self._addition(replay, goal, message)]

    def _goal(self, message: AnyMessage, destination: str) -> Goal | None:
        if isinstance(message, AlertMessage):
            return None  # nobody but its destinations was to hear of it
        function = message.function
        goals = self._current.setup.goals.get((function, message.type), ())
        return next((goal for goal in goals if goal.route.name == destination), None)

    async def _is_filtered(self, goal: Goal, message: AnyMessage) -> bool:
        """Tell whether the message would have been filtered as it came to be."""
        if not goal.filters:
            return False
        value_of: Callable[[], bytes] | None = None
        if isinstance(message, BatchMessage):
            value_of = partial(orjson.dumps, message.batch)
        elif (result := await self._store.replays.result_of(message)) is not None:
            value_of = partial(value_json, result)
        return await asyncio.to_thread(goal.is_filtered, value_of)

    def _addition(self, replay: Replay, goal: Goal, message: AnyMessage) -> Find:
        additions = [
            Addition(
                id=self._ids.new(),
                message_id=message.id,
                subject_id=message.subject_id,
                recipient=recipient,
                new_message_id=self._new_message_id(replay),
            )
            for recipient in goal.recipients
        ]
        cursor = f"{_MESSAGE} {message.subject_id} {message.id}"
        return Find(of=ReplayOf.MISSING, portion=Portion(cursor=cursor, additions=additions))

    def _new_message_id(self, replay: Replay) -> str | None:
        return self._ids.message_id() if replay.is_renewing else None

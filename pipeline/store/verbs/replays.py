"""The store's verbs for replays of destinations; what `Store` says of verbs holds here."""

from datetime import datetime
from functools import partial

from pipeline.model import AnyMessage, DeliveryState, Replay, ReplayState, Result
from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Write
from pipeline.store.reading import replays as replay_finding
from pipeline.store.reading.replays import MessageKey
from pipeline.store.transactions import replays
from pipeline.store.transactions.replays import Opened, Portion


class ReplayVerbs:
    """All that can be asked about replays of destinations."""

    def __init__(self, write: Write, reader: Reader) -> None:
        self._write = write
        self._reader = reader

    async def insert(self, replay: Replay) -> Replay | None:
        """Store a replay that begins; where another one of its destination runs, return that, and nothing changes."""
        found: Replay | None = await self._write(partial(replays.insert, replay=replay))
        return found

    async def note_total(self, replay_id: str, total: int) -> None:
        """Note how many a replay will open, where that was not noted before. More that it opens or skips raise it."""
        await self._write(partial(replays.note_total, replay_id=replay_id, total=total))

    async def advance(
        self, replay: Replay, portion: Portion, *, kind: str, max_attempts: int, now: datetime
    ) -> list[Opened] | None:
        """Open deliveries, with up to `max_attempts` further attempts each, and move the replay's cursor on.

        Returns which were opened, or None where the replay does not stand at its cursor any more, or does not run:
        then nothing changed.
        """
        verb = partial(replays.advance, replay=replay, portion=portion, kind=kind, max_attempts=max_attempts, now=now)
        opened: list[Opened] | None = await self._write(verb)
        return opened

    async def end(self, replay_id: str, state: ReplayState, *, now: datetime) -> bool:
        """End a replay that runs; False for any other. Completed, it has skipped what of its total it did not open."""
        return bool(await self._write(partial(replays.end, replay_id=replay_id, state=state, now=now)))

    async def prune(self, most: int, *, ended_before: datetime) -> int:
        """Delete up to `most` replays that ended before a moment; return how many."""
        deleted: int = await self._write(partial(replays.prune, most=most, ended_before=ended_before))
        return deleted

    # Reading

    async def running(self) -> list[Replay]:
        """Return the replays that run."""
        return await self._reader.read(replays.running)

    async def get(self, replay_id: str) -> Replay | None:
        """Return a replay, or None."""
        return await self._reader.read(partial(replays.get, replay_id=replay_id))

    async def opened_by(self, replay_id: str) -> dict[tuple[str, DeliveryState], int]:
        """Count the deliveries that a replay was the last to open, by destination and state."""
        return await self._reader.read(partial(replays.opened_by, replay_id=replay_id))

    async def list_all(self, *, before: str | None, most: int, destination: str | None = None) -> list[Replay]:
        """Return up to `most` replays older than the id `before`, newest first."""
        return await self._reader.read(partial(replays.list_all, before=before, most=most, destination=destination))

    async def deliveries(
        self, destination: str, *, after: str, below: str, most: int
    ) -> list[tuple[str, DeliveryState]]:
        """Return the next `most` deliveries to a destination with ids between two, in order."""
        query = partial(replay_finding.deliveries, destination=destination, after=after, below=below, most=most)
        return await self._reader.read(query)

    async def unsent(
        self, destination: str, *, after: MessageKey, since: str, until: str, most: int
    ) -> tuple[list[AnyMessage], MessageKey | None]:
        """Return those of the next `most` messages that ended between two ids and have no delivery to a destination,
        without their results, and the last that was looked at, None at the end.
        """
        query = partial(
            replay_finding.unsent, destination=destination, after=after, since=since, until=until, most=most
        )
        return await self._reader.read(query)

    async def result_of(self, message: AnyMessage) -> Result | None:
        """Return the result that a stored message tells of, or None."""
        query = partial(replay_finding.result_of, subject_id=message.subject_id, message_id=message.id)
        return await self._reader.read(query)

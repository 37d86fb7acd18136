"""Replays of destinations: each is worked off at its rate, a few deliveries in each transaction, from its cursor on.

The store is authoritative for how far a replay got; what stands here is only which of them are under way.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from pipeline.clock import Clock
from pipeline.config.units import rate_per_s
from pipeline.model import Replay, ReplayOf, ReplayState
from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.patience import when_there_is_room
from pipeline.services.replays.walk import Find, ReplayWalk
from pipeline.services.routes import Route
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.replays import Opened, Portion
from pipeline.telemetry import Telemetry

_A_SECOND = 10
"""So many transactions a second, if there is enough to do."""
_MOST = 50
"""So many deliveries in one transaction."""


class Replays:
    """Works off the replays of all destinations, those that a dead service left first."""

    def __init__(
        self,
        *,
        store: Store,
        walk: ReplayWalk,
        lanes: DestinationLanes,
        changes: Changes,
        current: Current,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._walk = walk
        self._lanes = lanes
        self._changes = changes
        self._current = current
        self._clock = clock
        self._telemetry = telemetry
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: dict[str, asyncio.Event] = {}
        """What wakes each replay out of its pauses."""

    async def count(self, replay: Replay) -> Counter[ReplayOf]:
        """Return how many deliveries a replay would open now; nothing is stored."""
        counts: Counter[ReplayOf] = Counter()
        async for page in self._walk.pages(replay):
            for find in page:
                counts[find.of] += find.count
        return counts

    async def begin(self, replay: Replay) -> Replay | None:
        """Store a replay and work it off from now on; where another one of its destination runs, return that."""
        other = await when_there_is_room(partial(self._store.replays.insert, replay), self._clock)
        if other is None:
            self._telemetry.emit("replay.started", replay_id=replay.id, destination=replay.destination)
            self._begun.put_nowait(replay.id)
        return other

    async def cancel(self, replay: Replay) -> bool:
        """Open nothing more for a replay; False where it has ended. What it has opened stays open."""
        if not await self._end(replay, ReplayState.CANCELLED):
            return False
        self.wake(replay.id)
        return True

    def wake(self, replay_id: str | None = None) -> None:
        """Have a replay, or all of them, look whether it may go on, or is to."""
        for each, event in self._under_way.items():
            if replay_id in (None, each):
                event.set()

    async def serve(self) -> None:
        """Work off all replays, until cancelled."""
        for replay in await self._store.replays.running():
            self._begun.put_nowait(replay.id)
        async with asyncio.TaskGroup() as group:
            while True:
                replay_id = await self._begun.get()
                if replay_id not in self._under_way:
                    self._under_way[replay_id] = asyncio.Event()
                    group.create_task(self._work_off(replay_id))

    async def _work_off(self, replay_id: str) -> None:
        try:
            while (replay := await self._store.replays.get(replay_id)) and replay.state is ReplayState.RUNNING:
                if await self._until_end(await self._counted(replay)):
                    await self._end(replay, ReplayState.COMPLETED)
        finally:
            del self._under_way[replay_id]

    async def _counted(self, replay: Replay) -> Replay:
        if replay.total is None:
            total = (await self.count(replay)).total()
            await when_there_is_room(partial(self._store.replays.note_total, replay.id, total), self._clock)
        return replay

    async def _until_end(self, replay: Replay) -> bool:
        """Take one step after another; False where the replay is to be read again before it goes on."""
        rate, event = rate_per_s(replay.rate), self._under_way[replay.id]
        wait_s = 0.0  # before the next step, not after the last one
        async with aclosing(_portions(self._walk, replay, max(1, min(_MOST, round(rate / _A_SECOND))))) as portions:
            async for portion in portions:
                if wait_s:
                    await self._clock.sleep(wait_s, event)
                event.clear()  # before anything is looked at, so that no call goes unheard
                route = self._current.setup.routes.get(replay.destination)
                if route is None:
                    await event.wait()  # until there is another configuration
                    return False
                if (opened := await self._advance(replay, portion, route)) is None:
                    return False
                replay = dataclasses.replace(replay, cursor=portion.cursor)
                self._tell(replay, opened)
                wait_s = (len(portion.reopenings) + len(portion.additions)) / rate
        return True

    async def _advance(self, replay: Replay, portion: Portion, route: Route) -> list[Opened] | None:
        verb = partial(
            self._store.replays.advance, replay, portion, kind=route.kind, max_attempts=route.policy.max_attempts
        )
        return await when_there_is_room(lambda: verb(now=self._clock.now()), self._clock)

    def _tell(self, replay: Replay, opened: Sequence[Opened]) -> None:
        self._lanes.add({replay.destination: sum(not each.was_pending for each in opened)})
        for each in opened:
            self._changes.notify(each.subject_id)
            self._telemetry.emit(
                "delivery.replayed",
                delivery_id=each.delivery_id,
                job_id=None if each.is_of_batch else each.subject_id,
                destination=replay.destination,
            )

    async def _end(self, replay: Replay, state: ReplayState) -> bool:
        verb = partial(self._store.replays.end, replay.id, state, now=self._clock.now())
        if not await when_there_is_room(verb, self._clock):
            return False
        ended = await self._store.replays.get(replay.id) or replay
        self._telemetry.emit(
            "replay.ended",
            replay_id=replay.id,
            destination=replay.destination,
            state=state,
            done=ended.done,
            skipped=ended.skipped,
        )
        return True


async def _portions(walk: ReplayWalk, replay: Replay, most: int) -> AsyncGenerator[Portion, None]:
    """Yield what is left for a replay in portions of about `most` deliveries."""
    finds: list[Find] = []
    async for page in walk.pages(replay):
        for find in page:
            finds.append(find)
            if sum(each.count for each in finds) >= most:
                yield _joined(finds)
                finds = []
    if finds:
        yield _joined(finds)


def _joined(finds: Sequence[Find]) -> Portion:
    return Portion(
        cursor=finds[-1].portion.cursor,
        reopenings=[again for find in finds for again in find.portion.reopenings],
        additions=[new for find in finds for new in find.portion.additions],
    )

"""The pruner: sweeps the store once an hour, in small batches, and deletes what has outlived its retention."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from pipeline.clock import Clock
from pipeline.ids import first_id_at
from pipeline.services.patience import when_there_is_room
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.pruning import Cutoffs
from pipeline.telemetry import Telemetry

SWEEP_S = 3600.0
_MOST = 200
_PAUSE_S = 0.05


class Pruner:
    """Deletes ended jobs, with all that belongs to them, after their retention."""

    def __init__(self, *, store: Store, current: Current, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._telemetry = telemetry

    async def serve(self) -> None:
        """Sweep for ever."""
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Go over all jobs old enough to be of interest once; return how many were deleted."""
        cutoffs = self._cutoffs()
        newest = first_id_at(max(cutoffs.succeeded, cutoffs.failed, cutoffs.dead))
        deleted, after = 0, ""
        while after is not None and after < newest:
            batch = partial(self._store.prune, after, _MOST, cutoffs)
            next_after, count = await when_there_is_room(batch, self._clock)
            deleted += count
            if next_after is None:
                break
            after = next_after
            await self._clock.sleep(_PAUSE_S)  # the writer has more urgent work between two batches
        now = self._clock.now()
        await self._prune_all(partial(self._store.prune_invocations, first_id_at(cutoffs.succeeded), _MOST))
        await self._prune_all(partial(self._store.prune_idempotency, _MOST, now=now))
        await self._prune_all(partial(self._store.replays.prune, _MOST, ended_before=cutoffs.failed))
        await self._prune_all(partial(self._store.alerts.prune, first_id_at(cutoffs.failed), _MOST))
        # After their jobs; a batch without jobs stays no longer than the longest-kept job would.
        ended_before = min(cutoffs.succeeded, cutoffs.failed)
        await self._prune_all(partial(self._store.batches.prune, first_id_at(now), _MOST, ended_before=ended_before))
        if deleted:
            self._telemetry.emit("store.pruned", jobs=deleted)
        return deleted

    def _cutoffs(self) -> Cutoffs:
        now, keep = self._clock.now(), self._current.setup.config.service.retention
        return Cutoffs(
            succeeded=now - timedelta(seconds=keep.succeeded),
            failed=now - timedelta(seconds=keep.failed),
            dead=now - timedelta(seconds=keep.dead),
        )

    async def _prune_all(self, batch: Callable[[], Awaitable[int]]) -> None:
        while await when_there_is_room(batch, self._clock) == _MOST:
            await self._clock.sleep(_PAUSE_S)

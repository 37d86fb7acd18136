"""The gauges: how things stand, read when somebody asks for the metrics."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from pipeline import __version__
from pipeline.clock import Clock
from pipeline.functions.pool import Pool
from pipeline.metrics.meters import Readings
from pipeline.model import BatchState, DeliveryState, JobState
from pipeline.services.deliveries.standing import Standing, Takers
from pipeline.services.deliveries.unbegun import AllUnbegun
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.reading.survey import Survey

T = TypeVar("T", bound=str)
Reading = tuple[Sequence[str], float]

_SHARE = 20
"""A survey is taken again only after so many times as long as the last one took: where much is open it is not cheap,
and who asks often gets the same once more.
"""
_JOBS = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
_BATCHES = (BatchState.RECEIVING, BatchState.RUNNING)
_DELIVERIES = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING, DeliveryState.HELD)
_WORKERS = ("starting", "idle", "busy", "stopping")


class Gauges:
    """Reads all gauges of the table of metrics."""

    def __init__(
        self,
        *,
        store: Store,
        pool: Pool,
        current: Current,
        standing: Standing,
        unbegun: AllUnbegun,
        is_draining: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._store = store
        self._pool = pool
        self._current = current
        self._standing = standing
        self._unbegun = unbegun
        self._is_draining = is_draining
        self._clock = clock
        self._last: tuple[Survey, float] | None = None
        self._surveying = asyncio.Lock()

    async def read(self) -> Readings:
        """Return all gauges as they are now; what the store has may be a little older where much of it is open."""
        survey = await self._survey()
        return {**self._of_store(survey), **self._of_pool(), **_of_files(survey), **self._of_service()}

    async def _survey(self) -> Survey:
        async with self._surveying:
            began = self._clock.monotonic()
            if self._last is not None and began < self._last[1]:
                return self._last[0]
            survey = await self._store.survey()
            ended = self._clock.monotonic()
            self._last = survey, ended + _SHARE * (ended - began)
            return survey

    def _of_store(self, survey: Survey) -> Readings:
        now, setup = self._clock.now(), self._current.setup
        functions = _names(setup.catalog.functions, survey.jobs, survey.batches)
        destinations = _names(setup.routes, survey.deliveries)
        owed = _with_held(self._unbegun.counted(survey.deliveries), self._standing.takers)
        return {
            "sendoff_open_jobs": _by_state(functions, _JOBS, survey.jobs),
            "sendoff_oldest_queued_job_age_seconds": _ages(functions, survey.queued_since, now),
            "sendoff_open_batches": _by_state(functions, _BATCHES, survey.batches),
            "sendoff_open_deliveries": _by_state(destinations, _DELIVERIES, owed),
            "sendoff_oldest_open_delivery_age_seconds": _ages(destinations, survey.owed_since, now),
            "sendoff_destination_last_success_timestamp_seconds": [
                ((name,), at.timestamp()) for name, at in survey.last_success_at.items()
            ],
        }

    def _of_pool(self) -> Readings:
        pool = self._pool
        functions = sorted(self._current.setup.catalog.functions)
        workers = Counter((process.function, process.state) for process in pool.processes())
        return {
            "sendoff_workers": _by_state(_names(functions, workers), _WORKERS, workers),
            "sendoff_slots": [((name,), pool.size(name)) for name in functions],
            "sendoff_slots_in_use": [((name,), pool.running(name)) for name in functions],
            "sendoff_slots_awaited": [((name,), pool.waiting(name)) for name in functions],
        }

    def _of_service(self) -> Readings:
        return {
            "sendoff_draining": [((), float(self._is_draining()))],
            "sendoff_build_info": [((__version__,), 1.0)],
        }


def _of_files(survey: Survey) -> Readings:
    sizes: dict[str, Iterable[Reading]] = {
        "sendoff_store_bytes": [((), survey.store_bytes)],
        "sendoff_store_wal_bytes": [((), survey.wal_bytes)],
    }
    if survey.space is not None:
        sizes["sendoff_disk_free_bytes"] = [((), survey.space.free)]
        sizes["sendoff_disk_needed_bytes"] = [((), survey.space.needed)]
    return sizes


def _names(known: Iterable[str], *counted: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names that are known or counted: also of what is not configured any more and has something open."""
    return sorted({*known, *(name for counts in counted for name, _ in counts)})


def _by_state(names: Iterable[str], states: Iterable[T], counts: Mapping[tuple[str, T], int]) -> list[Reading]:
    return [((name, state), counts.get((name, state), 0)) for name in names for state in states]


def _ages(names: Iterable[str], since: Mapping[str, datetime], now: datetime) -> Iterator[Reading]:
    return (((name,), max(0.0, (now - since.get(name, now)).total_seconds())) for name in names)


def _with_held(counts: Mapping[tuple[str, DeliveryState], int], takers: Takers) -> Counter[tuple[str, DeliveryState]]:
    """Return the counts as the API shows them: what no destination takes is held."""
    shown: Counter[tuple[str, DeliveryState]] = Counter()
    for (name, state), count in counts.items():
        shown[name, DeliveryState.HELD if takers.why_held(name, state) else state] += count
    return shown

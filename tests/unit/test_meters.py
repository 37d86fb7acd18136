"""What facts add to the metrics where no whole service is needed to see it, the pulse, and the cost of a survey."""

import asyncio
import logging
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.functions.pool import Pool
from pipeline.metrics.meters import Meters
from pipeline.services import pulse
from pipeline.services.deliveries.standing import Standing, Takers
from pipeline.services.deliveries.unbegun import AllUnbegun
from pipeline.services.gauges import Gauges
from pipeline.services.pulse import Pulse
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.reading.survey import Survey
from pipeline.telemetry import FACTS, Telemetry
from tests.support.fake_clock import FakeClock
from tests.support.metrics import Scraped, parsed


def read(meters: Meters) -> Scraped:
    return parsed(meters.exposition({}, "")[0].decode())


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(logging.getLogger("sendoff.test"))


def test_every_fact_that_is_counted_is_known() -> None:
    assert Meters().of.keys() <= FACTS.keys() | {"run.running"}


def test_a_fact_is_counted_whatever_is_logged(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    for level, lines in ((logging.CRITICAL, 0), (logging.DEBUG, 1)):
        caplog.clear()
        with caplog.at_level(level):
            telemetry.emit("job.expired", job_id="1", function="f")
        assert len(caplog.records) == lines
    assert read(telemetry.meters).get("sendoff_jobs_total", function="f", state="expired") == 2


def test_what_is_only_counted_is_never_logged(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        telemetry.emit("store.committed", writes=3, duration_s=0.5)
        telemetry.emit("loop.lagged", lag_s=0.25)
    assert caplog.records == []
    found = read(telemetry.meters)
    assert found.get("sendoff_store_commit_writes_sum") == 3
    assert found.get("sendoff_store_commit_duration_seconds_sum") == 0.5
    assert found.get("sendoff_event_loop_lag_seconds_sum") == 0.25


def test_a_value_at_the_bound_of_a_bucket_is_in_it_and_in_all_larger_ones(telemetry: Telemetry) -> None:
    for writes in (1, 2, 2, 300):
        telemetry.emit("store.committed", writes=writes, duration_s=0.5)
    found = read(telemetry.meters)
    name = "sendoff_store_commit_writes"
    buckets = {le: found.get(f"{name}_bucket", le=le) for le in ("1.0", "2.0", "4.0", "256.0", "+Inf")}
    assert buckets == {"1.0": 1, "2.0": 3, "4.0": 3, "256.0": 3, "+Inf": 4}
    assert (found.get(f"{name}_count"), found.get(f"{name}_sum")) == (4, 305)


def test_errors_that_nobody_foresaw_are_counted_by_their_fact(telemetry: Telemetry) -> None:
    telemetry.failed("task.failed", ValueError("a"), job_id="1", run=1)
    telemetry.failed("task.failed", ValueError("a"))
    telemetry.failed("request.failed", ValueError("a"), id="1", path="/")
    found = read(telemetry.meters)
    assert found.all_of("sendoff_unforeseen_errors_total") == {("task.failed",): 2, ("request.failed",): 1}


def test_a_delivery_whose_sendings_were_all_lost_is_dead_without_an_attempt(telemetry: Telemetry) -> None:
    telemetry.emit("delivery.dead", destination="hook", reason="lost", duration_s=None)
    found = read(telemetry.meters)
    assert found.all_of("sendoff_deliveries_total") == {("hook", "dead"): 1}
    assert found.all_of("sendoff_delivery_attempts_total") == {}


def test_reloads_and_pruned_jobs_are_counted(telemetry: Telemetry) -> None:
    telemetry.emit("config.reloaded", added="a")
    telemetry.emit("config.refused", reason="no")
    telemetry.emit("store.pruned", jobs=17)
    found = read(telemetry.meters)
    assert found.all_of("sendoff_config_reloads_total") == {("reloaded",): 1, ("refused",): 1}
    assert found.get("sendoff_jobs_pruned_total") == 17


async def test_the_pulse_tells_how_long_the_loop_was_blocked(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PERIOD_S", 0.01)
    task = asyncio.ensure_future(Pulse(telemetry).serve())
    await asyncio.sleep(0)
    time.sleep(0.06)  # longer than the loop may be late by itself
    while not read(telemetry.meters).get("sendoff_event_loop_lag_seconds_count"):
        await asyncio.sleep(0.001)
    task.cancel()
    assert await asyncio.gather(task, return_exceptions=True)
    assert (read(telemetry.meters).get("sendoff_event_loop_lag_seconds_sum") or 0.0) >= 0.05


class Surveyed:
    """A store whose survey takes `seconds`."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.surveys = 0

    async def survey(self) -> Survey:
        self.surveys += 1
        await self._clock.advance(self._seconds)
        nothing: dict[Any, Any] = {}
        return Survey(
            jobs={("f", cast(Any, "queued")): self.surveys},
            queued_since=nothing,
            batches=nothing,
            deliveries=nothing,
            owed_since=nothing,
            last_success_at=dict[str, datetime](),
            store_bytes=0,
            wal_bytes=0,
            space=None,
        )


async def test_a_survey_takes_a_twentieth_of_the_time_at_most() -> None:
    clock = FakeClock()
    store = Surveyed(clock, seconds=0.5)
    setup = SimpleNamespace(catalog=SimpleNamespace(functions={}), routes={})
    gauges = Gauges(
        store=cast(Store, store),
        pool=cast(Pool, SimpleNamespace(processes=tuple)),
        current=cast(Current, SimpleNamespace(setup=setup)),
        standing=cast(Standing, SimpleNamespace(takers=Takers(configured=frozenset()))),
        unbegun=AllUnbegun(),
        is_draining=lambda: False,
        clock=clock,
    )

    async def queued() -> float:
        return next(value for (_, state), value in (await gauges.read())["sendoff_open_jobs"] if state == "queued")

    assert await asyncio.gather(queued(), queued(), queued()) == [1, 1, 1]
    await clock.advance(9.9)
    assert await queued() == 1
    await clock.advance(0.2)
    assert await queued() == 2


def test_no_two_services_share_a_counter() -> None:
    one, other = Meters(), Meters()
    one.of["job.accepted"]({"function": "f", "jobs": 1})
    assert read(other).get("sendoff_jobs_accepted_total", function="f") is None

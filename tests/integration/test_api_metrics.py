"""GET /metrics: what is counted as jobs, calls, batches and deliveries go their way, and how things stand."""

import asyncio
import re
from pathlib import Path

import pytest

from destinations.function import Settings as FunctionTarget
from pipeline.config.settings import DestinationSettings, FunctionSettings, RetrySpec, Target
from pipeline.metrics.table import METRICS, Kind
from tests.support.metrics import Scraped, scraped, until_counted
from tests.support.receiver import OK, answer, receiving
from tests.support.service import QUICK, WAITING, Service, holds, sends_to, serving, webhook

FAILS = """
    def handler(event, context):
        raise ValueError("broken")
    """
REJECTS = """
    def handler(event, context):
        context.reject("no")
    """
FAILS_FIRST = """
    def handler(event, context):
        if context.attempt == 1:
            raise ValueError("broken")
        return "done"
    """
NOW = """
    def handler(event, context):
        return {"statusCode": 200, "body": "now"}
    """
FILES = {
    "quick-background.py": QUICK,
    "waiting-background.py": WAITING,
    "fails-background.py": FAILS,
    "rejects-background.py": REJECTS,
    "second-try-background.py": FAILS_FIRST,
    "now.py": NOW,
    "breaks.py": FAILS,
}
AT_ONCE = RetrySpec(waits=())


# Jobs and runs


async def test_every_try_of_a_job_is_a_run_with_its_time_and_its_wait(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        first = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        second = await service.start_job("waiting-background")
        await service.clock.advance(4.0)
        service.go()
        for job_id in (first, second):
            await service.until(job_id, "succeeded")
        function = "waiting-background"
        found = await until_counted(service, "sendoff_jobs_total", 2, function=function, state="succeeded")
        assert found.get("sendoff_jobs_accepted_total", function=function) == 2
        assert found.all_of("sendoff_runs_total") == {(function, "succeeded"): 2}
        assert found.get("sendoff_run_duration_seconds_sum", function=function) == 4.0
        assert found.get("sendoff_run_duration_seconds_count", function=function) == 2
        assert found.get("sendoff_run_wait_seconds_sum", function=function) == 4.0


async def test_a_try_that_failed_is_no_end_of_the_job(tmp_path: Path) -> None:
    functions = {"second-try-background": FunctionSettings(retry=RetrySpec(waits=(9.0,)))}
    async with serving(tmp_path, FILES, functions=functions) as service:
        job_id = await service.start_job("second-try-background")
        function = "second-try-background"
        await until_counted(service, "sendoff_runs_total", 1, function=function, state="failed", reason="error")
        await service.until(job_id, "retrying")
        assert (await scraped(service)).all_of("sendoff_jobs_total") == {}
        await service.clock.advance(9.01)
        found = await until_counted(service, "sendoff_jobs_total", 1, function=function, state="succeeded")
        assert found.all_of("sendoff_runs_total") == {(function, "error", "failed"): 1, (function, "succeeded"): 1}
        assert found.get("sendoff_run_wait_seconds_sum", function=function) == pytest.approx(0.01)  # since it was due


async def test_jobs_end_by_state_and_reason(tmp_path: Path) -> None:
    functions = {
        "fails-background": FunctionSettings(retry=AT_ONCE),
        "waiting-background": FunctionSettings(concurrency=1, max_age=60.0),
    }
    async with serving(tmp_path, FILES, functions=functions) as service:
        for name in ("fails-background", "rejects-background"):
            await service.until(await service.start_job(name), "failed")
        running, waiting, expiring = [await service.start_job("waiting-background") for _ in range(3)]
        await service.until_begun("waiting-background")
        await service.post(f"/v1/jobs/{waiting}/cancel")
        await service.clock.advance(61.0)
        await service.until(expiring, "expired")
        await service.post(f"/v1/jobs/{running}/cancel")
        await service.clock.advance(6.0)
        await service.until(running, "cancelled")
        found = await until_counted(service, "sendoff_jobs_total", 2, function="waiting-background", state="cancelled")
        assert found.all_of("sendoff_jobs_total") == {
            ("fails-background", "error", "failed"): 1,
            ("rejects-background", "rejected", "failed"): 1,
            ("waiting-background", "cancelled"): 2,
            ("waiting-background", "expired"): 1,
        }
        assert found.get("sendoff_runs_total", function="waiting-background", state="cancelled") == 1


async def test_a_batch_counts_its_jobs_and_its_end(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, functions={"fails-background": FunctionSettings(retry=AT_ONCE)}) as service:
        for function, items in (("quick-background", 3), ("fails-background", 2)):
            document = {"function": function, "items": [{"body": "a"}] * items}
            assert (await service.post("/v1/batches", json=document)).status == 202
            await until_counted(service, "sendoff_jobs_accepted_total", items, function=function)
        await until_counted(service, "sendoff_batches_total", 1, function="quick-background", state="completed")
        state = "completed_with_failures"
        await until_counted(service, "sendoff_batches_total", 1, function="fails-background", state=state)


async def test_a_cancelled_batch_counts_what_waited_and_what_ran(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        document = {"function": "waiting-background", "items": [{"body": "a"}] * 4}
        batch = (await service.post("/v1/batches", json=document)).json
        await service.until_begun("waiting-background")
        found = await scraped(service)
        assert found.all_of("sendoff_open_batches") == {("waiting-background", "running"): 1}
        await service.post(f"/v1/batches/{batch['id']}/cancel")
        await service.clock.advance(6.0)
        found = await until_counted(
            service, "sendoff_batches_total", 1, function="waiting-background", state="cancelled"
        )
        assert found.all_of("sendoff_jobs_total") == {("waiting-background", "cancelled"): 4}
        found = await scraped(service)  # one answer reads the gauges first: this batch may have ended after that
        assert found.all_of("sendoff_open_batches") == {}


async def test_synchronous_calls_are_counted_with_their_failures(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        await service.get("/functions/now", is_own=True)
        assert (await service.get("/functions/breaks")).status == 500
        found = await scraped(service)
        assert found.all_of("sendoff_calls_total") == {("now", "succeeded"): 1, ("breaks", "error", "failed"): 1}
        assert found.get("sendoff_call_duration_seconds_count", function="now") == 1
        assert found.all_of("sendoff_problems_total") == {("500",): 1}
        assert found.all_of("sendoff_runs_total") == {}


async def test_a_child_and_a_replay_are_jobs_too(tmp_path: Path) -> None:
    destinations = {
        "next": DestinationSettings(name="", kind="function", options=FunctionTarget(function="quick-background"))
    }
    functions = {"second-try-background": sends_to("next", retry=AT_ONCE)}
    async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
        job_id = await service.start_job("second-try-background")
        await until_counted(service, "sendoff_jobs_total", 1, function="quick-background", state="succeeded")
        assert (await service.post(f"/v1/jobs/{job_id}/replay")).status == 202
        found = await until_counted(service, "sendoff_jobs_total", 2, function="quick-background", state="succeeded")
        assert found.all_of("sendoff_jobs_accepted_total") == {("second-try-background",): 2, ("quick-background",): 2}


async def test_a_repeated_key_is_one_job(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        for _ in range(3):
            await service.post("/functions/quick-background", headers={"Idempotency-Key": "k"})
        found = await scraped(service)
        assert found.all_of("sendoff_jobs_accepted_total") == {("quick-background",): 1}


# Deliveries


async def test_attempts_are_counted_by_class_and_the_way_from_the_result_by_its_time(tmp_path: Path) -> None:
    async with receiving(answer(503), OK) as receiver:
        destinations = {"hook": webhook(receiver.url, waits=(10.0,))}
        functions = {"quick-background": sends_to("hook")}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("quick-background")
            await service.until_delivered(job_id, "retrying")
            found = await until_counted(
                service, "sendoff_delivery_attempts_total", 1, destination="hook", **{"class": "http_error"}
            )
            assert found.all_of("sendoff_open_deliveries") == {("hook", "retrying"): 1}
            assert found.all_of("sendoff_deliveries_total") == {}
            await service.clock.advance(12.0)
            await service.until_delivered(job_id, "delivered")
            found = await until_counted(service, "sendoff_deliveries_total", 1, destination="hook", state="delivered")
            assert found.all_of("sendoff_delivery_attempts_total") == {
                ("delivered", "hook"): 1,
                ("http_error", "hook"): 1,
            }
            assert found.get("sendoff_delivery_attempt_duration_seconds_count", destination="hook") == 2
            assert found.get("sendoff_result_to_delivered_seconds_sum", destination="hook") == 12.0
            at = service.clock.now().timestamp()
            name = "sendoff_destination_last_success_timestamp_seconds"
            assert found.get(name, destination="hook") == at


async def test_what_is_given_up_or_filtered_is_counted(tmp_path: Path) -> None:
    never = {"type": "object", "required": ["nothing"]}
    async with receiving(answer(413)) as receiver:
        destinations = {"hook": webhook(receiver.url), "other": webhook(receiver.url)}
        targets = (Target(to="hook"), Target(to="other", when=never))
        functions = {"quick-background": FunctionSettings(on_success=targets)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            await service.start_job("quick-background")
            found = await until_counted(service, "sendoff_deliveries_total", 1, destination="hook", state="dead")
            assert found.all_of("sendoff_deliveries_total") == {("hook", "dead"): 1, ("other", "skipped"): 1}
            assert found.all_of("sendoff_delivery_attempts_total") == {("rejected", "hook"): 1}


# How things stand


async def test_the_queue_is_shown_with_its_depth_and_age(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        for delay in ({}, {"X-Job-Delay": "1h"}):
            await service.start_job("quick-background", headers=delay)
        await service.clock.advance(30.0)
        await service.start_job("quick-background")
        found = await scraped(service)
        assert found.all_of("sendoff_open_jobs") == {
            ("quick-background", "queued"): 2,
            ("quick-background", "scheduled"): 1,
        }
        age = "sendoff_oldest_queued_job_age_seconds"
        assert found.get(age, function="quick-background") == 30.0
        assert found.get(age, function="waiting-background") == 0.0


async def test_workers_and_slots_are_shown(tmp_path: Path) -> None:
    functions = {"waiting-background": FunctionSettings(concurrency=1), "now": FunctionSettings(concurrency=3)}
    async with serving(tmp_path, FILES, functions=functions) as service:
        job_id = await service.start_job("waiting-background")
        await service.until_begun("waiting-background")
        found = await scraped(service)
        assert found.all_of("sendoff_workers") == {("waiting-background", "busy"): 1}
        assert found.get("sendoff_slots", function="now") == 3
        assert found.all_of("sendoff_slots_in_use") == {("waiting-background",): 1}
        assert found.all_of("sendoff_open_jobs") == {("waiting-background", "running"): 1}
        service.go(job_id)
        await service.until(job_id, "succeeded")
        assert (await scraped(service)).all_of("sendoff_workers") == {("waiting-background", "idle"): 1}


async def test_calls_that_wait_for_a_slot_are_shown(tmp_path: Path) -> None:
    files = {"slow.py": WAITING.replace('return "went"', 'return {"statusCode": 200}')}
    async with serving(tmp_path, files, functions={"slow": FunctionSettings(concurrency=1)}) as service:
        calls = [asyncio.ensure_future(service.get("/functions/slow", is_own=True)) for _ in range(3)]
        await holds(lambda: service.app.pool.waiting("slow") == 2)
        assert (await scraped(service)).all_of("sendoff_slots_awaited") == {("slow",): 2}
        service.go()
        await asyncio.gather(*calls)


async def test_what_no_destination_takes_is_held_and_ages(tmp_path: Path) -> None:
    async with receiving(answer(503)) as receiver:
        functions = {"quick-background": sends_to("hook")}
        hook = {"hook": webhook(receiver.url, waits=(3600.0,))}
        async with serving(tmp_path, FILES, functions=functions, destinations=hook) as service:
            await service.until_delivered(await service.start_job("quick-background"), "retrying")
            assert await service.reload()
            await service.clock.advance(60.0)
            found = await scraped(service)
            assert found.all_of("sendoff_open_deliveries") == {("hook", "held"): 1}
            assert found.get("sendoff_oldest_open_delivery_age_seconds", destination="hook") == 60.0


async def test_files_commits_and_the_version_are_shown(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        await service.until(await service.start_job("quick-background"), "succeeded")
        found = await scraped(service)
        database = service.app.store.path
        wal = database.with_name(database.name + "-wal")
        assert found.get("sendoff_store_bytes") == database.stat().st_size
        assert found.get("sendoff_store_wal_bytes") == wal.stat().st_size > 0
        assert (found.get("sendoff_disk_free_bytes") or 0) > (found.get("sendoff_disk_needed_bytes") or 0) > 0
        commits = found.get("sendoff_store_commit_duration_seconds_count") or 0
        assert 2 <= commits <= (found.get("sendoff_store_commit_writes_sum") or 0)
        assert (found.get("sendoff_store_commit_duration_seconds_sum") or 0) > 0
        assert found.all_of("sendoff_build_info") == {("0.1.0",): 1}
        assert (found.get("process_resident_memory_bytes") or 0) > 1_000_000


async def test_a_service_that_goes_down_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        assert (await scraped(service)).get("sendoff_draining") == 0
        await service.app.drain(0.0, asyncio.Event())
        assert (await service.post("/functions/quick-background")).status == 503
        found = await scraped(service)
        assert found.get("sendoff_draining") == 1
        assert found.all_of("sendoff_problems_total") == {("503",): 1}


# The answer itself


async def test_every_metric_of_the_table_is_shown_with_its_kind_and_labels_and_no_other(tmp_path: Path) -> None:
    async with receiving() as receiver:
        functions = {"quick-background": sends_to("hook")}
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
            batch = {"function": "quick-background", "items": [{"body": "a"}]}
            await service.post("/v1/batches", json=batch)
            await until_counted(service, "sendoff_batches_total", 1, function="quick-background", state="completed")
            await until_counted(service, "sendoff_deliveries_total", 1, destination="hook", state="delivered")
            await service.get("/functions/nothing")
            found = await scraped(service)
        shown = {name: kind for name, kind in found.kinds.items() if name.startswith("sendoff_")}
        assert shown == {name.removesuffix("_total"): metric.kind for name, metric in METRICS.items()}
        for name, labels in found.samples:
            if name.startswith("sendoff_"):
                metric = METRICS[name if name in METRICS else re.sub("_(bucket|sum|count)$", "", name)]
                known = {*metric.labels, "le"} if metric.kind is Kind.HISTOGRAM else {*metric.labels}
                assert {label for label, _ in labels} <= known, name


async def test_what_can_be_counted_is_there_before_it_happens(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES) as service:
        found = await scraped(service)
        for state, reason in (("succeeded", ""), ("failed", "timeout"), ("cancelled", ""), ("expired", "")):
            assert found.get("sendoff_jobs_total", function="quick-background", state=state, reason=reason) == 0
        assert found.get("sendoff_calls_total", function="now", state="succeeded") == 0
        assert found.get("sendoff_config_reloads_total", outcome="refused") == 0
        assert found.get("sendoff_unforeseen_errors_total", fact="task.failed") == 0
        assert found.get("sendoff_jobs_accepted_total", function="new-background") is None
        assert await service.reload({"new-background.py": QUICK}, destinations={"new": webhook("http://127.0.0.1:9")})
        found = await scraped(service)
        assert found.get("sendoff_jobs_accepted_total", function="new-background") == 0
        for state in ("delivered", "dead", "skipped"):
            assert found.get("sendoff_deliveries_total", destination="new", state=state) == 0
        assert found.get("sendoff_config_reloads_total", outcome="reloaded") == 1


def sizes(found: Scraped) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {sample for sample in found.samples if sample[0] != "sendoff_problems_total"}


async def test_no_caller_can_add_a_series(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        before = sizes(await scraped(service))
        for path in ("/functions/unknown", "/functions/a%20b", "/v1/jobs?tag=new", "/v1/jobs/unknown", "/nothing"):
            await service.get(path)
        headers = {"X-Job-Tag": "own", "traceparent": "00-1", "Idempotency-Key": "k", "X-Job-Priority": "1"}
        await service.start_job("quick-background", headers=headers)
        assert sizes(await scraped(service)) == before


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=x;escaping=nonsense", True),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", False),
        ("text/plain; version=never", False),
        ("*/*", False),
        ("", False),
        (";;==,\xfc", False),
    ],
)
async def test_the_text_is_the_one_that_is_asked_for(tmp_path: Path, accept: str, is_open: bool) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        got = await service.get("/metrics", headers={"Accept": accept})
        assert got.status == 200
        kind = "application/openmetrics-text; version=1.0.0" if is_open else "text/plain; version=0.0.4"
        assert got.headers["Content-Type"].startswith(kind)
        assert got.body.endswith(b"# EOF\n") is is_open
        assert b"_created" not in got.body


async def test_two_services_in_a_process_count_apart(tmp_path: Path) -> None:
    async def counted(service: Service) -> float | None:
        return (await scraped(service)).get("sendoff_jobs_accepted_total", function="quick-background")

    for name in "ab":
        (tmp_path / name).mkdir()
    async with serving(tmp_path / "a", FILES) as one, serving(tmp_path / "b", FILES) as other:
        await one.start_job("quick-background")
        assert (await counted(one), await counted(other)) == (1, 0)

"""`sendoff usage` as a process against a real service, which is killed on the way: nothing is lost or counted twice."""

import json
from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.command import sendoff
from tests.support.processes import eventually
from tests.support.serving import CALM, Service

pytestmark = pytest.mark.acceptance

FUNCTIONS = {
    "calm.py": CALM,
    "naps-background.py": "import time\n\n\ndef handler(event, context):\n    time.sleep(0.05)\n    return 1\n",
    "breaks-background.py": "def handler(event, context):\n    raise ValueError('broken')\n",
}
CONFIG = """
    functions:
      settings:
        naps-background: {concurrency: 2, memory: 512MB}
        breaks-background: {retry: []}
    """
NAPS = 40


def run(service: Service, *arguments: str) -> "CompletedProcess[str]":
    return sendoff(service.folder, "usage", *arguments, SENDOFF_URL=f"http://127.0.0.1:{service.port}")


def used(service: Service, *arguments: str) -> dict[str, Any]:
    """Return what each function used."""
    ended = run(service, "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    items: dict[str, dict[str, Any]] = {}
    for item in json.loads(ended.stdout)["items"]:  # of two days, where midnight falls into the test
        sums = items.setdefault(item["function"], dict.fromkeys(item, 0))
        for name in set(item) - {"day", "function"}:
            sums[name] += item[name]
    return items


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that was killed while it had work in hand, and started again."""
    with Service(tmp_path_factory.mktemp("service"), FUNCTIONS, CONFIG) as service:
        jobs = [service.submit("naps-background", {}) for _ in range(NAPS)] + [service.submit("breaks-background", {})]
        eventually(lambda: service.job(jobs[NAPS // 2])["state"] == "succeeded", what="half of it is done")
        service.kill()
        service.start()
        assert service.get("/functions/calm").status == 200
        eventually(
            lambda: all(service.job(each)["state"] in ("succeeded", "failed") for each in jobs), what="all is done"
        )
        eventually(lambda: "calm" in used(service), what="the call is noted")
        yield service


def test_every_run_that_ended_is_counted_once(service: Service) -> None:
    found = used(service)
    assert found.keys() == {"naps-background", "breaks-background", "calm"}
    naps = found["naps-background"]
    assert (naps["invocations"], naps["runs"], naps["calls"], naps["failed"]) == (NAPS, NAPS, 0, 0)
    assert naps["run_time_s"] >= NAPS * 0.05
    assert naps["gb_seconds"] == pytest.approx(naps["run_time_s"] / 2)
    assert (found["breaks-background"]["runs"], found["breaks-background"]["failed"]) == (1, 1)
    assert (found["calm"]["calls"], found["calm"]["runs"]) == (1, 0)


def test_it_is_a_table_with_a_total(service: Service) -> None:
    ended = run(service)
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *rows, total = ended.stdout.splitlines()
    assert head.split("  ")[0] == "DAY"
    days = [(row.split()[0], row.split()[1]) for row in rows]
    assert days == sorted(sorted(days, key=lambda day: day[1]), key=lambda day: day[0], reverse=True)
    assert total.split()[:5] == ["total", str(NAPS + 2), "1", str(NAPS + 1), "1"]
    ends = {len(line) for line in (head, *rows, total)}
    assert len(ends) == 1  # the numbers stand to the right


def test_days_and_functions_narrow_it(service: Service) -> None:
    assert used(service, "--function", "calm").keys() == {"calm"}
    ended = run(service, "--to", "2001-01-01")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "Nothing was used in that time.\n")
    limited = run(service, "--limit", "1")
    assert len(limited.stdout.splitlines()) == 3
    assert "There is more" in limited.stderr


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "20260105"])
def test_a_day_that_is_none_is_wrong_usage(service: Service, day: str) -> None:
    ended = run(service, "--from", day)
    assert ended.returncode == 2
    assert f"expected a day such as 2026-01-05, got '{day}'" in ended.stderr


def test_days_in_the_wrong_order_are_refused_in_words(service: Service) -> None:
    ended = run(service, "--from", "2026-01-02", "--to", "2026-01-01")
    assert ended.returncode == 1
    assert "expected a day up to 2026-01-01, got 2026-01-02" in ended.stderr

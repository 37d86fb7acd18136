"""kill -9 of the service at every step of a chain of three functions: one child for each delivery."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

NAMES = ("first-background", "second-background", "third-background")
CONFIG = """
    functions:
      settings:
        first-background: {on_success: [second], retry: []}
        second-background: {on_success: [third], retry: []}
    destinations:
      second: {type: function, function: second-background, retry: [100ms, 100ms]}
      third: {type: function, function: third-background, retry: [100ms, 100ms]}
    """
# Each function kills the service that runs it where the caller named it: once, as the run begins.
FUNCTION = """
    import json, os, signal

    def handler(event, context):
        said = json.loads(event["body"])
        named = said["data"]["result"]["kill"] if "data" in said else said["kill"]
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        flag = os.path.join(folder, "tmp", "killed-" + named)
        if os.path.basename(__file__) == named + ".py" and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(int(open(os.path.join(folder, "pid")).read()), signal.SIGKILL)
        return {"kill": named}
    """
DELAYS_MS = (1, 3, 6, 9, 12, 16, 20, 25, 30, 40)
"""When the service is killed after a 202: as a result is stored, handed on, and the next function begins."""


@pytest.mark.timeout(180)
def test_a_chain_has_one_child_for_each_delivery_wherever_the_service_is_killed(tmp_path: Path) -> None:
    points = [*NAMES, *map(str, DELAYS_MS)]
    with Service(tmp_path, {f"{name}.py": FUNCTION for name in NAMES}, CONFIG) as service:
        for point in points:
            job_id = service.submit("first-background", {"kill": point})
            if point not in NAMES:
                threading.Timer(int(point) / 1000, os.kill, (service.pid, signal.SIGKILL)).start()
            service.wait()
            service.start()
            chain = list(links(service, job_id))
            assert [job["function"] for job in chain] == list(NAMES), point
            assert {job["state"] for job in chain} == {"succeeded"}, point
        assert len(service.items("/v1/jobs")) == len(points) * len(NAMES)


def links(service: Service, job_id: str) -> Iterator[dict[str, Any]]:
    """Yield a job, its one child, the child's one child, and so on, each once it is settled."""
    while True:
        yield service.settled(job_id)
        children = service.items(f"/v1/jobs?parent={job_id}")
        assert len(children) == len(service.deliveries(job_id)) <= 1
        if not children:
            return
        job_id = children[0]["id"]

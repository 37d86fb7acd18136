"""The log of a whole service: every line is a fact, with the ids of what it is about."""

import json
from pathlib import Path

import pytest

from pipeline.telemetry import FACTS
from tests.support.ports import free_port
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

CONFIG = """
    service: {log_format: text}
    functions: {settings: {f-background: {retry: [], on_failure: [hook]}}}
    destinations: {hook: {type: webhook, retry: [], url: "http://127.0.0.1:PORT/"}}
    """


def test_the_command_line_wins_and_every_line_is_an_object_with_its_ids(tmp_path: Path) -> None:
    functions = {"f-background.py": "def handler(event, context):\n    raise ValueError('no')\n"}
    with Service(tmp_path, functions, CONFIG.replace("PORT", str(free_port()))) as service:
        service.stop()
        written = len(service.log)
        assert service.log.splitlines()[-1].endswith(" INFO service.stopped")
        service.launch("--log-format", "json")
        service.ready()
        job_id = service.submit("f-background")
        assert service.settled(job_id)["deliveries"]["dead"] == 1
        (delivery,) = service.deliveries(job_id)
        assert service.stop() == 0
        facts = [json.loads(line) for line in service.log[written:].splitlines()]
    by_name = {fact["fact"]: fact for fact in facts}
    assert {"service.started", "run.failed", "delivery.dead", "service.draining", "service.stopped"} <= by_name.keys()
    for fact in facts:
        assert set(fact) - {"at", "level", "fact"} <= FACTS[fact["fact"]][1]
    run, dead = by_name["run.failed"], by_name["delivery.dead"]
    assert (run["job_id"], run["run"], run["function"], run["reason"]) == (job_id, 1, "f-background", "error")
    assert (dead["job_id"], dead["delivery_id"], dead["level"]) == (job_id, delivery["id"], "warning")


def test_every_fact_about_a_run_or_a_delivery_has_its_ids() -> None:
    for name, (_, fields) in FACTS.items():
        if name.startswith("run."):
            assert {"job_id", "run"} <= fields, name
        if name.startswith("delivery."):
            assert {"job_id", "delivery_id"} <= fields, name

"""Receivers of webhooks that are down, refuse, or are gone: retried by the policy, delivered or dead, all on record."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTION = "def handler(event, context):\n    return 'done'\n"


def serving(folder: Path, receiver: Receiver, retry: str) -> Service:
    config = f"""
        functions: {{settings: {{f-background: {{on_success: [hook]}}}}}}
        destinations:
          hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"], retry: {retry}}}
        """
    return Service(folder, {"f-background.py": FUNCTION}, config)


def delivery_of(service: Service, job_id: str) -> dict[str, Any]:
    (delivery,) = service.deliveries(job_id)
    return delivery


def test_a_receiver_that_was_down_is_told_once_it_is_up_also_by_a_restarted_service(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, receiver, str(["300ms"] * 60)) as service:
        receiver.down()
        job_id = service.submit("f-background")
        assert service.ended(job_id)["state"] == "succeeded"
        eventually(lambda: len(delivery_of(service, job_id)["attempts"]) >= 2, what="a second attempt")
        service.kill()
        service.start()
        tried = len(delivery_of(service, job_id)["attempts"])
        eventually(lambda: len(delivery_of(service, job_id)["attempts"]) > tried, what="another attempt")
        receiver.up()
        assert service.settled(job_id)["deliveries"]["delivered"] == 1
        delivery = delivery_of(service, job_id)
        assert [attempt["number"] for attempt in delivery["attempts"]] == list(range(1, delivery["attempt"] + 1))
        assert {attempt["class"] for attempt in delivery["attempts"][:-1]} == {"connection_refused"}
        assert delivery["attempts"][-1]["status"] == 200
        assert [hook.id for hook in receiver.hooks] == [delivery["message_id"]]


@pytest.mark.parametrize(
    ("status", "retry", "attempts", "reason"),
    [(410, "[100ms, 100ms]", 1, "gone"), (500, "[]", 1, "http_error"), (500, "[100ms, 100ms]", 3, "http_error")],
)
def test_a_delivery_that_cannot_be_made_is_dead_with_its_reason(
    tmp_path: Path, status: int, retry: str, attempts: int, reason: str
) -> None:
    with receiving(lambda _: status) as receiver, serving(tmp_path, receiver, retry) as service:
        job = service.settled(service.submit("f-background"))
        assert job["state"] == "succeeded"
        assert job["deliveries"]["dead"] == 1
        delivery = delivery_of(service, job["id"])
        assert (delivery["state"], delivery["reason"], delivery["attempt"]) == ("dead", reason, attempts)
        assert delivery["last_error"]["status"] == status
        assert [attempt["status"] for attempt in delivery["attempts"]] == [status] * attempts
        assert [hook.id for hook in receiver.hooks] == [delivery["message_id"]] * attempts

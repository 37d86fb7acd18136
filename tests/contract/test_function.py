"""The kind `function`: what it asks the service to store, for each payload."""

import json
from dataclasses import replace

import pytest

from destinations.function import Function, settings_of
from pipeline.model import Outcome, Result, Verdict
from tests.support.webhooks import sending


async def sent(payload: str = "message", **changes: object) -> Outcome:
    destination = Function("next", settings_of({"function": "second-background", "payload": payload}))
    await destination.open()
    outcome = await destination.send(replace(sending(**changes), read_event=_event))
    await destination.close()
    return outcome


async def _event() -> bytes:
    return b'{"path":"/functions/first"}'


@pytest.mark.parametrize(("payload", "key"), [("message", "data"), ("raw", "words"), ("lambda", "requestPayload")])
async def test_a_message_asks_for_one_job_one_step_deeper(payload: str, key: str) -> None:
    outcome = await sent(payload, depth=3)
    assert (outcome.verdict, outcome.reason) == (Verdict.DELIVERED, None)
    assert outcome.child is not None
    assert (outcome.child.function, outcome.child.depth) == ("second-background", 4)
    assert outcome.child.parent_id == sending().message.job_id
    assert (outcome.child.content_type, key in json.loads(outcome.child.body)) == ("application/json", True)


@pytest.mark.parametrize("payload", ["message", "raw", "lambda"])
async def test_a_large_result_is_never_only_a_link(payload: str) -> None:
    large = Result(status=200, headers=(("content-type", "text/plain"),), body=b"x" * 1_000_000)
    outcome = await sent(payload, result=large)
    assert outcome.child is not None
    assert large.body in outcome.child.body


def test_the_recipient_has_no_name() -> None:
    assert Function("next", settings_of({"function": "f"})).recipients() == ("",)

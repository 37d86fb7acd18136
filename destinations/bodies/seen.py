"""What templates see of a message, in mails and in webhooks. Pure."""

from typing import Any

import orjson

from destinations.base import Sending
from destinations.bodies.subjects import result_of, subject_of
from pipeline.values import value_of


def seen_by_templates(sending: Sending) -> dict[str, Any]:
    """Return what templates see: what the form `message` says, each name always there, with the result always as its
    value, and links to a job's status and result, and to a batch's results, that the reader can follow.
    """
    message = sending.message
    subject = subject_of(sending)
    facts = {"type": message.type, "timestamp": subject.ended_at, subject.key: subject.facts, **subject.more}
    seen: dict[str, Any] = {"job": None, "batch": None, "alert": None, "error": None, "failures": []}
    # Through JSON, so that templates see lists and texts, and nothing of the model.
    seen |= orjson.loads(orjson.dumps(facts))
    if seen["batch"] is not None:
        seen["batch"]["links"]["results"] = seen.pop("results_url")  # where templates look for it
    if seen["job"] is not None:
        links = seen["job"]["links"]
        links |= {name: sending.link(links[name]) for name in ("self", "result")}
    result = result_of(message)
    if result is None:
        return seen | {"result": None, "result_encoding": None}
    value = value_of(result)
    return seen | {"result": orjson.loads(value.json), "result_encoding": value.encoding}

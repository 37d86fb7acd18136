"""The bodies of outbound messages, as exact bytes. Pure.

A result's JSON is spliced in as it is, never parsed into objects and written again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from pipeline.model import AnyMessage, BatchMessage, JobState, Message, Result
from pipeline.shapes import batch_links, error, job_links, rfc3339
from pipeline.values import value_json

JSON_TYPE = "application/json"
_CONDITIONS = {
    JobState.SUCCEEDED: "Success",
    JobState.FAILED: "RetriesExhausted",
    JobState.EXPIRED: "EventAgeExceeded",
}
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?")


class Form(StrEnum):
    """The forms that a destination may ask for."""

    MESSAGE = "message"
    RAW = "raw"
    LAMBDA = "lambda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent, and its Content-Type."""

    content: bytes
    content_type: str


def make_body(
    form: Form, message: AnyMessage, *, base_url: str, inline_limit: int, link: Callable[[str], str] = str
) -> Body:
    """Return the body of `message` in `form`; what has no result of its own, such as a batch, has the form `message`.

    A result above `inline_limit` bytes is linked, by what `link` makes of its plain URL, instead of spliced in, but for
    `raw`. `lambda` also repeats the event:
    `lambda_body` makes it.
    """
    if isinstance(message, BatchMessage):
        return Body(content=_batch_message(message, base_url), content_type=JSON_TYPE)
    if form is Form.RAW and message.result is not None:
        return Body(content=message.result.body, content_type=_type_of(message.result))
    return Body(content=_message(message, base_url, inline_limit, link), content_type=JSON_TYPE)


def lambda_body(message: Message, event: bytes) -> Body:
    """Return `message` as the record that AWS Lambda sends to the destinations of an asynchronous invocation.

    `event` is the JSON that the function was called with. Source: the Lambda Developer Guide, asynchronous invocation.
    """
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": "$LATEST"}
    payload: Any = error(message.error)
    if message.state is not JobState.SUCCEEDED:
        response["functionError"] = "Unhandled"
    if message.result is not None:
        payload = orjson.Fragment(value_json(message.result))
    record = {
        "version": "1.0",
        "timestamp": rfc3339(message.ended_at),
        "requestContext": {
            "requestId": message.job_id,
            "functionArn": f"arn:sendoff:function:{message.function}:$LATEST",
            "condition": _CONDITIONS[message.state],
            "approximateInvokeCount": message.attempt,
        },
        "requestPayload": orjson.Fragment(event),
        "responseContext": response,
        "responsePayload": payload,
    }
    return Body(content=orjson.dumps(record), content_type=JSON_TYPE)


def _type_of(result: Result) -> str:
    # The type is the function's own text: what could not stand in a header is not passed on.
    content_type = result.content_type or ""
    return content_type if _HEADER_VALUE.fullmatch(content_type) else "application/octet-stream"


def _message(message: Message, base_url: str, inline_limit: int, link: Callable[[str], str]) -> bytes:
    links = job_links(base_url, message.job_id)
    ended_at = rfc3339(message.ended_at)
    inside: dict[str, Any] = {"job": _job(message, ended_at, links)}
    if message.result is not None:
        inside |= _result(message.result, inline_limit) or {"result_url": link(links["result"])}
    inside["error"] = error(message.error)
    return orjson.dumps({"type": message.type, "timestamp": ended_at, "data": inside})


def _batch_message(message: BatchMessage, base_url: str) -> bytes:
    batch, ended_at = message.batch, rfc3339(message.ended_at)
    links = batch_links(base_url, batch.id)
    facts = {
        "id": batch.id,
        "function": batch.function,
        "state": batch.state,
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "expired": batch.expired,
        "created_at": rfc3339(batch.created_at),
        "ended_at": ended_at,
        "links": links,
    }
    failures = [
        {
            "index": line.index,
            "key": line.key,
            "job_id": line.job_id,
            "reason": line.reason,
            "error": error(line.error),
        }
        for line in message.failures
    ]
    inside = {"batch": facts, "failures": failures, "results_url": links["results"]}
    return orjson.dumps({"type": message.type, "timestamp": ended_at, "data": inside})


def _job(message: Message, ended_at: str, links: dict[str, str]) -> dict[str, Any]:
    return {
        "id": message.job_id,
        "function": message.function,
        "state": message.state,
        "reason": message.reason,
        "attempt": message.attempt,
        "created_at": rfc3339(message.created_at),
        "ended_at": ended_at,
        "tags": message.tags,
        "batch_id": message.batch_id,
        "parent_id": message.parent_id,
        "links": links,
    }


def _result(result: Result, inline_limit: int) -> dict[str, Any] | None:
    """Return the result's value to be spliced in, or None where it is too long for that."""
    if len(result.body) <= inline_limit:
        value = value_json(result)
        if len(value) <= inline_limit:  # as a JSON string, text and base64 are longer than the body was
            return {"result": orjson.Fragment(value)}
    return None

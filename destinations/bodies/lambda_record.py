"""The form `lambda`: the record that AWS Lambda sends to the destinations of an asynchronous invocation. Pure.

Source: the Lambda Developer Guide, capturing records of asynchronous invocations. Of a record that is too large for
its destination AWS sends nothing; here its response is a link instead.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from destinations.base import Sending
from destinations.bodies.base import JSON_TYPE, LARGE, Body, Form
from destinations.bodies.message import MESSAGE, inlined
from destinations.bodies.raw import declared_type
from destinations.bodies.subjects import result_of
from pipeline.model import JobState, Message
from pipeline.shapes import error, job_links, rfc3339

_CONDITIONS = {
    JobState.SUCCEEDED: "Success",
    JobState.FAILED: "RetriesExhausted",
    JobState.EXPIRED: "EventAgeExceeded",
}


@dataclass(frozen=True, slots=True)
class LambdaForm(Form):
    """AWS's record of a job; AWS has none of a batch or an alert, which have the form `message`."""

    name: ClassVar[str] = "lambda"
    needs_event: ClassVar[bool] = True

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Tell whether event and response are large together."""
        result = result_of(sending.message)
        size = len(result.body) if result is not None and len(result.body) <= inline_limit else 0
        return len(event) + size > LARGE

    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the record as JSON."""
        message = sending.message
        if not isinstance(message, Message):
            return MESSAGE.make(sending, inline_limit)
        response: dict[str, Any] = {"statusCode": 200, "executedVersion": "$LATEST"}
        if message.state is not JobState.SUCCEEDED:
            response["functionError"] = "Unhandled"
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
            "responsePayload": _payload(message, sending, inline_limit),
        }
        return Body(content=orjson.dumps(record), content_type=JSON_TYPE)


def _payload(message: Message, sending: Sending, inline_limit: int) -> Any:
    if message.result is None:
        return error(message.error)
    value = inlined(message.result, inline_limit)
    if value is None:
        return {"result_url": sending.link(job_links(sending.base_url, message.job_id)["result"])}
    if value.encoding is None:
        return orjson.Fragment(value.json)
    # What a function of Lambda returns that answers with bytes: nothing else can be returned there.
    declared = declared_type(message.result)
    return {
        "statusCode": message.result.status,
        "headers": {} if declared is None else {"Content-Type": declared},
        "body": orjson.Fragment(value.json),
        "isBase64Encoded": True,
    }

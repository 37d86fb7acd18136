"""The headers of requests and answers, as the OpenAPI document tells them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_TEXT: Mapping[str, Any] = MappingProxyType({"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header: its name, what it is for, and what its value must be."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: _TEXT)
    is_always_there: bool = False
    """Of an answer: whether it never comes without it."""


_DURATION = {"type": "string", "pattern": r"^[0-9]{1,9}$|^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"}
# Not the format `date-time`: there are makers of clients that take no moment for a header.
_DATE_TIME = {
    "type": "string",
    "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])-([012][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
}

# Of requests

PREFER = Header(
    name="Prefer",
    description="`respond-async`: a job, whatever the function is. `wait=N`: its own answer, if that is there within N "
    "seconds (60 at the most). `return=minimal`: a 202 without a body. What is not known is passed over (RFC 7240).",
)
IDEMPOTENCY_KEY = Header(
    name="Idempotency-Key",
    description="A key of your own, in quotes or without: the same request sent again within 24 hours is answered with "
    "the job of the first; another request with it is a 422. Only for what becomes a job.",
    schema={"type": "string", "pattern": r'^[!#-\[\]-~]{1,255}$|^"[ !#-\[\]-~]{1,255}"$'},
)
BATCH_KEY = Header(
    name="Idempotency-Key",
    description="A key of your own that names the batch: sent again, only the items are added that are not there.",
    schema=IDEMPOTENCY_KEY.schema,
)
RUN_AT = Header(
    name="X-Job-Run-At",
    description="Not before this moment: RFC 3339 with its offset, at most 366 days from now. Only for what becomes a "
    "job.",
    schema=_DATE_TIME,
)
DELAY = Header(
    name="X-Job-Delay",
    description="Not before so long from now, in the place of X-Job-Run-At: `90` (seconds), `30s`, `2m`, `1h`. Only "
    "for what becomes a job.",
    schema=_DURATION,
)
PRIORITY = Header(
    name="X-Job-Priority",
    description="0, the most urgent, to 9; 5 where it is not there. Only for what becomes a job.",
    # Without a `default`: clients made from the document would send it, also where it cannot be taken.
    schema={"type": "integer", "minimum": 0, "maximum": 9},
)
TAG = Header(
    name="X-Job-Tag",
    description="A word to find the job by; may be repeated, up to 20 times. Only for what becomes a job.",
    schema={"type": "string", "minLength": 1, "maxLength": 100},
)
TIMEOUT = Header(
    name="X-Job-Timeout",
    description="A time limit below that of the function: `90` (seconds), `30s`, `2m`. Only for what becomes a job.",
    schema=_DURATION,
)
CALLBACK_URL = Header(
    name="X-Callback-Url",
    description="A URL of your own that the message of the job's end, or of the batch's, is sent to, whatever else the "
    "function's settings say. Only for what becomes a job, and only where a destination of type `callback` is "
    "configured that lets callers name its host.",
    schema={"type": "string", "maxLength": 2048, "pattern": "^https?://[!-~]+$"},
)
TRACEPARENT = Header(name="traceparent", description="The trace that the job belongs to (W3C Trace Context).")
IF_NONE_MATCH = Header(
    name="If-None-Match", description="ETags that the caller has: answered with 304 where one of them still holds."
)
LAST_EVENT_ID = Header(
    name="Last-Event-ID",
    description="The number of the last log line that was seen: the stream goes on behind it.",
    schema={"type": "integer", "minimum": 0, "maximum": 999_999_999},
)

# Of answers

LOCATION = Header(
    name="Location",
    description="The path of what was made or changed.",
    schema={"type": "string"},
    is_always_there=True,
)
RETRY_AFTER = Header(
    name="Retry-After",
    description="In how many seconds it is worth asking again.",
    schema={"type": "integer", "minimum": 0},
)
ETAG = Header(name="ETag", description="Names this very answer.", is_always_there=True)
LINK = Header(name="Link", description="The next page, `rel=next`, where there is one.")
JOB_ID = Header(
    name="X-Job-Id",
    description="The job's id; `X-Call-Id` and `x-nf-request-id` say the same.",
    schema={"type": "string", "format": "uuid"},
)
BATCH_ID = Header(
    name="X-Batch-Id", description="The batch's id.", schema={"type": "string", "format": "uuid"}, is_always_there=True
)
APPLIED = Header(name="Preference-Applied", description="What `Prefer` asked for and was done.")
REPLAYED = Header(
    name="Idempotency-Replayed",
    description="`true` where the key was known: this is the answer of the first request.",
    schema={"type": "string", "enum": ["true"]},
)
BATCH_STATE = Header(name="X-Batch-State", description="The batch's state.", is_always_there=True)
AUTHENTICATE = Header(name="WWW-Authenticate", description="The scheme that is taken: `Bearer`.", is_always_there=True)

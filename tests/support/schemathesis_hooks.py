"""What schemathesis is told of this API besides the document: loaded into its own process, not into the tests'.

It writes each answer that it got into the file that SEEN names: `METHOD path status`, a line each.
"""

import json
import os
import re
from typing import Any

import schemathesis

from pipeline.shapes import moment_of
from pipeline.web.openapi.headers import DELAY
from tests.support import shapes

NDJSON = "application/x-ndjson"
_DELAY = re.compile(str(DELAY.schema["pattern"]))


@schemathesis.serializer(NDJSON)
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send a text as it is, and anything else as a line of JSON."""
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="replace")


@schemathesis.check
def every_line_in_its_shape(_: schemathesis.CheckContext, response: schemathesis.Response, case: Any) -> None:
    """Hold each line of a stream against the shape that is documented for it."""
    if response.headers.get("content-type", [""])[0] == NDJSON:
        shape = "batch-line" if case.operation.path.endswith("/results") else "log-line"
        for line in response.content.splitlines():
            if line:
                shapes.check(shape, json.loads(line))


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: Any, kwargs: dict[str, Any]) -> None:
    """Have no job wait for longer than the run: its streams would last as long."""
    if _DELAY.fullmatch(str(case.headers.get("X-Job-Delay", ""))):
        case.headers["X-Job-Delay"] = "0.1s"
    if moment_of(str(case.headers.get("X-Job-Run-At", ""))) is not None:
        case.headers["X-Job-Run-At"] = "2026-01-05T12:00:00Z"


@schemathesis.hook
def after_call(_: schemathesis.HookContext, case: Any, response: schemathesis.Response) -> None:
    """Write down what was answered."""
    with open(os.environ["SEEN"], "a", encoding="utf-8") as seen:
        seen.write(f"{case.operation.method.upper()} {case.operation.path} {response.status_code}\n")

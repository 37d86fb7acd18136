"""The answers of operations, as the OpenAPI document tells them; what many have alike stands in it once."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pipeline.web.openapi.components import component, reference
from pipeline.web.openapi.headers import AUTHENTICATE, RETRY_AFTER, Header
from pipeline.web.openapi.operation import ANYTHING, PROBLEM, Answer, Operation
from pipeline.web.openapi.operations_of_jobs import INVOKE

Made = dict[str, Any]

_PROBLEMS = {
    400: "A parameter, a header or the body is not what it must be; `errors` says which, and what is expected.",
    401: "The key is missing, wrong or has expired.",
    403: "The request names a foreign Host or Origin, or the key may not do this.",
    404: "There is nothing by that name or id.",
    408: "The body did not arrive in time.",
    409: "Not possible in the state that it is in.",
    410: "Older than the retention: it may have been there.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken.",
    422: "The Idempotency-Key was used for another request.",
    429: "The function's queue is full.",
    500: "An error of the service's own; its log has more under the `id`. From a function route also: the function "
    "raised.",
    502: "The function ran out of time, or gave no valid answer.",
    503: "Shutting down, or the store cannot be used; nothing was stored.",
}
_ANYWHERE = (403, 500, 503)


def responses_of(told: Operation, *, needs_key: bool) -> tuple[Made, dict[str, Made]]:
    """Return the answers of an operation by status, and those by name that others have as well."""
    own = {str(answer.status): _response(answer) for answer in told.answers}
    statuses = {*told.problems, *_ANYWHERE, *((401,) if needs_key else ())}
    is_function_s = "default" in own
    problems = {
        str(status): _problem(status, is_function_s=is_function_s)
        for status in sorted(statuses)
        if str(status) not in own
    }
    prefix = "Function" if is_function_s else "Problem"
    often = (own if told is INVOKE else {}) | problems  # all the ways to call a function answer alike
    named = {status: f"{prefix}{status.capitalize()}" for status in often}
    references = {status: {"$ref": f"#/components/responses/{name}"} for status, name in named.items()}
    return own | references, {name: often[status] for status, name in named.items()}


def _response(answer: Answer) -> Made:
    made: Made = {"description": answer.description}
    if answer.headers:
        made["headers"] = _headers(answer.headers)
    if answer.content:
        made["content"] = {media_type: {"schema": schema} for media_type, schema in answer.content.items()}
    if answer.leads_to:
        made["links"] = {
            name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in answer.leads_to
        }
    return made


def _problem(status: int, *, is_function_s: bool) -> Made:
    # A function may answer with any status: then the body is its own.
    own: Made = {ANYTHING: {"schema": {}}} if is_function_s else {}
    made: Made = {
        "description": f"{HTTPStatus(status).phrase}. {_PROBLEMS[status]}",
        "content": {PROBLEM: {"schema": reference(component("problem"))}} | own,
    }
    headers = {401: AUTHENTICATE, 429: RETRY_AFTER, 503: RETRY_AFTER}
    return made | ({"headers": _headers([headers[status]])} if status in headers else {})


def _headers(headers: Iterable[Header]) -> Made:
    return {
        header.name: {
            "description": header.description,
            "required": header.is_always_there,
            "schema": dict(header.schema),
        }
        for header in headers
    }

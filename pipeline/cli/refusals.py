"""What an answer that is none of the hoped-for means, in words, and what helps. Pure: no I/O."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.cli.address import Address
from pipeline.cli.failures import CommandError, RefusedError, UnavailableError
from pipeline.cli.screen.clean import clean_line

_NOT_FOUND = 404
_PROBLEM = "application/problem+json"
_NAMED = re.compile(r"there is no (job|batch|delivery|destination|replay) ")
_LISTED_BY = {"job": "jobs", "batch": "batches", "delivery": "deliveries"}
_LISTED_BY |= {"destination": "destinations", "replay": "replays"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it came; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_problem(self) -> bool:
        """Whether it is an error of the service's own, rather than of a function's or of somebody in between."""
        return self.content_type == _PROBLEM

    def problem(self) -> Mapping[str, Any]:
        """Return the problem's members; empty for what is none."""
        return _object(self.body) if self.is_problem else {}


def parsed(answer: Answer, address: Address) -> Any:
    """Return a good answer's JSON; raises RefusedError for one that is none of Sendoff's."""
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise _stranger(answer, address) from None


def refusal(answer: Answer, address: Address) -> CommandError:
    """Return what to raise for an answer that is no good one."""
    if answer.status in (502, 504) and not answer.is_problem:
        return UnavailableError(f"a proxy at {address.url} does not reach the service ({answer.status})")
    if 300 <= answer.status < 400:
        to = clean_line(answer.headers.get("location", "somewhere else"))
        return RefusedError(answer.status, f"{address.url} leads on to {to}", "Name the service itself with --url.")
    if not answer.is_problem:
        return _stranger(answer, address)
    problem = answer.problem()
    detail = clean_line(str(problem.get("detail") or problem.get("title") or answer.status))
    if answer.status in (429, 503):
        return UnavailableError(
            detail, "Nothing was lost: the same may work in a moment.", wait_s=_wait_s(answer.headers)
        )
    return RefusedError(answer.status, *_sentences(answer.status, detail, problem, address))


def _sentences(status: int, detail: str, problem: Mapping[str, Any], address: Address) -> tuple[str, str]:
    match status:
        case 401 if address.key is None:
            return f"the service at {address.url} wants a key", "Put one into the environment variable SENDOFF_KEY."
        case 401:
            return (
                f"the service at {address.url} does not take the key in SENDOFF_KEY: {detail}",
                "Is it the right one for this service, and has it expired?",
            )
        case 403 if address.key is not None:
            return detail, "The key in SENDOFF_KEY must have the scope for this."
        case 404 if detail.startswith("nothing is at "):
            return (
                f"the service at {address.url} does not know this: {detail}",
                "Does the URL have a path that it should not have, or is the service older than this command?",
            )
        case 404 if (found := _NAMED.match(detail)) is not None:
            # What is taken for a job's id is often a batch's.
            return detail, listed_by(("job", "batch") if found[1] == "job" else (found[1],))
        case 500 if "id" in problem:
            return f"the service failed: {detail}", "Its log tells more under this id."
        case _:
            return detail, ""


def is_nothing(error: RefusedError) -> bool:
    """Tell whether it was the service that said that it has no such thing."""
    return error.status == _NOT_FOUND and _NAMED.match(str(error)) is not None


def listed_by(kinds: Sequence[str]) -> str:
    """Return which commands list what there is of these kinds."""
    *most, last = (f"`sendoff {_LISTED_BY[kind]}`" for kind in kinds)
    return f"{', '.join(most)} and {last} list what there is." if most else f"{last} lists what there is."


def _stranger(answer: Answer, address: Address) -> RefusedError:
    what = clean_line(answer.content_type) or "no type"
    return RefusedError(
        answer.status,
        f"{address.url} answered {answer.status} with {what}, which is not Sendoff's answer",
        f"Is that the service's URL? It {address.origin}; --url or SENDOFF_URL name another.",
    )


def _wait_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}

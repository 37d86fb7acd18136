"""From what a worker process says, or how it ended, to the outcome of its run."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from pipeline import strictjson
from pipeline.errors import BadJsonError
from pipeline.functions.output import RawOutput, lines_of
from pipeline.functions.wire import check_head
from pipeline.mask import Masker
from pipeline.model import Call, JobReason, Output, Progress, Result, RunError, RunOutcome, RunState
from pipeline.retry_after import retry_after_s

LARGE = 256 * 1024
NOTE_LIMIT = 1000
"""So many characters of a note on a run's progress are kept."""
_MEGABYTE = 1_000_000
_CACHED_HEAD = 512
_NO_OUTPUT = Output()
_JSON_HEADERS = (("content-type", "application/json"),)
_REASONS = frozenset(
    {JobReason.ERROR, JobReason.OUT_OF_MEMORY, JobReason.BAD_RESPONSE, JobReason.TOO_LARGE, JobReason.REJECTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run failed."""

    reason: JobReason
    error: RunError
    is_final: bool = False


class Ended(NamedTuple):
    """The end of a run before the work that may take long: checking a value, splitting output into lines."""

    outcome: RunOutcome
    raw: RawOutput | None
    is_value: bool


def responded(head: bytes, body: bytes, started_at: datetime, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run whose handler returned a response."""
    try:
        status, headers = _read_head(head) if len(head) <= _CACHED_HEAD else _read_head.__wrapped__(head)
    except (ValueError, TypeError, KeyError) as error:
        return failed(_bad_response(str(error)), started_at, ended_at)
    return succeeded(Result(status=status, headers=headers, body=body), started_at, ended_at)


def returned_value(body: bytes, started_at: datetime, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run whose handler returned a JSON value; the value is not checked yet."""
    return succeeded(Result(status=200, headers=_JSON_HEADERS, body=body), started_at, ended_at)


def succeeded(result: Result, started_at: datetime, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run that succeeded with `result`."""
    return RunOutcome(
        state=RunState.SUCCEEDED, result=result, output=_NO_OUTPUT, started_at=started_at, ended_at=ended_at
    )


# A pure function of its bytes; a function answers with the same few heads again and again.
@lru_cache(maxsize=256)
def _read_head(head: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    said = orjson.loads(head)
    return check_head(said["status"], said["headers"])


def failed(failure: Failure, started_at: datetime | None, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run that failed."""
    return RunOutcome(
        state=RunState.FAILED,
        reason=failure.reason,
        error=failure.error,
        is_final=failure.is_final,
        started_at=started_at,
        ended_at=ended_at,
    )


def returned(started_at: datetime | None, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run that did not have its chance."""
    return RunOutcome(state=RunState.RETURNED, started_at=started_at, ended_at=ended_at)


def failure_of(head: bytes) -> Failure:
    """Read a worker's own account of a failure; raises ValueError where it is none."""
    try:
        said = orjson.loads(head)
        reason = JobReason(said["reason"])
        error = error_of(said)
        is_final = said["final"] is True
    except (TypeError, KeyError) as fault:
        raise ValueError(str(fault)) from None
    if reason not in _REASONS:
        raise ValueError(f"not a worker's to say: {reason}")
    return Failure(reason=reason, error=error, is_final=is_final)


def error_of(said: Mapping[str, Any]) -> RunError:
    """Read type, message and stack as a worker gives them."""
    return RunError(type=str(said["type"]), message=str(said["message"]), stack=tuple(map(str, said["stack"])))


def crashed(message: str) -> Failure:
    """Return the failure of a run whose process ended, or had to be ended, before it answered."""
    return Failure(reason=JobReason.CRASHED, error=RunError(type="Runtime.ExitError", message=message))


def timed_out(call: Call, now: datetime) -> Failure:
    """Return the failure of a run that reached its limit, in the words of Netlify's production."""
    moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = f"{moment} {call.id} Task timed out after {call.timeout_s:.2f} seconds"
    return Failure(reason=JobReason.TIMEOUT, error=RunError(type="Sandbox.Timedout", message=message))


def out_of_memory(used: int, limit: int) -> Failure:
    """Return the failure of the runs of a process that used more memory than it may."""
    message = (
        f"the function's processes used {used / _MEGABYTE:.0f} MB, more than the {limit / _MEGABYTE:.0f} MB allowed"
    )
    return Failure(reason=JobReason.OUT_OF_MEMORY, error=RunError(type="Runtime.OutOfMemory", message=message))


def broken_off(failure: Failure | None, started_at: datetime | None, ended_at: datetime) -> RunOutcome:
    """Return the outcome of a run that was ended for `failure`, or, None, because nobody wants it any more."""
    if failure is not None:
        return failed(failure, started_at, ended_at)
    return RunOutcome(state=RunState.CANCELLED, started_at=started_at, ended_at=ended_at)


def progress_of(head: bytes, mask: Masker) -> Progress:
    """Read how far a worker says that its run is; what it cannot mean is left out, and secrets are masked."""
    try:
        said = orjson.loads(head)
        done, total, note = said["done"], said["total"], said["note"]
    except (ValueError, TypeError, KeyError):
        return Progress()
    text = None if note is None else mask.text(str(note))[:NOTE_LIMIT]
    return Progress(done=_number_or_none(done), total=_number_or_none(total), note=text)


def _number_or_none(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return None


async def settle(ended: Ended, call: Call, mask: Masker, *, is_5xx_failure: bool) -> RunOutcome:
    """Do the rest: check the value, split the output, judge the status, mask the error; large ones in a thread."""
    outcome = ended.outcome
    if ended.is_value and outcome.result is not None:
        outcome = await _checked(outcome, outcome.result.body)
    result = outcome.result
    if result is not None and result.status >= 500 and call.is_background and is_5xx_failure:
        error = RunError(type="BadStatus", message=f"the function answered {result.status}")
        outcome = replace(
            outcome,
            state=RunState.FAILED,
            reason=JobReason.BAD_STATUS,
            error=error,
            retry_after_s=_wait_asked_for(result, outcome.ended_at),
        )
    if outcome.error is not None:
        outcome = replace(outcome, error=mask.run_error(outcome.error))
    if ended.raw is None:
        return outcome
    raw = ended.raw
    output = await asyncio.to_thread(lines_of, raw) if raw.is_large else lines_of(raw)
    return replace(outcome, output=output)


def _wait_asked_for(result: Result, now: datetime | None) -> float | None:
    asked = next((value for name, value in result.headers if name.lower() == "retry-after"), None)
    return None if asked is None or now is None else retry_after_s(asked, now)


async def _checked(outcome: RunOutcome, value: bytes) -> RunOutcome:
    try:
        if len(value) > LARGE:
            await asyncio.to_thread(strictjson.check, value)
        else:
            strictjson.check(value)
    except BadJsonError as error:
        bad = _bad_response(f"the value that was returned is not strict JSON: {error}")
        return replace(outcome, state=RunState.FAILED, result=None, reason=bad.reason, error=bad.error)
    return outcome


def _bad_response(message: str) -> Failure:
    return Failure(reason=JobReason.BAD_RESPONSE, error=RunError(type="Runtime.MarshalError", message=message))

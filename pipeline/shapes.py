"""Pieces of JSON that the status API and the messages to the outside have in common: moments, links, errors. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.config.units import duration_s
from pipeline.model import RunError

_FIRST = datetime.fromtimestamp(0, UTC)


def rfc3339(at: datetime) -> str:
    """Return a moment in RFC 3339, UTC, to the millisecond."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


def moment_of(text: str) -> datetime | None:
    """Return the moment that a text in RFC 3339 names, in UTC; None for what is none, or has no offset."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def moment_or_span_of(text: str, now: datetime) -> datetime | None:
    """Return the moment that a text names, as `moment_of` does, or by a span: `24h` is so long before `now`.

    One from before the year 1970 is its beginning: nothing here is older.
    """
    if (at := moment_of(text)) is None:
        try:
            at = now - timedelta(seconds=duration_s(text))
        except ValueError:
            return None
        except OverflowError:
            return _FIRST
    return max(at, _FIRST)


def job_links(base_url: str, job_id: str) -> dict[str, str]:
    """Return the absolute links of a job's pages; `base_url` has no trailing slash."""
    own = f"{base_url}/v1/jobs/{job_id}"
    return {
        "self": own,
        "result": f"{own}/result",
        "events": f"{own}/events",
        "logs": f"{own}/logs",
        "runs": f"{own}/runs",
        "deliveries": f"{own}/deliveries",
        "cancel": f"{own}/cancel",
    }


def batch_links(base_url: str, batch_id: str) -> dict[str, str]:
    """Return the absolute links of a batch's pages; `base_url` has no trailing slash."""
    own = f"{base_url}/v1/batches/{batch_id}"
    return {
        "self": own,
        "results": f"{own}/results",
        "events": f"{own}/events",
        "jobs": f"{base_url}/v1/jobs?batch={batch_id}",
        "deliveries": f"{own}/deliveries",
        "cancel": f"{own}/cancel",
        "retry_failed": f"{own}/retry-failed",
    }


def alert_links(base_url: str, destination: str, delivery_id: str | None) -> dict[str, str]:
    """Return the absolute links of what an alert is about; `base_url` has no trailing slash."""
    links = {"destination": f"{base_url}/v1/destinations/{destination}"}
    return links if delivery_id is None else links | {"delivery": f"{base_url}/v1/deliveries/{delivery_id}"}


def error(value: RunError | None) -> dict[str, Any] | None:
    """Return a function's error in AWS's words, or None where there is none."""
    if value is None:
        return None
    return {"errorType": value.type, "errorMessage": value.message, "stackTrace": value.stack}

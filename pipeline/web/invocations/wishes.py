"""What the headers of an invocation ask for: preferences, a key, and when and how the job is to run. No I/O."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from multidict import CIMultiDictProxy

from pipeline.config.units import duration_s
from pipeline.shapes import moment_of
from pipeline.web.parameters import LONGEST_WAIT_S
from pipeline.web.problems import ProblemError

Headers = CIMultiDictProxy[str]

_LONGEST_DELAY = timedelta(days=366)
_MOST_TAGS = 20
_TAG = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")  # bytes that are no UTF-8 come as lone surrogates
_KEY = re.compile(
    r'"(?P<quoted>(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"|(?P<bare>[\x21\x23-\x5b\x5d-\x7e]{1,255})'
)
_TRACEPARENT = re.compile(
    r"(?:00|(?P<later>(?!00|ff)[0-9a-f]{2}))-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?(later)(?:-[\x21-\x7e]*)?)"  # a later version may have more to say
)
_LONGEST_TRACEPARENT = 200
_OF_JOBS = ("X-Job-Run-At", "X-Job-Delay", "X-Job-Priority", "X-Job-Tag", "X-Job-Timeout")
_CALLBACK = "X-Callback-Url"
_WISHES = (*_OF_JOBS, "Idempotency-Key", "traceparent", _CALLBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a `Prefer` header (RFC 7240) asks for, as far as it is known here; the rest is passed over."""

    is_async: bool = False
    """`respond-async`: a job, whatever the function is."""
    wait_s: int = 0
    """`wait=N`: the answer, if it is there within so many seconds."""
    is_minimal: bool = False
    """`return=minimal`: a 202 without a body."""

    @property
    def applied(self) -> str:
        """Return the value of `Preference-Applied`."""
        words = ["respond-async"] if self.is_async else []
        words += [f"wait={self.wait_s}"] if self.wait_s else []
        words += ["return=minimal"] if self.is_minimal else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a job is to be made and run."""

    run_at: datetime | None = None
    priority: int = 5
    tags: tuple[str, ...] = ()
    timeout_s: float | None = None
    key: str | None = None
    """The Idempotency-Key, without its quotes."""
    traceparent: str | None = None
    callback: str | None = None
    """The URL for the job's message, as it was named; `callbacks` judges it."""


NO_PREFERENCES = Preferences()
NO_WISHES = Wishes()


def preferences_in(headers: Headers) -> Preferences:
    """Return what the `Prefer` headers ask for; what is unknown or cannot be read is passed over, as the RFC wants."""
    if "Prefer" not in headers:
        return NO_PREFERENCES
    named: dict[str, str] = {}
    for part in ",".join(headers.getall("Prefer")).split(","):
        name, _, value = part.partition(";")[0].partition("=")
        named.setdefault(name.strip().lower(), value.strip().strip('"'))  # the first of a name counts
    wait = named.get("wait", "")
    return Preferences(
        is_async="respond-async" in named,
        wait_s=min(int(wait), LONGEST_WAIT_S) if wait.isascii() and wait.isdigit() and len(wait) < 10 else 0,
        is_minimal=named.get("return", "").lower() == "minimal",
    )


def wishes_in(headers: Headers, now: datetime) -> Wishes:
    """Return how a job is to be made; raises a 400 that names the header and what it takes."""
    for name in _WISHES:
        if name in headers:
            break
    else:  # as almost always
        return NO_WISHES
    return Wishes(
        run_at=_run_at(headers, now),
        priority=_priority(headers),
        tags=tags_of(headers.getall("X-Job-Tag", ()), "X-Job-Tag"),
        timeout_s=_duration(headers, "X-Job-Timeout"),
        key=key_in(headers),
        traceparent=trace_of(headers.getall("traceparent", ())),
        callback=_callback(headers),
    )


def refuse_wishes(headers: Headers) -> None:
    """Raise a 400 where a synchronous call asks for what only a job can have."""
    for name in ("Idempotency-Key", *_OF_JOBS, _CALLBACK):
        if name in headers:
            raise bad_header(name, "is for jobs; add Prefer: respond-async to have this call made one")


def check_timeout(wishes: Wishes, limit_s: float) -> None:
    """Raise a 400 for a time limit that would not lower the function's own."""
    if wishes.timeout_s is not None and not 0 < wishes.timeout_s <= limit_s:
        raise bad_header(
            "X-Job-Timeout",
            f"expected more than 0 and at most the function's own {limit_s:g} s, which it may only lower",
        )


def key_in(headers: Headers) -> str | None:
    """Return the Idempotency-Key, which may stand in quotes (a structured field) or without them."""
    text = headers.get("Idempotency-Key")
    if text is None:
        return None
    found = _KEY.fullmatch(text.strip())
    if found is None or len(headers.getall("Idempotency-Key")) > 1:
        raise bad_header(
            "Idempotency-Key", "expected one text of 1 to 255 printable ASCII characters, in quotes or without"
        )
    quoted = found["quoted"]
    return found["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def trace_of(values: Sequence[str]) -> str | None:
    """Return what `traceparent` headers say (W3C Trace Context): None where it is malformed, or where there are two."""
    if len(values) != 1 or len(values[0]) > _LONGEST_TRACEPARENT or not _TRACEPARENT.fullmatch(values[0]):
        return None
    return values[0]


def tags_of(tags: object, name: str) -> tuple[str, ...]:
    """Return tags, each once; raises a 400 that names where they stand."""
    found = tuple(dict.fromkeys(str(tag).strip() for tag in tags)) if isinstance(tags, (list, tuple)) else ()
    if len(found) > _MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in found):
        raise bad_header(name, f"expected at most {_MOST_TAGS} tags of 1 to 100 characters")
    return found


def _callback(headers: Headers) -> str | None:
    urls = headers.getall(_CALLBACK, ())
    if len(urls) > 1:
        raise bad_header(_CALLBACK, f"expected one URL, got {len(urls)}")
    return urls[0].strip() if urls else None


def _run_at(headers: Headers, now: datetime) -> datetime | None:
    text, delay = headers.get("X-Job-Run-At"), _duration(headers, "X-Job-Delay")
    if text is None:
        if delay is None:
            return None
        at = now + timedelta(seconds=min(delay, _LONGEST_DELAY.total_seconds() + 1))
    elif delay is not None:
        raise bad_header("X-Job-Run-At", "expected this or X-Job-Delay, got both")
    else:
        found = moment_of(text)
        if found is None:
            raise bad_header(
                "X-Job-Run-At", f"expected a moment with its offset such as 2026-01-05T12:00:00Z, got {text!r}"
            )
        at = found
    if at - now > _LONGEST_DELAY:
        raise bad_header(
            "X-Job-Run-At" if text else "X-Job-Delay", f"expected at most {_LONGEST_DELAY.days} days from now"
        )
    return at if at > now else None


def _duration(headers: Headers, name: str) -> float | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else duration_s(text)
    except ValueError:
        raise bad_header(name, f"expected a duration such as 90, 30s, 2m or 1h, got {text!r}") from None
    return seconds


def _priority(headers: Headers) -> int:
    text = headers.get("X-Job-Priority", "5")
    if len(text) != 1 or text not in "0123456789":
        raise bad_header("X-Job-Priority", f"expected a number from 0, the most urgent, to 9, got {text!r}")
    return int(text)


def bad_header(name: str, detail: str) -> ProblemError:
    """Return the 400 for a header of the request."""
    return ProblemError(400, "Bad header", f"{name}: {detail}", errors=[{"detail": detail, "header": name}])

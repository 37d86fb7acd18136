"""Parameters of the query: each is declared once, read by its handlers, and told by the OpenAPI document."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from aiohttp import web

from pipeline import links
from pipeline.config.units import DURATION_PATTERN, duration_s
from pipeline.ids import ID_PATTERN, first_id_at, is_id
from pipeline.model import BatchState, DeliveryState, JobState
from pipeline.shapes import moment_or_span_of
from pipeline.web.parts import PARTS
from pipeline.web.problems import ProblemError

MOST = 500
"""So many items a page of a list may have."""
LONGEST_WAIT_S = 60
MOST_ITEMS = 10_000
"""So many items a batch may have."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LAST_NUMBER = 999_999_999
MOMENT_OR_SPAN = "a moment with its offset such as 2026-01-05T12:00:00Z, or a span until now such as 24h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter: its name, and what the documentation says of it."""

    name: str
    description: str

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        return {"type": "string"}

    def text(self, request: web.Request) -> str | None:
        """Return the value as it was sent, or None where it is not there."""
        return request.query.get(self.name)

    def refused(self, expected: str) -> ProblemError:
        """Return the 400 for a value that cannot be taken."""
        return ProblemError(
            400, "Bad parameter", f"{self.name}: {expected}", errors=[{"detail": expected, "parameter": self.name}]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Parameter):
    """Any text."""

    def read(self, request: web.Request) -> str | None:
        """Return the value, or None where it is not there."""
        return self.text(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Parameter):
    """A whole number, within bounds."""

    least: int
    most: int
    default: int | None = None
    """What it is where it is not there, if that can be told."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        default = {} if self.default is None else {"default": self.default}
        return {"type": "integer", "minimum": self.least, "maximum": self.most} | default

    def read(self, request: web.Request) -> int:
        """Return the value; where it is not there its default, else the number before the least."""
        text = self.text(request)
        if text is None:
            return self.least - 1 if self.default is None else self.default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and self.least <= int(text) <= self.most):
            raise self.refused(f"expected a whole number from {self.least} to {self.most}, got {text!r}")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Parameter):
    """One of a few words."""

    words: tuple[str, ...]
    default: str | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        default = {} if self.default is None else {"default": self.default}
        return {"type": "string", "enum": list(self.words)} | default

    def read(self, request: web.Request) -> str | None:
        """Return the value, or None where it is not there."""
        text = self.text(request)
        if text is not None and text not in self.words:
            raise self.refused(f"expected one of {', '.join(self.words)}, got {text!r}")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(Parameter):
    """A moment, or a span until now; what is made from then on has no lesser id than the one that is read."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        branches = ({"format": "date-time"}, {"pattern": DURATION_PATTERN})
        return {"anyOf": [{"type": "string"} | branch for branch in branches]}

    def read(self, request: web.Request) -> str | None:
        """Return the least id that anything made at or after the moment has, or None where it is not there."""
        text = self.text(request)
        if text is None:
            return None
        now = request.app[PARTS].clock.now()
        at = moment_or_span_of(text.replace(" ", "+"), now)  # a + that was not percent-encoded
        if at is None:
            raise self.refused(f"expected {MOMENT_OR_SPAN}, got {text!r}")
        return first_id_at(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day(Parameter):
    """A day."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        return {"type": "string", "format": "date"}

    def read(self, request: web.Request) -> date | None:
        """Return the day, or None where it is not there."""
        text = self.text(request)
        if text is None:
            return None
        found = day_of(text)
        if found is None:
            raise self.refused(f"expected a day such as 2026-01-05, got {text!r}")
        return found


def day_of(text: str) -> date | None:
    """Return the day that a text such as `2026-01-05` names; None for any other."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration(Parameter):
    """A duration, within bounds."""

    shortest_s: float
    longest_s: float
    expected: str
    """The bounds in words."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        return {"type": "string", "pattern": DURATION_PATTERN}

    def read(self, request: web.Request) -> float | None:
        """Return its seconds, or None where it is not there."""
        text = self.text(request)
        if text is None:
            return None
        try:
            seconds = duration_s(text)
        except ValueError:
            seconds = -1.0
        if not self.shortest_s <= seconds <= self.longest_s:
            raise self.refused(f"expected a duration {self.expected}, got {text!r}")
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor(Parameter):
    """Where the next page of a list of what has an id begins: behind the last of this one."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        return {"type": "string", "pattern": ID_PATTERN}

    def read(self, request: web.Request) -> str | None:
        """Return the id that it stands for, or None where it is not there."""
        text = self.text(request)
        if text is not None and not is_id(text):
            raise self.refused("expected a next_cursor of an earlier answer")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberCursor(Parameter):
    """Where the next page of a list of what is numbered begins: behind the last of this one."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        return {"type": "string", "pattern": "^[0-9]{1,17}$"}

    def read(self, request: web.Request) -> int:
        """Return the number that it stands for, 0 where it is not there."""
        text = self.text(request)
        if text is None:
            return 0
        if not (text.isascii() and text.isdigit() and len(text) < 18):
            raise self.refused("expected a next_cursor of an earlier answer")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCursor(Parameter):
    """Where the next page of usage begins: behind the last day and function of this one."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return what a value must be, as JSON Schema."""
        day = "[0-9]{4}-(0[1-9]|1[0-2])-([012][0-9]|3[01])"
        return {"type": "string", "pattern": rf"^{day}\.[A-Za-z0-9_-]{{1,64}}$"}

    def read(self, request: web.Request) -> tuple[date, str] | None:
        """Return the day and the function that it stands for, or None where it is not there."""
        text = self.text(request)
        if text is None:
            return None
        written, _, function = text.partition(".")
        day = day_of(written)
        if day is None or not function:
            raise self.refused("expected a next_cursor of an earlier answer")
        return day, function


def _state(words: Iterable[StrEnum], what: str) -> Choice:
    return Choice(name="state", description=f"Only {what} in this state.", words=tuple(str(word) for word in words))


LIMIT = Number(name="limit", description="How many items a page has at the most.", least=1, most=MOST, default=50)
_CURSOR = "The `next_cursor` of an earlier answer: the page behind that one."
CURSOR = Cursor(name="cursor", description=_CURSOR)
USAGE_CURSOR = UsageCursor(name="cursor", description=_CURSOR)
NUMBER_CURSOR = NumberCursor(name="cursor", description=_CURSOR)
WAIT = Number(
    name="wait",
    description="For so many seconds the answer is held back until there is news: where If-None-Match names an ETag, "
    "another one; else the end.",
    least=0,
    most=LONGEST_WAIT_S,
    default=0,
)
UNTIL = Choice(
    name="until",
    description="Which end `wait` waits for: `final`, or `settled`, when no delivery is open any more either.",
    words=("final", "settled"),
    default="final",
)
SHARE = Duration(
    name="share",
    description="Adds a signed link to the job and its result that needs no key, and is good for so long: 1s to 30d.",
    shortest_s=1.0,
    longest_s=30 * 86_400.0,
    expected="from 1s to 30d, such as 1h",
)
SIGNATURE = Text(name=links.PARAMETER, description="The signature of a link that was shared.")
FROM = Day(name="from", description="The first day (UTC); without it the last 30 days count.")
TO = Day(name="to", description="The last day (UTC), itself included; without it today.")
FUNCTION = Text(name="function", description="Only those of this function.")
PARENT = Text(name="parent", description="Only jobs that the message of this job made.")
BATCH = Text(name="batch", description="Only jobs of this batch.")
TAG = Text(name="tag", description="Only jobs with this tag.")
CREATED_AFTER = Moment(
    name="created_after",
    description="Only jobs that were accepted at this moment, or later: RFC 3339 with its offset, or so "
    "long ago, such as `24h`.",
)
DESTINATION = Text(name="destination", description="Only deliveries to this destination.")
JOB_STATE = _state(JobState, "jobs")
BATCH_STATE = _state(BatchState, "batches")
DELIVERY_STATE = _state(DeliveryState, "deliveries")
AFTER_LINE = Number(
    name="after", description="Only log lines with a higher number.", least=0, most=_LAST_NUMBER, default=0
)
LAST = Number(name="last", description="The last so many log lines, in the place of a page.", least=1, most=MOST)
AFTER_INDEX = Number(name="after", description="Only results with a higher index.", least=0, most=MOST_ITEMS)
FOLLOW = Choice(
    name="follow",
    description="`1`: the lines as they come, a JSON object each, until the job has ended.",
    words=("0", "1"),
    default="0",
)
OF_FUNCTION = Text(name="function", description="The function that is to have the items.")
OF_DESTINATION = Text(name="destination", description="Only the keys of this destination.")

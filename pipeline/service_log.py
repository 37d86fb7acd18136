"""The service's log as lines: text for people, or JSON, an object a line. Neither shows a secret, and no value can
begin a line of its own.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pipeline.mask import Masker

FOREIGN = "library.logged"
"""The fact under which a library's own records stand; it has the fields `logger` and `detail`."""
_PLAIN = re.compile(r"[\x21\x23-\x3c\x3e-\x7e]+")  # what needs no quotes: no space, quote, or equals sign


class Fields(dict[str, object]):
    """The fields of a fact; their text is ` name=value` for each that is not None."""

    def __str__(self) -> str:
        return "".join(f" {name}={_quoted(value)}" for name, value in self.items() if value is not None)


class Formatter(logging.Formatter):
    """What both forms share."""

    def __init__(self, mask: Masker) -> None:
        super().__init__()
        self._mask = mask

    def formatted(self, level: str, at: str, fact: str, fields: Mapping[str, Any], trace: str | None) -> str:
        """Return the line of a fact, whose fields and traceback have no secrets any more."""
        raise NotImplementedError

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record: a fact, or what a library logged."""
        fact, fields = _fact_of(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        shown = {name: _shown(self._mask, value) for name, value in fields.items() if value is not None}
        trace = self._mask.text(self.formatException(record.exc_info)) if record.exc_info else None
        return self.formatted(record.levelname, at, fact, shown, trace)


class TextFormatter(Formatter):
    """`2026-01-05T12:00:00.000Z INFO run.failed job_id=... run=1`; a traceback follows, indented."""

    def formatted(self, level: str, at: str, fact: str, fields: Mapping[str, Any], trace: str | None) -> str:
        line = f"{at} {level} {fact}{Fields(fields)}"
        if trace is None:
            return line
        # Line by line with what is no line's beginning, so that an error's own text is not taken for a fact.
        return "\n".join([line, *(f"    {_printable(part)}" for part in trace.splitlines())])


class JsonFormatter(Formatter):
    """`{"at": ..., "level": "info", "fact": "run.failed", "job_id": ...}`; a traceback is its field `traceback`."""

    def formatted(self, level: str, at: str, fact: str, fields: Mapping[str, Any], trace: str | None) -> str:
        shown = {"at": at, "level": level.lower(), "fact": fact, **fields}
        if trace is not None:
            shown["traceback"] = trace
        return json.dumps(shown)  # in ASCII, so that nothing in it can break a line or steer a terminal


def make_handler(stream: Any, form: str, mask: Masker) -> logging.Handler:
    """Return a handler that writes to `stream` in the form `text` or `json`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter((JsonFormatter if form == "json" else TextFormatter)(mask))
    return handler


def _fact_of(record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
    match record.args:
        case (str() as name, Fields() as fields):
            return name, fields
    return FOREIGN, {"logger": record.name, "detail": record.getMessage()}


def _shown(mask: Masker, value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    # The words of enumerations are Sendoff's own, whatever some secret is.
    return str(value) if isinstance(value, Enum) else mask.text(str(value))


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

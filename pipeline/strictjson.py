"""Strict JSON: RFC 8259 without duplicate keys, NaN, lone surrogates, trailing bytes or more than 64 levels.

Pure. The good case costs one parse and, where there are objects, one serialisation.
"""

import json
import re
from typing import Any

import orjson

from pipeline.errors import BadJsonError

MAX_DEPTH = 64
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},]')


def parse(text: bytes) -> Any:
    """Return the value of `text`; integers beyond 64 bits come back as floats.

    Raises BadJsonError with the position of the first fault.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadJsonError(error.msg, position=error.pos, line=error.lineno, column=error.colno) from None
    if _is_too_deep(text, value) or (b"{" in text and _has_duplicates(text, value)):
        raise _first_fault(text.decode())
    return value


def check(text: bytes) -> None:
    """Raise BadJsonError if `text` is not strict JSON."""
    parse(text)


def _is_too_deep(text: bytes, value: Any) -> bool:
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _has_duplicates(text: bytes, value: Any) -> bool:
    # A duplicate is gone from the parsed value: a text that comes back byte for byte had none.
    if orjson.dumps(value) == text:
        return False
    try:
        json.loads(text, object_pairs_hook=_refuse_duplicates, parse_int=str, parse_float=str)
    except _DuplicateKeyError:
        return True
    return False


class _DuplicateKeyError(Exception):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKeyError


def _first_fault(text: str) -> BadJsonError:
    """Find the fault in a text that is JSON, but too deep or with a duplicate key."""
    open_keys: list[set[str] | None] = []
    is_key_next = False
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            if len(open_keys) == MAX_DEPTH:
                return _fault(text, token.start(), f"more than {MAX_DEPTH} levels")
            open_keys.append(set() if mark == "{" else None)
            is_key_next = mark == "{"
        elif mark in "}]":
            open_keys.pop()
        elif mark == ",":
            is_key_next = open_keys[-1] is not None
        elif is_key_next and (keys := open_keys[-1]) is not None:
            is_key_next = False
            key = json.loads(mark)
            if key in keys:
                return _fault(text, token.start(), f"duplicate key {mark[:64]}")
            keys.add(key)
    raise AssertionError("unreachable: the text was found to have a fault")


def _fault(text: str, position: int, message: str) -> BadJsonError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return BadJsonError(message, position=position, line=line, column=column)

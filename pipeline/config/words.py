"""The words of a configuration fault: what a schema expects, and what stands there instead."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.config.limits import limit_of

_LONGEST_SHOWN = 60
_LONGEST_LOOKED_AT = 1_000  # of what is shown: whatever is to be masked in its beginning has ended by then
_LONGEST_NEAR = 200  # no name is as long
_MOST_NAMED = 20
_CREDENTIALS = re.compile(r"(?<=://)\S*@")  # to the last @: a password may have slashes, though it should not
_SECRET = re.compile(r"\b(whsec_|whsk_|raw:)\S+")  # one that was put into the wrong place
_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "integer": "an integer",
    "number": "a number",
    "null": "nothing",
}


def expectation(schema: Any, target: Callable[[Any], Any], got: Any = None) -> str:
    """Say what `schema` expects; `target` follows its `$ref`.

    `got` lets the nearest of a set of names be named, and the limit that it exceeds.
    """
    match schema:
        case {"enum": choices}:
            return one_of(schema.get("x-expected", "a known value"), schema.get("x-choices", choices), got)
        case {"x-expected": words}:
            return (isinstance(got, str) and limit_of(schema, got)) or str(words)
        case {"$ref": _}:
            return expectation(target(schema), target, got)
        case {"anyOf": branches} | {"oneOf": branches}:
            return either(expectation(branch, target) for branch in branches if branch != {"type": "null"})
    types = schema.get("type", ()) if isinstance(schema, dict) else ()
    # `null` is only the long way to leave the key out.
    names = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
    return either(_typed(name, schema) for name in names) if names else "something else"


def one_of(what: str, choices: Sequence[Any], got: Any) -> str:
    """Name the choice nearest to `got`, or all of them where none is near."""
    names = [str(choice) for choice in choices if choice is not None]  # null is only the long way to leave it out
    near = difflib.get_close_matches(got, names, n=1) if isinstance(got, str) and len(got) <= _LONGEST_NEAR else []
    if near:
        return f"{what} (nearest: {near[0]})"
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return f"{what} ({', '.join(names[:_MOST_NAMED])}{more})" if names else f"{what} (there is none)"


def either(words: Iterable[str]) -> str:
    """Join alternatives: `a, b or c`."""
    *head, last = dict.fromkeys(words)
    return f"{', '.join(head)} or {last}" if head else last


def show(value: Any) -> str:
    """Write a value in one short line, and never what a collection holds; without the credentials of a URL, and without
    secrets that are known by how they begin.
    """
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case str():
            value = _SECRET.sub(r"\1***", _CREDENTIALS.sub("***@", value[:_LONGEST_LOOKED_AT]))
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _typed(name: str, schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{_TYPES[name]} from {low} to {high}"
    if low is not None:
        return f"{_TYPES[name]}, {low} or more"
    if high is not None:
        return f"{_TYPES[name]}, {high} or less"
    if name == "array" and "minItems" in schema:
        return f"a list of at least {schema['minItems']}"
    return _text(schema) if name == "string" else _TYPES[name]


def _text(schema: dict[str, Any]) -> str:
    match schema:
        case {"format": "regex"}:
            return "a regular expression"
        case {"pattern": pattern}:
            return f"text like {pattern}"
        case {"minLength": least, "maxLength": most}:
            return f"text of {least} to {most} characters"
        case {"maxLength": most}:
            return f"text of at most {most} characters"
        case {"minLength": _}:
            return "text that is not empty"
    return _TYPES["string"]

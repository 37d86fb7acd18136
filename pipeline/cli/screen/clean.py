"""Makes foreign text safe to print: what functions log must not move the cursor, set a title, or hide a word."""

import re
from typing import Any

import orjson

# ECMA-48: control sequences; strings (OSC, DCS, SOS, PM, APC) up to their terminator; two-character escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Controls, and the marks that turn the direction of what follows.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_OF_NO_TEXT = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f]")
_LOOKED_AT = 4096
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` without escape sequences and control characters; line breaks and tabs stay."""
    text = text.replace("\r\n", "\n")
    return _SURROGATES.sub("\ufffd", _UNSEEN.sub("", _ESCAPES.sub("", text)))


def clean_line(text: str) -> str:
    """Return `text` as one line: as `clean_text`, and every run of white space becomes one blank."""
    return " ".join(clean_text(text.replace("\r", "\n")).split())


def json_text(value: Any, *, is_indented: bool = True) -> str:
    """Return `value` as JSON in which every control character is escaped."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_indented else None).decode()
    # JSON itself wants only the first 32 escaped. Within JSON they can stand in strings alone.
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_text(body: bytes) -> str | None:
    """Return `body` as text, if it is such: UTF-8 without characters that no text has."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _OF_NO_TEXT.search(text, 0, _LOOKED_AT) else text

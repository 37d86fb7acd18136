"""What a handler returned, as the frame that tells the service of it."""

from __future__ import annotations

import binascii
import json
import sys
from typing import Any

from .channel import RESPONSE, VALUE
from .errors import FailedError

# Made once: json.dumps makes an encoder for each value.
as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(value: Any, is_background: bool) -> tuple[int, dict[str, Any] | None, bytes]:
    """Turn what a handler returned into the kind, head and body of a frame; raise FailedError if it is neither."""
    status = status_of(value.get("statusCode")) if isinstance(value, dict) else None
    if status is not None:
        return RESPONSE, {"status": status, "headers": headers_of(value)}, body_of(value)
    if not is_background:
        got = "a dict without a number as statusCode" if isinstance(value, dict) else type(value).__name__
        raise bad(f"a synchronous function must return a response with a statusCode, got {got}")
    try:
        return VALUE, None, as_json(value).encode()
    except RecursionError:
        raise bad("the value that was returned is nested too deep for JSON") from None
    except UnicodeEncodeError as error:
        raise bad(f"the value that was returned has text with a lone surrogate: {error.reason}") from None
    except (TypeError, ValueError) as error:
        raise bad(f"the value that was returned cannot be written as JSON: {error}") from None


def status_of(code: Any) -> int | None:
    """Return a statusCode as a number, also where it is a text of digits; None where it is no number."""
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        return int(code)
    return int(code) if isinstance(code, int) and not isinstance(code, bool) else None


def headers_of(response: dict[str, Any]) -> list[tuple[str, str]]:
    """Return all header lines: those of multiValueHeaders, and of headers what is not among them."""
    single = table(response, "headers")
    multiple = table(response, "multiValueHeaders")
    replaced = {str(name).lower() for name in multiple}
    kept = [(name, value) for name, value in single.items() if str(name).lower() not in replaced]
    lines = [(str(name), header_text(name, value)) for name, value in kept]
    for name, values in multiple.items():
        if not isinstance(values, (list, tuple)):
            raise bad(f"multiValueHeaders must hold lists, got {type(values).__name__} for {name}")
        lines += [(str(name), header_text(name, value)) for value in values]
    return lines


def table(response: dict[str, Any], key: str) -> dict[Any, Any]:
    value = response.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"{key} must be a dict, got {type(value).__name__}")
    return value


def header_text(name: Any, value: Any) -> str:
    """Return a header's value as text; numbers and booleans are written as JSON has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise bad(f"the header {name} must be a string, got {type(value).__name__}")


def body_of(response: dict[str, Any]) -> bytes:
    body = response.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise bad(f"body must be a string, got {type(body).__name__}")
    try:
        if response.get("isBase64Encoded"):
            return binascii.a2b_base64(body.encode("ascii"), **STRICT_BASE64)
        return body.encode()
    except UnicodeEncodeError:
        raise bad("body must be text that UTF-8 can hold (base64 where isBase64Encoded is set)") from None
    except binascii.Error as error:
        raise bad(f"body must be base64, as isBase64Encoded says: {error}") from None


# Without it, what is not base64 is skipped; Python 3.9 and 3.10 do not know it.
STRICT_BASE64: dict[str, Any] = {"strict_mode": True} if sys.version_info >= (3, 11) else {}


def bad(message: str) -> FailedError:
    return FailedError("bad_response", "Runtime.MarshalError", message)

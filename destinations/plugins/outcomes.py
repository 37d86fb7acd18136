"""What a plug-in says of an attempt, before anybody relies on it. Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from destinations.base import KEPT_BODY, KEPT_HEADERS
from pipeline.model import DeliveryReason, Outcome, Verdict

_LONGEST_WAIT_S = 86_400.0
_LONGEST_SENTENCE = 500
_LONGEST_ADDRESS = 100


def fault_of_outcome(said: object) -> str | None:
    """Say why a value is no outcome that the service can go by; None where it is one."""
    if not isinstance(said, Outcome):
        return f"expected an Outcome, got {type(said).__name__}"
    checks = (
        ("verdict", isinstance(said.verdict, Verdict), "a Verdict"),
        ("reason", said.reason is None or isinstance(said.reason, DeliveryReason), "a DeliveryReason or None"),
        ("message", isinstance(said.message, str), "text"),
        ("status", said.status is None or type(said.status) is int, "an integer or None"),
        ("headers", _are_headers(said.headers), "a tuple of pairs of texts"),
        ("body", isinstance(said.body, bytes), "bytes"),
        ("remote_address", said.remote_address is None or isinstance(said.remote_address, str), "text or None"),
        ("retry_after_s", _is_wait(said.retry_after_s), "seconds or None"),
        ("patience_s", _is_wait(said.patience_s), "seconds or None"),
        ("pause_s", _is_wait(said.pause_s), "seconds or None"),
        ("disables", isinstance(said.disables, str), "text"),
        ("child", said.child is None, "None, as only functions make jobs"),
    )
    for name, is_right, expected in checks:
        if not is_right:
            return f"expected an Outcome whose {name} is {expected}, got {type(getattr(said, name)).__name__}"
    if said.verdict is not Verdict.DELIVERED and said.reason is None:
        return "expected an Outcome whose reason says why it failed, got None"
    return None


def bounded(outcome: Outcome) -> Outcome:
    """Return an outcome that has no fault with what is stored of any, and no more."""
    status = outcome.status
    return replace(
        outcome,
        message=_clean(outcome.message)[:_LONGEST_SENTENCE],
        status=status if status is not None and 0 <= status < 2**31 else None,
        headers=tuple((_clean(name), _clean(value)) for name, value in _first(outcome.headers)),
        body=outcome.body[:KEPT_BODY],
        remote_address=None if outcome.remote_address is None else _clean(outcome.remote_address)[:_LONGEST_ADDRESS],
        retry_after_s=_at_most(outcome.retry_after_s),
        patience_s=_at_most(outcome.patience_s),
        pause_s=_at_most(outcome.pause_s),
        disables=_clean(outcome.disables)[:_LONGEST_SENTENCE],
    )


_BOUNDS: Mapping[str, str] = MappingProxyType(
    {
        "message": f"UTF-8 of at most {_LONGEST_SENTENCE} characters",
        "status": "an integer from 0 to 2147483647, or None",
        "headers": f"UTF-8 of at most {KEPT_HEADERS} characters in all",
        "body": f"at most {KEPT_BODY} bytes",
        "remote_address": f"UTF-8 of at most {_LONGEST_ADDRESS} characters, or None",
        "retry_after_s": f"at most {_LONGEST_WAIT_S:g} seconds, or None",
        "patience_s": f"at most {_LONGEST_WAIT_S:g} seconds, or None",
        "pause_s": f"at most {_LONGEST_WAIT_S:g} seconds, or None",
        "disables": f"UTF-8 of at most {_LONGEST_SENTENCE} characters",
    }
)


def excess_of(outcome: Outcome) -> str | None:
    """Say what of an outcome that has no fault is more than is kept; None where nothing is."""
    kept = bounded(outcome)
    for name, most in _BOUNDS.items():
        if getattr(kept, name) != getattr(outcome, name):
            return f"expected an Outcome whose {name} is {most}, got one that has to be cut"
    return None


def _are_headers(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in value
    )


def _is_wait(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(value) and value >= 0)


def _at_most(value: float | None) -> float | None:
    return None if value is None else min(float(value), _LONGEST_WAIT_S)


def _first(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    kept, room = [], KEPT_HEADERS
    for name, value in headers:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name, value))
    return kept


def _clean(text: str) -> str:
    # Lone surrogates go neither into JSON nor into a database.
    return text.encode("utf-8", "replace").decode()

"""What the service itself reads from the settings of every kind: five names, which mean the same in all of them. Pure.

A kind may not have them for anything else, as options and what is common to all stand side by side in the YAML.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pipeline.config.settings import DISABLE_AFTER_S, BreakerSpec, Exponential, RetrySpec

_MOST = 1_000_000
_LONGEST_S = _MOST * 86_400.0
"""No duration in the YAML is longer; moments can still be told that lie so far off."""
_SLOWEST, _FASTEST = 1e-13, 1e6
_MOST_DELIVERIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The settings that are common to all kinds, with the defaults of those that a kind need not have."""

    concurrency: int
    retry: RetrySpec
    rate: float | None = None
    breaker: BreakerSpec | None = field(default_factory=BreakerSpec)
    disable_after: float | None = DISABLE_AFTER_S


def common_of(settings: object) -> Common:
    """Return what the service reads from a kind's settings, each of which is asked for once.

    Raises ValueError, with a sentence that names it, for one that is of another type or out of bounds; and whatever
    `settings` raise themselves.
    """
    found = {name: getattr(settings, name, default) for name, default in _DEFAULTS.items()}
    for name, (is_right, expected) in _RULES.items():
        if not is_right(found[name]):
            raise ValueError(f"expected settings whose {name} is {expected}, got {_shown(found[name])}")
    return Common(**found)


def _is_whole(value: Any, most: int = _MOST) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def _is_duration(value: Any) -> bool:
    return _is_number(value, 0, _LONGEST_S) and value > 0


def _is_retry(value: Any) -> bool:
    if not isinstance(value, RetrySpec) or not (value.max_age is None or _is_duration(value.max_age)):
        return False
    grows, waits = value.exponential, value.waits
    has_waits = waits is None or (isinstance(waits, tuple) and all(_is_number(each, 0, _LONGEST_S) for each in waits))
    return has_waits and (grows is None or _is_growth(grows)) and (value.name is None or isinstance(value.name, str))


def _is_growth(value: Any) -> bool:
    is_right = isinstance(value, Exponential) and _is_duration(value.base) and _is_duration(value.max)
    return is_right and _is_number(value.factor, 1, _MOST) and _is_whole(value.attempts)


def _is_breaker(value: Any) -> bool:
    if not isinstance(value, BreakerSpec):
        return value is None
    is_counted = _is_whole(value.failures) and _is_whole(value.deliveries, _MOST_DELIVERIES)
    return is_counted and _is_duration(value.wait) and _is_duration(value.max_wait)


_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"concurrency": None, "retry": None, "rate": None, "breaker": BreakerSpec(), "disable_after": DISABLE_AFTER_S}
)
_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "concurrency": (_is_whole, f"a whole number from 1 to {_MOST:,}"),
        "retry": (_is_retry, "a RetrySpec, as #/$defs/retry makes it"),
        "rate": (
            lambda value: value is None or _is_number(value, _SLOWEST, _FASTEST),
            "attempts in a second, as #/$defs/rate makes them, or None",
        ),
        "breaker": (_is_breaker, "a BreakerSpec, as #/$defs/breaker makes it, or None"),
        "disable_after": (
            lambda value: value is None or _is_duration(value),
            "seconds, as #/$defs/duration makes them, or None",
        ),
    }
)


NAMES = tuple(_RULES)
"""The five names."""


def _shown(value: object) -> str:
    """Return a number in bounds in which it can be read, else the type: a value may be anybody's secret."""
    if value is None:
        return "none"
    return f"{value:g}" if _is_number(value, -1e15, 1e15) else type(value).__name__

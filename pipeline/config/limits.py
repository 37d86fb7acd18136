"""Which limit a duration, a size or a rate exceeds that is written as one: found in the pattern that refuses it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.config.units import UNITS

_PARTS = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<decimals>[0-9]+))?(?P<unit>[A-Za-z/]+)")
_MOST_DIGITS = 15
_NUMBERS = UNITS.keys() - {"moment"}


def limit_of(schema: Mapping[str, Any], text: str) -> str | None:
    """Return what `schema` expects of a text that has the number and the unit that it wants, and yet does not fit it,
    such as `a duration of at most 999999d`; None for any other.
    """
    kind, pattern, found = schema.get("x-unit", ""), schema.get("pattern"), _PARTS.fullmatch(text)
    if pattern is None or found is None or not _is_one(kind, text):
        return None
    limit = _exceeded(found, lambda other: re.search(pattern, other) is not None)
    return limit and f"a {kind} {limit}"


def _exceeded(found: re.Match[str], fits: Callable[[str], bool]) -> str | None:
    whole, decimals, unit = found["whole"], found["decimals"] or "", found["unit"]
    digits = _longest(lambda count: fits("9" * count + unit))
    if not digits:
        return None  # the unit is not among those that are taken here
    if not (whole + decimals).strip("0"):
        return f"of more than 0{unit}"
    if len(whole.lstrip("0")) > digits:
        return f"of at most {'9' * digits}{unit}"
    if len(whole) > digits:
        return f"with at most {digits} digits"
    places = _longest(lambda count: fits(f"1.{'1' * count}{unit}"))
    if len(decimals) > places:
        return f"with at most {places} decimal{'s' * (places > 1)}" if places else "without decimals"
    return None


def _longest(fits: Callable[[int], bool]) -> int:
    return max((count for count in range(1, _MOST_DIGITS) if fits(count)), default=0)


def _is_one(kind: str, text: str) -> bool:
    if kind not in _NUMBERS:
        return False
    try:
        UNITS[kind](text)
    except ValueError:
        return False
    return True

"""Durations, sizes, rates and moments as the configuration writes them, turned into seconds, bytes, a number per second
and a datetime.

What is allowed where is the schema's business (`$defs` of `config.schema.json`); here it is only converted.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z/]+)")
_SECONDS = MappingProxyType(
    {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3_600), "d": Decimal(86_400)}
)
_BYTES = MappingProxyType(
    {unit: Decimal(factor) for unit, factor in (("B", 1), ("KB", 10**3), ("MB", 10**6), ("GB", 10**9))}
    | {unit: Decimal(factor) for unit, factor in (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30))}
)
_PER_SECOND = MappingProxyType({f"/{unit}": 1 / _SECONDS[unit] for unit in ("s", "m", "h")})


DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
"""What a duration looks like, for those who are to write one."""


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as `500ms`, `0.5s`, `2m`, `1h` or `30d`. Raises ValueError for others."""
    return float(_convert(text, _SECONDS))


def size_bytes(text: str) -> int:
    """Return the bytes of a size such as `128KiB` (of 1024) or `1024MB` (of 1000 KB). Raises ValueError for others."""
    return int(_convert(text, _BYTES))


def rate_per_s(text: str) -> float:
    """Return the number per second of a rate such as `50/s`, `30/m` or `1/h`. Raises ValueError for others."""
    return float(_convert(text, _PER_SECOND))


def rate_text(per_s: float) -> str:
    """Return a rate as it is written, by the unit that makes it a number of at least one: `50/s`, `30/m`, `0.5/h`."""
    written = [(float(f"{per_s / float(each):.10g}"), unit) for unit, each in _PER_SECOND.items()]
    number, unit = next((pair for pair in written if pair[0] >= 1), written[-1])
    return f"{plain(number, 10)}{unit}"


def plain(number: float, digits: int) -> str:
    """Return a number with so many digits that count, never as 0 where it is more, and never with an exponent."""
    return f"{Decimal(f'{number:.{digits}g}'):f}"


def moment(text: str) -> datetime:
    """Return the moment of a text such as `2027-01-31T00:00:00Z`, in UTC. Raises ValueError for others."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"not a moment with its distance from UTC: {text!r}")
    return at.astimezone(UTC)


UNITS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"duration": duration_s, "size": size_bytes, "rate": rate_per_s, "moment": moment}
)
"""What the schema keyword `x-unit` may name."""


def _convert(text: str, factors: Mapping[str, Decimal]) -> Decimal:
    # Decimal, because 700 * 0.001 is not 0.7 in binary floating point.
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] not in factors:
        raise ValueError(f"not a number with a unit of {', '.join(factors)}: {text!r}")
    return Decimal(match[1]) * factors[match[2]]

"""Reads what is written alike everywhere into its value: retry policies and breakers."""

from typing import Any

from pipeline.config.settings import BreakerSpec, Exponential, RetrySpec


def parse_retry(value: Any) -> RetrySpec:
    """Return the policy of a converted value that fits `$defs/retry`: a name, a list of seconds, or a mapping.

    A policy is returned as it is: the loader has already made one of every value under `x-retry`.
    """
    match value:
        case RetrySpec():
            return value
        case str():
            return RetrySpec(name=value)
        case {"name": name}:
            return RetrySpec(name=name, max_age=value.get("max_age"))
        case {"waits": waits}:
            return RetrySpec(waits=tuple(waits), max_age=value.get("max_age"))
        case {"exponential": fields}:
            return RetrySpec(exponential=Exponential(**fields), max_age=value.get("max_age"))
    return RetrySpec(waits=tuple(value))


def parse_breaker(value: Any) -> BreakerSpec | None:
    """Return the breaker of a converted value that fits `$defs/breaker`; None, which is no breaker, for null."""
    return value if value is None or isinstance(value, BreakerSpec) else BreakerSpec(**value)

"""Reads a retry policy, as it is written everywhere, into its value."""

from typing import Any

from pipeline.config.settings import Exponential, RetrySpec


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

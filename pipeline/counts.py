"""Counts in words, for people. Pure."""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 job`, `1,000 jobs`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"

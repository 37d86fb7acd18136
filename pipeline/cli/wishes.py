"""Headers: those that the command line sets, and those that options stand for."""

import argparse

from pipeline.cli.failures import UsageError

Header = tuple[str, str]


def header(text: str) -> Header:
    """Return a header written as `Name: value`, for argparse."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not name or not (text.isascii() and text.isprintable()) or set(name) & set(' \t"(),/;<=>?@[\\]{}'):
        raise argparse.ArgumentTypeError(f"expected a header such as X-Job-Tag:nightly, got {text!r}")
    return name, value


def wish(name: str, value: str) -> Header:
    """Return the header that an option stands for; UsageError for a value that no header can have."""
    if not (value.isascii() and value.isprintable() and value.strip()):
        raise UsageError(f"{name}: expected printable ASCII, got {value!r}")
    return name, value

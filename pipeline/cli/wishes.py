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


def callback(url: str) -> Header:
    """Return the header that names where the end is to be heard of; UsageError for what can stand in none."""
    if not url.isascii():
        from destinations.egress import fault_of_url  # noqa: PLC0415 - who names no such URL need not load it

        raise UsageError(f"--callback: {fault_of_url(url) or 'a URL holds ASCII only: encode the rest (%xx)'}")
    return wish("X-Callback-Url", url)

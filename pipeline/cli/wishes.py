"""Headers: those that the command line sets, and those that options stand for.

What a value must be is the service's to say; here is refused, before anything is sent, what no service takes.
"""

import argparse
import re

from pipeline.cli.failures import UsageError
from pipeline.config.units import duration_s

Header = tuple[str, str]

_TAG = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_KEY = re.compile(r'[\x21\x23-\x5b\x5d-\x7e]{1,255}|"[\x20-\x7e]+"')
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LONGEST_DELAY_S = 366 * 86_400
_SHOWN = 100


def header(text: str) -> Header:
    """Return a header written as `Name: value`, for argparse."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not name or not (text.isascii() and text.isprintable()) or set(name) & set(' \t"(),/;<=>?@[\\]{}'):
        raise argparse.ArgumentTypeError(f"expected a header such as X-Job-Tag:nightly, got {text!r}")
    return name, value


def a_tag(text: str) -> str:
    """Return a tag, for argparse."""
    if not _TAG.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(
            f"expected 1 to 100 characters such as nightly, none that steers a terminal, got {_shown(text)}"
        )
    return text


def a_key(text: str) -> str:
    """Return an Idempotency-Key, in quotes or without, for argparse."""
    if not _KEY.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "expected 1 to 255 printable ASCII characters without spaces, quotes and backslashes, such as nightly-17, "
            f"got {_shown(text)}"
        )
    return text


def a_delay(text: str) -> str:
    """Return how long a job is to wait, as it was written, for argparse."""
    try:
        seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else duration_s(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_DELAY_S:
        raise argparse.ArgumentTypeError(
            f"expected a duration from now on such as 90, 30s, 2m or 1h, of at most 366d, got {_shown(text)}"
        )
    return text


def a_method(text: str) -> str:
    """Return a method of HTTP, for argparse."""
    if not _TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected a method such as POST or PUT, got {_shown(text)}")
    return text


def callback(url: str) -> Header:
    """Return the header that names where the end is to be heard of; UsageError, which holds nothing of it, for what is
    no URL.
    """
    from destinations.egress import fault_of_url  # noqa: PLC0415 - who names no URL need not load it

    fault = fault_of_url(url) or (None if url.isascii() else "a URL holds ASCII only: encode the rest (%xx)")
    if fault is not None:
        raise UsageError(f"--callback: {fault}")
    return "X-Callback-Url", url


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{len(text)} characters"

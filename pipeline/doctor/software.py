"""The interpreter and the libraries: the versions in use, and whether their fast and safe parts are."""

import platform
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version

from pipeline.doctor.findings import Finding, fault, ok, warning
from pipeline.store.engine.probe import Version, has_wal_reset_bug, is_too_old, sqlite_version

_OLDEST_PYTHON = (3, 11)


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        yield fault("python", found, "install Sendoff into an environment of Python 3.11 or newer")
    else:
        yield ok("python", found)


def sqlite() -> Iterator[Finding]:
    """Look at the SQLite library."""
    yield of_sqlite(sqlite_version())


def of_sqlite(found: Version) -> Finding:
    """Say what is to be said of a version of SQLite."""
    text = ".".join(map(str, found))
    if is_too_old(found):
        return fault("sqlite", f"{text} is too old for the store", "use a Python with SQLite 3.37 or newer")
    if has_wal_reset_bug(found):
        return warning(
            "sqlite",
            f"{text} has the WAL-reset bug; harmless here, as it takes two connections that write or checkpoint at the "
            "same instant, and Sendoff has one",
            "let no other program write to the database; 3.51.3, 3.50.7 and 3.44.6 have the bug mended",
        )
    return ok("sqlite", text)


def aiohttp() -> Iterator[Finding]:
    """Look whether the HTTP parsers are the compiled ones."""
    from aiohttp import http_parser  # noqa: PLC0415 - so that an aiohttp that is broken is a finding

    found = version("aiohttp")
    pairs = (
        (http_parser.HttpRequestParser, http_parser.HttpRequestParserPy),
        (http_parser.HttpResponseParser, http_parser.HttpResponseParserPy),
    )
    if any(used is slow for used, slow in pairs):
        yield fault(
            "aiohttp",
            f"{found} without its compiled parser: requests are slower, and read by other rules than those tested",
            "install aiohttp from a wheel for this platform, and do not set AIOHTTP_NO_EXTENSIONS",
        )
    else:
        yield ok("aiohttp", f"{found}, with its compiled parser")


def aiodns() -> Iterator[Finding]:
    """Look whether names are looked up by aiodns, which has no threads that slow look-ups could fill."""
    from aiohttp.resolver import AsyncResolver, DefaultResolver  # noqa: PLC0415 - likewise

    if DefaultResolver is AsyncResolver:
        yield ok("aiodns", f"{version('aiodns')} looks names up")
    else:
        yield warning(
            "aiodns",
            "cannot be used: a few slow name servers would hold up all deliveries",
            "install aiodns and pycares from wheels for this platform",
        )


def uvloop() -> Iterator[Finding]:
    """Look at the event loop."""
    import_module("uvloop")
    yield ok("uvloop", version("uvloop"))

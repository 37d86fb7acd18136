"""aioresponses on the aiohttp we use.

aioresponses 0.7.9 makes a ClientResponse without `stream_writer`, which aiohttp requires since 3.14, and older aiohttp
has known holes. This mends that one call; drop the module when a release of aioresponses passes the argument.
"""

from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses


class _Response(ClientResponse):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        keywords.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*arguments, **keywords)


def scripted() -> aioresponses:
    """Return a scripted HTTP world; use it as a context manager."""
    return _Scripted()


class _Scripted(aioresponses):
    def add(self, *arguments: Any, **keywords: Any) -> None:
        keywords.setdefault("response_class", _Response)
        super().add(*arguments, **keywords)

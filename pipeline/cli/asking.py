"""Runs what a command asks of the service, and reads the ids that commands take."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.cli.address import add_address, address_of

Work = Callable[[Any], Awaitable[int]]


def run(args: argparse.Namespace, work: Callable[[Any], Awaitable[int]]) -> int:
    """Return what `work` does with a client of the service that the command line names."""
    from pipeline.cli.client import Client  # noqa: PLC0415 - the help of a command need not load aiohttp

    address = address_of(args)

    async def with_client() -> int:
        async with Client(address) as client:
            return await work(client)

    return asyncio.run(with_client())


def add_id(parser: argparse.ArgumentParser, what: str = "job's id") -> None:
    """Add the id, which is `what`, and `--url`."""
    parser.add_argument("id", type=an_id, metavar="ID", help=f"the {what}, or its URL")
    add_address(parser)


def an_id(text: str) -> str:
    """Return the id in an id or a status URL, fit to stand in a path; for argparse."""
    parts = [part for part in urlsplit(text).path.split("/") if part]
    if "v1" in parts and len(parts) > parts.index("v1") + 2:
        text = parts[parts.index("v1") + 2]
    if not text or text in (".", ".."):
        raise argparse.ArgumentTypeError(f"expected an id, got {text!r}")
    return quote(text, safe="")

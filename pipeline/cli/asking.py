"""Runs what a command asks of the service, and reads the ids that commands take."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pipeline.cli.address import Address, add_address, address_of

Work = Callable[[Any], Awaitable[int]]


class Id(str):
    """An id, fit to stand in a path; from a signed link also the service that signed it, and the signature."""

    __slots__ = ("service", "signature")

    service: str
    signature: str


def run(args: argparse.Namespace, work: Callable[[Any], Awaitable[int]]) -> int:
    """Return what `work` does with a client of the service that the command line names."""
    from pipeline.cli.client import Client  # noqa: PLC0415 - the help of a command need not load aiohttp

    subject = getattr(args, "id", None)
    link = subject if isinstance(subject, Id) and subject.signature else None
    # A link is for whoever has none of the service's keys, and none is sent to where it leads.
    address = address_of(args) if link is None else Address(url=link.service, origin="comes from the link")

    async def with_client() -> int:
        async with Client(address) as client:
            if link is not None:
                client.use_link(link, link.signature)
            return await work(client)

    return asyncio.run(with_client())


def add_id(parser: argparse.ArgumentParser, what: str = "job's id") -> None:
    """Add the id, which is `what`, and `--url`."""
    parser.add_argument("id", type=an_id, metavar="ID", help=f"the {what}, or its URL")
    add_address(parser)


def an_id(text: str) -> Id:
    """Return the id in an id or a status URL; for argparse."""
    url = urlsplit(text)
    parts = [part for part in url.path.split("/") if part]
    service, signature = "", ""
    if "v1" in parts and len(parts) > parts.index("v1") + 2:
        text = parts[parts.index("v1") + 2]
        if url.scheme in ("http", "https") and url.netloc:
            service = "/".join([f"{url.scheme}://{url.netloc}", *parts[: parts.index("v1")]])
            signature = next(iter(parse_qs(url.query).get("sig", [])), "")
    if not text or text in (".", ".."):
        raise argparse.ArgumentTypeError(f"expected an id, got {text!r}")
    found = Id(quote(text, safe=""))
    found.service, found.signature = service, signature
    return found

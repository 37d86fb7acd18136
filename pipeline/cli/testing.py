"""Tests of destinations on the command line: what they tell of, and what became of them."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from pipeline import strictjson
from pipeline.cli import asking
from pipeline.cli.client import Client
from pipeline.cli.failures import UsageError
from pipeline.cli.payload import read
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import out, print_lines
from pipeline.errors import BadJsonError
from pipeline.spans import span

_MOST_SAID = 300


@dataclass(frozen=True, slots=True)
class _Named:
    # JSON's null is a result, too.
    value: Any


def add_wish(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a test tells of."""
    wish = parser.add_mutually_exclusive_group()
    wish.add_argument("--data", type=_json, metavar="JSON", help="the result that it tells of, or @FILE with it")
    wish.add_argument("--job", type=asking.an_id, metavar="ID", help="tell again of this job, which has ended")


def _json(text: str) -> _Named:
    try:
        content = read(Path(text[1:])) if text.startswith("@") else text.encode(errors="surrogateescape")
        return _Named(strictjson.parse(content))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (BadJsonError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"expected JSON, or @FILE with it: {error}") from None


async def begin(args: argparse.Namespace, client: Client) -> int:
    """Have a destination tested as the command line says; return 0 where every recipient took it, else 1."""
    document: dict[str, Any] | None = None
    if args.data is not None:
        document = {"result": args.data.value}
    elif args.job is not None:
        document = {"job_id": args.job}
    tested = await client.post(f"/v1/destinations/{args.name}/test", document=document)
    if args.json:
        print(json_text(tested))
    else:
        print_lines(out(), _tested(tested))
    return 0 if tested["delivered"] else 1


def _tested(tested: Any) -> Iterator[Text]:
    for each in tested["tries"]:
        name = f"{tested['destination']} {each['recipient']}" if each["recipient"] else tested["destination"]
        line = Text.assemble((clean_line(name), "bold"), "  ")
        line.append("delivered" if each["delivered"] else f"not delivered ({each['class']})", _colour(each))
        line.append(f"  {each['status']}" if each["status"] is not None else "")
        yield line.append(f"  {span(each['duration_ms'] / 1000)}", "dim")
        if each["message"]:
            yield Text(f"  {clean_line(each['message'])}")
        if not each["delivered"] and (said := clean_line(each["body"] or "")):
            yield Text(f"  it answered: {said[:_MOST_SAID]}{' ...' if len(said) > _MOST_SAID else ''}")


def _colour(tried: Any) -> str:
    return "green" if tried["delivered"] else "red"

"""`sendoff webhook`: helps who receives webhooks. `webhook verify` says whether a request is genuine, and if not why.

The secret comes from the variable SENDOFF_WEBHOOK_SECRET or from a file: everybody on the machine sees the options of a
command.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pipeline.cli.failures import UsageError
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.verifiers import Named, of_private_ones, verifiers

VARIABLE = "SENDOFF_WEBHOOK_SECRET"
LAYOUTS = ("standard", "stripe", "github")
STDIN = "-"


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `webhook verify` to the command line."""
    parser = subparsers.add_parser("webhook", help="say whether a webhook is genuine, and why not", description=__doc__)
    kinds = parser.add_subparsers(metavar="ACTION", required=True)
    verify = kinds.add_parser("verify", help="verify the signature of one request", description=__doc__)
    verify.add_argument(
        "--headers", default=STDIN, metavar="FILE", help="the headers, `name: value` a line or as JSON (default: stdin)"
    )
    verify.add_argument(
        "--body",
        metavar="FILE",
        help="the bytes of the body, - for stdin (default: what follows the headers' blank line)",
    )
    verify.add_argument(
        "--secret-file", metavar="FILE", help=f"whsec_, whpk_ or raw: secrets, one a line (default: {VARIABLE})"
    )
    verify.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help="the destination's signature")
    verify.add_argument(
        "--at", type=_moment, metavar="MOMENT", help="when it came, such as 2027-01-31T00:00:00Z (default: now)"
    )
    verify.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say `genuine` and return 0, or why it is not and return 1; raises UsageError for what cannot be read."""
    from destinations.signing.diagnosis import why_not  # noqa: PLC0415 - other commands need none
    from destinations.signing.keys import Layout  # noqa: PLC0415 - likewise
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise

    named = _secrets(args.secret_file)
    secrets = verifiers(named, Layout(args.layout))
    if STDIN == args.headers == args.body:
        raise UsageError("the headers and the body cannot both come from stdin", "leave --body out, or name a file")
    head, rest = _split(_read(args.headers))
    body = rest if args.body is None else _read(args.body)
    at = args.at or SystemClock().now()
    reasons = why_not(secrets, _headers(head, args.headers), body, at.timestamp(), Layout(args.layout))
    for line in of_private_ones(named):
        print(line, file=sys.stderr)
    if not reasons:
        print("genuine")
        return 0
    first, *more = reasons  # which quote nothing of the request but words of letters and digits
    print(f"not genuine: {first}", *(f"  {sentence}" for sentence in more), sep="\n")
    return 1


def _secrets(file: str | None) -> list[Named]:
    text = os.environ.get(VARIABLE, "") if file is None else _read(file).decode("utf-8", "replace")
    where = VARIABLE if file is None else file
    secrets = [line.strip() for line in text.splitlines() if line.strip()]
    if not secrets:
        raise UsageError(f"there is no secret in {where}", f"set {VARIABLE}, or name a file by --secret-file")
    return [(f"secret {number} of {where}", secret) for number, secret in enumerate(secrets, 1)]


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{clean_line(file)} cannot be read: {error.strerror}") from None


def _split(content: bytes) -> tuple[str, bytes]:
    """Return the head of a request as text, and what follows its blank line."""
    ends = [(at, end) for end in (b"\r\n\r\n", b"\n\n") if (at := content.find(end)) >= 0]
    at, end = min(ends, default=(len(content), b""))
    return content[:at].decode("utf-8", "surrogateescape"), content[at + len(end) :]


def _headers(head: str, file: str) -> Mapping[str, str]:
    if not (found := _named(head)):
        where = "stdin" if file == STDIN else clean_line(file)
        advice = "Each is a line of `name: value`, or a member of a JSON object; a blank line ends them."
        raise UsageError(f"{where} holds no headers", advice)
    return found


def _named(head: str) -> Mapping[str, str]:
    if head.lstrip().startswith("{"):
        try:
            found = json.loads(head)
        except ValueError as error:
            raise UsageError(f"the headers begin as JSON, and are none: {error}") from None
        return {name: _joined(value) for name, value in found.items()}
    lines = (line.partition(":") for line in head.splitlines())  # a line of request or status has no name
    return {name.strip(" <>"): value.strip() for name, colon, value in lines if colon and "/" not in name}


def _joined(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _moment(text: str) -> datetime:
    from pipeline.config.units import moment  # noqa: PLC0415 - other commands need none

    try:
        return moment(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a moment such as 2027-01-31T00:00:00Z, got {text!r}") from None

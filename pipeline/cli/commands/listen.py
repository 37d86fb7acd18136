"""`sendoff listen`: a receiver for development, on this machine alone. It checks and prints webhooks, catches mails,
and can be told to misbehave, so that anyone can see the retries work. It keeps nothing, and ends on Ctrl-C.
"""

import argparse
import asyncio
import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pipeline.cli.failures import CommandError, UsageError
from pipeline.cli.listening.manners import Manners
from pipeline.cli.verifiers import Named, of_private_ones, verifiers
from pipeline.config.units import DURATION_PATTERN, duration_s

HOST = "127.0.0.1"
PORT = 9000
VARIABLE = "SENDOFF_WEBHOOK_SECRET"
LAYOUTS = ("standard", "stripe", "github")
_LONGEST_S = 3600.0


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `listen` to the command line."""
    parser = subparsers.add_parser("listen", help="receive webhooks and mails, for development", description=__doc__)
    parser.add_argument(
        "--port", type=_port, default=PORT, metavar="PORT", help=f"where webhooks come (default: {PORT}; 0: a free one)"
    )
    parser.add_argument(
        "--secret", action="append", metavar="SECRET",
        help="whsec_..., raw:... or whpk_..., to check signatures by; may stand more than once. Others on this "
        f"machine see what a command is told: --secret-file or the variable {VARIABLE} is better",
    )  # fmt: skip
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="secrets, one a line")
    parser.add_argument(
        "--layout", choices=LAYOUTS, help="the destination's signature (default: that of the header that came)"
    )
    parser.add_argument("--smtp", type=_port, metavar="PORT", help="also catch mails there (0: a free one)")
    parser.add_argument("--answer", type=_status, metavar="CODE", help="answer everything with this status")
    parser.add_argument("--fail", type=_whole, metavar="N", help="answer so only the first N requests of each message")
    parser.add_argument("--retry-after", type=_whole, metavar="SECONDS", help="send Retry-After with such answers")
    parser.add_argument("--delay", type=_delay, default=0.0, metavar="TIME", help="hold every answer back, such as 2s")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each webhook and mail")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Receive until Ctrl-C; return 0. CommandError for a port that is not free, UsageError for what makes no sense."""
    from destinations.signing.keys import Layout  # noqa: PLC0415 - the help of a command needs none
    from pipeline.cli.listening.checking import Checker  # noqa: PLC0415 - likewise
    from pipeline.cli.listening.session import receive  # noqa: PLC0415 - nor need it load aiohttp

    layout = None if args.layout is None else Layout(args.layout)
    named = _secrets(args.secret or [], args.secret_file)
    secrets = verifiers(named, layout or Layout.STANDARD, "`secrets` of the destination has it.")
    if args.retry_after is not None and args.answer is None and args.fail is None:
        raise UsageError("--retry-after goes with bad answers", "Ask for some: --answer 503, or --fail 3.")
    manners = Manners(answer=args.answer, fail=args.fail, retry_after_s=args.retry_after, delay_s=args.delay)
    with ExitStack() as sockets:
        web = sockets.enter_context(_bound(args.port, "--port"))
        smtp = None if args.smtp is None else sockets.enter_context(_bound(args.smtp, "--smtp"))
        greeting = "\n".join((_greeting(secrets, web, smtp), *of_private_ones(named)))
        return asyncio.run(receive(Checker(secrets, layout), manners, web, smtp, greeting=greeting, is_json=args.json))


def _greeting(secrets: tuple[str, ...], web: socket.socket, smtp: socket.socket | None) -> str:
    places = [f"webhooks at http://{HOST}:{web.getsockname()[1]}"]
    places += [f"mails at smtp://{HOST}:{smtp.getsockname()[1]}"] if smtp is not None else []
    unchecked = "" if secrets else f"\nsignatures are not checked: no secret in {VARIABLE} or --secret"
    return f"receiving {' and '.join(places)}; Ctrl-C ends it{unchecked}"


# Secrets


def _secrets(given: list[str], file: Path | None) -> list[Named]:
    """Return the secrets that count: those of the command line, else those of the environment."""
    named = [("--secret", secret) for secret in given]
    if file is not None:
        named += _lines(str(file), _text(file))
        if not named:
            raise UsageError(f"{file} holds no secret", "Each line is one, such as whsec_...")
    return named or list(_lines(VARIABLE, os.environ.get(VARIABLE, "")))


def _lines(origin: str, text: str) -> Iterator[Named]:
    return ((f"{origin}:{number}", line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text") from None


# Options


def _port(text: str) -> int:
    number = _whole(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return number


def _status(text: str) -> int:
    number = _whole(text)
    if not 200 <= number <= 599:
        raise argparse.ArgumentTypeError(f"expected a status from 200 to 599, got {text!r}")
    return number


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _delay(text: str) -> float:
    if re.fullmatch(DURATION_PATTERN, text) is None or (seconds := duration_s(text)) > _LONGEST_S:
        raise argparse.ArgumentTypeError(f"expected a time up to 1h such as 500ms, 2s or 1m, got {text!r}")
    return seconds


# Sockets


def _bound(port: int, option: str) -> socket.socket:
    """Return a socket that is bound, so that two receivers never share a port; CommandError where it cannot be."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()
    except OSError as error:
        found.close()
        other = f"Take another: {option} PORT, or {option} 0 for any free one."
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"port {port} is taken{_by(port)}", other) from None
        raise CommandError(f"port {port} cannot be had: {error.strerror}", other) from None
    return found


def _by(port: int) -> str:
    from pipeline.doctor.port import holders_of  # noqa: PLC0415 - only where something is wrong

    holders = ", ".join(f"pid {pid} ({name})" for pid, name in holders_of(port))
    return f" by {holders}" if holders else ""

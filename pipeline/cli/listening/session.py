"""One run of the receiver: from its sockets to the summary of what came."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp.web import SockSite
from rich.text import Text

from pipeline.cli.listening.checking import Checker
from pipeline.cli.listening.http import Hooks
from pipeline.cli.listening.manners import Manners
from pipeline.cli.listening.received import Mail, Webhook
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import err, out, print_lines
from pipeline.cli.screen.received import Tally, mail_lines, webhook_lines
from pipeline.clock import SystemClock
from pipeline.spans import span


async def receive(
    checker: Checker,
    manners: Manners,
    web: socket.socket,
    smtp: socket.socket | None,
    *,
    greeting: str,
    is_json: bool,
) -> int:
    """Print what comes to the sockets until Ctrl-C or SIGTERM; return 0, or 1 where nobody reads any more."""
    printer, clock, loop = _Printer(is_json=is_json), SystemClock(), asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, printer.stop.set)
    _have_said(printer.say)
    runner, mails = Hooks(checker, manners, printer.hook, printer.unanswered, printer.say, clock).runner(), None
    try:
        await runner.setup()
        await SockSite(runner, web).start()
        if smtp is not None:
            from pipeline.cli.listening.smtp import Mails  # noqa: PLC0415 - few want it

            mails = await loop.create_server(Mails(printer.mail, clock).protocol, sock=smtp)
        printer.say(greeting)
        await printer.stop.wait()
    finally:
        if mails is not None:
            mails.close()
        await runner.cleanup()
    printer.say(printer.tally.summary(has_mails=smtp is not None))
    return int(printer.is_broken)


class _Complaints(logging.Handler):
    """Says in a line what the libraries log of clients that do not speak HTTP or SMTP."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._say(clean_line(f"{record.getMessage()}: {error}" if error else record.getMessage()))


def _have_said(say: Callable[[str], None]) -> None:
    for name in ("aiohttp.server", "mail.log"):
        logger = logging.getLogger(name)
        logger.addHandler(_Complaints(say))
        logger.propagate = False


class _Printer:
    """Prints what comes, as it comes: to stdout, and to stderr what is about the receiver itself."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._out, self._err = out(), err()
        self.tally = Tally()
        self.stop = asyncio.Event()
        self.is_broken = False

    def hook(self, hook: Webhook) -> None:
        """Print and count a webhook."""
        self.tally.hook(hook)
        self._print(hook.as_json, lambda: webhook_lines(hook))

    def unanswered(self, hook: Webhook, after_s: float) -> None:
        """Count a webhook as one without an answer, and say when its sender went; at the end it is the receiver that
        goes.
        """
        self.tally.unanswered(hook)
        if not self.stop.is_set():
            what = clean_line(f"{hook.message_id or hook.method} at {hook.path}")
            self.say(f"{what}: the sender had gone before the answer, after {span(after_s)}")

    def mail(self, mail: Mail) -> None:
        """Print and count a mail."""
        self.tally.mail(mail)
        self._print(mail.as_json, lambda: mail_lines(mail))

    def say(self, sentence: str) -> None:
        """Print a sentence about the receiver."""
        self._err.print(Text(sentence), soft_wrap=True)

    def _print(self, as_json: Callable[[], Any], lines: Callable[[], Iterable[Text]]) -> None:
        try:
            if self._is_json:
                print(json_text(as_json(), is_indented=False), flush=True)
            else:
                print_lines(self._out, lines())
        except (BrokenPipeError, SystemExit):  # rich makes the one of the other; the sender shall have its answer
            # Who reads has read enough; what is still in the buffer must not be a complaint.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.is_broken = True
            self.stop.set()

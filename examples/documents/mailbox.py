"""A mail server on a free port of 127.0.0.1 that keeps what it gets: aiosmtpd, in the demo's own event loop."""

import asyncio
import email
from typing import Any, Self

from account import Mail
from aiosmtpd.smtp import SMTP


class Mailbox:
    """Appends every mail to a list; use it as a context manager."""

    def __init__(self, mails: list[Mail]) -> None:
        self.url = ""
        self._mails = mails
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Start to listen; `url` is then known."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, hostname="localhost", loop=loop), "127.0.0.1", 0)
        self.url = f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail."""
        mail = email.message_from_bytes(envelope.content)
        message_id, job_id = mail["Message-ID"], mail["X-Sendoff-Job-Id"]
        self._mails.append(Mail(message_id=message_id, job_id=job_id, recipients=tuple(envelope.rcpt_tos)))
        return "250 kept"

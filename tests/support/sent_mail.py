"""What a mail is to somebody else: aiosmtpd takes it, and the parser of the standard library reads it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from destinations.base import Sending
from destinations.email.destination import Email
from destinations.email.settings import settings_of
from pipeline.model import Outcome
from tests.support.webhooks import sending


@dataclass
class Taking:
    """A server of aiosmtpd, and every mail that it took."""

    limit: int | None
    is_utf8: bool
    port: int = 0
    envelopes: list[Any] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail; called by aiosmtpd."""
        self.envelopes.append(envelope)
        return "250 taken"

    def protocol(self) -> asyncio.Protocol:
        """Return what speaks with one client."""
        options: dict[str, Any] = {"data_size_limit": self.limit, "enable_SMTPUTF8": self.is_utf8}
        loop = asyncio.get_running_loop()
        return cast(asyncio.Protocol, SMTP(self, loop=loop, hostname="localhost", **options))

    def bytes(self) -> bytes:
        """Return the last mail as it came."""
        return cast(bytes, self.envelopes[-1].content)

    def mail(self) -> EmailMessage:
        """Return the last mail as a reader sees it."""
        return message_from_bytes(self.bytes(), policy=default)

    async def sent(self, *, message: Any = None, **changes: Any) -> Outcome:
        """Send one mail here, of a destination with settings of its own."""
        return await self.passed_on(sending(**(message or {})), **changes)

    async def passed_on(self, attempt: Sending, *, to: str = "ops@example.com", **changes: Any) -> Outcome:
        """Make one attempt here, to the recipient that `to` comes to."""
        given = {"smtp": f"smtp://127.0.0.1:{self.port}", "from": "sendoff@example.com", "to": [to], **changes}
        destination = Email("mail", settings_of(given))
        await destination.open()
        (recipient,) = destination.recipients()
        outcome = await destination.send(replace(attempt, recipient=recipient))
        await destination.close()
        return outcome


@contextlib.asynccontextmanager
async def taking(*, limit: int | None = None, is_utf8: bool = False) -> AsyncIterator[Taking]:
    """Run a server that takes mails up to `limit` bytes, and addresses beyond ASCII where it `is_utf8`."""
    server = Taking(limit=limit, is_utf8=is_utf8)
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()

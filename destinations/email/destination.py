"""The kind `email`: one mail for one recipient over SMTP, once.

What the mail says stands in `mail`, what the server's answers mean in `failures`. A connection serves one mail: mails
are few, and an idle one is soon closed.
"""

import asyncio
import ssl
from email.errors import MessageError
from urllib.parse import urlsplit

import aiosmtplib

from destinations.base import Sending
from destinations.dial.connector import connect
from destinations.egress import OPERATOR, Trust
from destinations.email import mail
from destinations.email.address import Mailbox, mailbox_of
from destinations.email.failures import broken, failure, judged, late, not_taken, of_login
from destinations.email.settings import Settings, templates_of
from destinations.templates.rendering import TemplateFaultError
from pipeline.model import DeliveryReason, Outcome, Verdict

_PORTS = {"smtp": 25, "smtps": 465}
_GOODBYE_S = 2.0


class Email:
    """One mail server, sender and set of templates."""

    def __init__(self, name: str, settings: Settings, *, trust: Trust = OPERATOR) -> None:
        parts = urlsplit(settings.smtp)
        self._settings = settings
        self._trust = trust
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._server = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._sender = mailbox_of(settings.from_)
        self._reply_to = mailbox_of(settings.reply_to) if settings.reply_to else None
        self._recipients = {each.address: each for each in map(mailbox_of, settings.to)}
        self._templates = templates_of(settings)
        self._tls: ssl.SSLContext | None = None

    async def open(self) -> None:
        """Read the trusted certificates."""
        self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)

    async def close(self) -> None:
        """Do nothing: no connection outlives its mail."""

    def recipients(self) -> tuple[str, ...]:
        """Return the addresses, without names."""
        return tuple(self._recipients)

    async def send(self, sending: Sending) -> Outcome:
        """Send one mail to one recipient and say what happened. Cancellation closes its connection and passes on."""
        try:
            composed = await asyncio.to_thread(self._compose, sending)
        except (TemplateFaultError, MessageError, ValueError) as fault:
            return failure(DeliveryReason.TEMPLATE_ERROR, str(fault))
        timeout = asyncio.timeout(self._settings.timeout)
        try:
            async with timeout:
                return await self._exchange(sending.recipient, composed, timeout)
        except aiosmtplib.SMTPException as error:
            return judged(error, self._server, self._settings.timeout)
        except (OSError, ValueError) as error:
            # The system has a time of its own for connections.
            return late(self._server, self._settings.timeout) if timeout.expired() else broken(error, self._server)

    def _compose(self, sending: Sending) -> bytes:
        settings, to = self._settings, sending.recipient
        return mail.compose(
            sending,
            self._templates,
            sender=self._sender,
            # One that is not configured any more has no name.
            recipient=self._recipients.get(to, Mailbox(name="", address=to)),
            reply_to=self._reply_to,
            attachment_limit=settings.attachment_limit if settings.attach_result else None,
        )

    async def _exchange(self, recipient: str, composed: bytes, limit: asyncio.Timeout) -> Outcome:
        settings = self._settings
        sock = await connect(self._host, self._port, self._trust)
        address = sock.getpeername()[0]
        # start_tls=False: it is decided here, by what is required.
        client = aiosmtplib.SMTP(
            hostname=self._host,
            sock=sock,
            local_hostname=self._sender.domain,
            use_tls=settings.is_tls,
            start_tls=False,
            tls_context=self._tls,
            timeout=settings.timeout,
        )
        try:
            await client.connect()
            if fault := await self._secured(client):
                return fault
            if fault := await self._logged_in(client):
                return fault
            if fault := not_taken(composed, client.esmtp_extensions, self._server):
                return fault
            # Of an address there may be more than ASCII (RFC 6531), of all else there is not.
            options = () if composed.isascii() else ("SMTPUTF8", "BODY=8BITMIME")
            _, said = await client.sendmail(self._sender.address, [recipient], composed, mail_options=options)
            await _goodbye(client, limit)
            # Whatever the server says it in: the mail is taken.
            body = said.encode("utf-8", "surrogateescape")
            return Outcome(verdict=Verdict.DELIVERED, status=250, body=body, remote_address=address)
        finally:
            client.close()
            sock.close()

    async def _secured(self, client: aiosmtplib.SMTP) -> Outcome | None:
        upgrade = self._settings.upgrade
        await client.ehlo()
        if upgrade == "never":
            return None
        if client.supports_extension("starttls"):
            await client.starttls(tls_context=self._tls, server_hostname=self._host)
            await client.ehlo()
            return None
        if upgrade == "required":
            return failure(DeliveryReason.TLS_ERROR, f"{self._server} does not offer STARTTLS, which is required")
        return None

    async def _logged_in(self, client: aiosmtplib.SMTP) -> Outcome | None:
        username, password = self._settings.username, self._settings.password
        if username is None or password is None:
            return None
        if not client.supports_extension("auth"):
            hint = "" if client.get_transport_info("sslcontext") else ": many do so over TLS only"
            return failure(DeliveryReason.AUTH_ERROR, f"{self._server} offers no login{hint}")
        try:
            await client.login(username, password.reveal())
        except aiosmtplib.SMTPServerDisconnected:
            raise
        except aiosmtplib.SMTPException as error:
            return of_login(error, self._server)
        return None


async def _goodbye(client: aiosmtplib.SMTP, limit: asyncio.Timeout) -> None:
    # The mail is taken: what goes wrong from here on, the time allowed included, must not have it sent again.
    left_s = (limit.when() or 0.0) - asyncio.get_running_loop().time()
    limit.reschedule(None)
    try:
        await client.quit(timeout=min(max(left_s, 0.0), _GOODBYE_S))
    except (aiosmtplib.SMTPException, OSError):
        return

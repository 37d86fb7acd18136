"""The catcher of mails: takes every one, from anybody, and passes none on."""

import asyncio
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult

from pipeline.cli.listening.manners import Memory
from pipeline.cli.listening.received import Attachment, Mail, readable
from pipeline.clock import Clock

LARGEST = 64 << 20


class Mails:
    """Makes a protocol for each connection, in the running loop."""

    def __init__(self, tell: Callable[[Mail], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._memory = Memory()

    def protocol(self) -> asyncio.Protocol:
        """Return what speaks with one client; whatever name and password it has will do."""
        return cast(
            asyncio.Protocol,
            SMTP(
                self,
                loop=asyncio.get_running_loop(),
                hostname="localhost",
                ident="sendoff listen",
                data_size_limit=LARGEST,
                enable_SMTPUTF8=True,
                auth_require_tls=False,
                authenticator=lambda *_: AuthResult(success=True),
            ),
        )

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail; called by aiosmtpd."""
        parsed = message_from_bytes(envelope.content, policy=POLICY)
        message_id = _header(parsed, "message-id")
        seen = self._memory.note(("", message_id))[0] if message_id else 1
        self._tell(
            Mail(
                at=self._clock.now(),
                sender=readable(envelope.mail_from or ""),
                recipients=tuple(readable(each) for each in envelope.rcpt_tos),
                subject=_header(parsed, "subject") or "",
                message_id=message_id,
                job_id=_header(parsed, "x-sendoff-job-id"),
                batch_id=_header(parsed, "x-sendoff-batch-id"),
                seen=seen,
                text=_text(parsed),
                attachments=tuple(_attachments(parsed)),
            )
        )
        return "250 taken, and kept nowhere"


def _header(mail: EmailMessage, name: str) -> str | None:
    try:
        value = mail[name]
    except Exception:  # a header that is no header: the parser of the standard library raises all sorts of errors
        return None
    return None if value is None else readable(str(value))


def _text(mail: EmailMessage) -> str:
    try:
        part = mail.get_body(("plain", "html"))
        return "" if part is None else readable(str(part.get_content())).replace("\r\n", "\n")
    except Exception:  # an unknown charset, a broken multipart: what came is shown as it is
        return mail.as_bytes().decode("utf-8", "replace")


def _attachments(mail: EmailMessage) -> Iterator[Attachment]:
    if not mail.is_multipart():
        return
    for part in mail.walk():
        if part.get_content_disposition() == "attachment":
            content = part.get_payload(decode=True)  # None where it is a mail itself
            size = len(content if isinstance(content, bytes) else part.as_bytes())
            yield Attachment(
                name=readable(part.get_filename() or "no name"), content_type=part.get_content_type(), size=size
            )

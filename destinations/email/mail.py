"""Mails: what a message reads like to a person, as the bytes of a mail. Pure; the sending is `destination`'s."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any

from jinja2 import Template

from destinations.base import Sending
from destinations.bodies.seen import seen_by_templates
from destinations.email import headers
from destinations.email.address import Mailbox
from destinations.templates.rendering import render
from pipeline.model import AlertMessage, AnyMessage, BatchMessage, Message

_SUBJECTS: Mapping[type[AnyMessage], str] = MappingProxyType(
    {Message: "X-Sendoff-Job-Id", BatchMessage: "X-Sendoff-Batch-Id", AlertMessage: "X-Sendoff-Alert-Id"}
)
_LONGEST_SUBJECT = 500
# In ASCII: bytes above it may be sent only to servers that offer 8BITMIME (RFC 6152).
_CONTENT = SMTP.clone(cte_type="7bit")
_TYPE = re.compile(r"([a-z0-9.+-]+)/([a-z0-9.+-]+)")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9._-]+)", re.IGNORECASE)
_NOT_ATTACHED = ("multipart", "message")  # have a form of their own, which base64 must not hide (RFC 2045, 6.4)
_SUFFIXES = {"application/json": ".json", "text/plain": ".txt", "text/html": ".html", "application/pdf": ".pdf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The three templates of a mail."""

    subject: Template
    text: Template
    html: Template | None


def compose(
    sending: Sending,
    templates: Templates,
    *,
    sender: Mailbox,
    recipient: Mailbox,
    reply_to: Mailbox | None,
    attachment_limit: int | None,
) -> bytes:
    """Return the mail for one recipient; TemplateFaultError where a template fails.

    Its Message-ID is the delivery's, its Date the message's: the same in every attempt, so that a repeat can be told.
    The result is attached where it is not larger than `attachment_limit` bytes.
    """
    message, seen = sending.message, seen_by_templates(sending)
    return b"".join(
        (
            headers.of_mailbox("From", sender),
            headers.of_mailbox("Reply-To", reply_to) if reply_to else b"",
            headers.of_mailbox("To", recipient),
            headers.of_text("Subject", render(templates.subject, seen)[:_LONGEST_SUBJECT]),
            headers.of_text("Date", format_datetime(message.ended_at)),
            headers.as_it_is("Message-ID", f"<{sending.delivery_id}@{sender.domain}>"),
            headers.as_it_is("Auto-Submitted", "auto-generated"),
            headers.as_it_is(_SUBJECTS[type(message)], message.subject_id),
            headers.as_it_is("X-Sendoff-Message-Id", message.id),
            _content(message, templates, seen, attachment_limit).as_bytes(),
        )
    )


def _content(
    message: AnyMessage, templates: Templates, seen: Mapping[str, Any], attachment_limit: int | None
) -> EmailMessage:
    content = EmailMessage(policy=_CONTENT)
    content.set_content(render(templates.text, seen))
    if templates.html is not None:
        content.add_alternative(render(templates.html, seen), subtype="html")
    if isinstance(message, Message) and attachment_limit is not None:
        _attach(content, message, attachment_limit)
    return content


def _attach(mail: EmailMessage, message: Message, limit: int) -> None:
    result = message.result
    if result is None or len(result.body) > limit:
        return
    written = result.content_type or ""
    content_type = written.partition(";")[0].strip().lower()
    found = _TYPE.fullmatch(content_type)
    main, sub = found.groups() if found and found[1] not in _NOT_ATTACHED else ("application", "octet-stream")
    name = f"{message.function}{_SUFFIXES.get(content_type, '')}"
    params = {"charset": _charset_of(written, result.body)} if main == "text" else None
    mail.add_attachment(result.body, maintype=main, subtype=sub, filename=name, params=params)


def _charset_of(content_type: str, body: bytes) -> str:
    if given := _CHARSET.search(content_type):
        return given[1]
    try:
        body.decode()
    except UnicodeDecodeError:
        return "us-ascii"  # what it is without any (RFC 2046, 4.1.2)
    return "utf-8"

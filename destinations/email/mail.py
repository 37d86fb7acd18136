"""Mails: what a message reads like to a person, as an EmailMessage. Pure; the sending is `destination`'s."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from types import MappingProxyType

from jinja2 import Template

from destinations.base import Sending
from destinations.bodies.seen import seen_by_templates
from destinations.templates.rendering import render
from pipeline.model import AlertMessage, AnyMessage, BatchMessage, Message

_SUBJECTS: Mapping[type[AnyMessage], str] = MappingProxyType(
    {Message: "X-Sendoff-Job-Id", BatchMessage: "X-Sendoff-Batch-Id", AlertMessage: "X-Sendoff-Alert-Id"}
)
_LONGEST_SUBJECT = 500
_ATTACHABLE = re.compile(r"([a-z0-9.+-]+)/([a-z0-9.+-]+)")
_SUFFIXES = {"application/json": ".json", "text/plain": ".txt", "text/html": ".html", "application/pdf": ".pdf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The three templates of a mail."""

    subject: Template
    text: Template
    html: Template | None


def compose(
    sending: Sending, templates: Templates, *, sender: str, domain: str, attachment_limit: int | None
) -> EmailMessage:
    """Return the mail for one recipient; TemplateFaultError where a template fails.

    Its Message-ID is the delivery's: the same in every attempt, so that a repeat can be told. The result is attached
    where it is not larger than `attachment_limit` bytes.
    """
    seen = seen_by_templates(sending)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = sending.recipient
    mail["Subject"] = " ".join(render(templates.subject, seen).split())[:_LONGEST_SUBJECT]
    mail["Date"] = sending.started_at
    mail["Message-ID"] = f"<{sending.delivery_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail[_SUBJECTS[type(sending.message)]] = sending.message.subject_id
    mail["X-Sendoff-Message-Id"] = sending.message.id
    mail.set_content(render(templates.text, seen))
    if templates.html is not None:
        mail.add_alternative(render(templates.html, seen), subtype="html")
    if isinstance(sending.message, Message) and attachment_limit is not None:
        _attach(mail, sending.message, attachment_limit)
    return mail


def _attach(mail: EmailMessage, message: Message, limit: int) -> None:
    result = message.result
    if result is None or len(result.body) > limit:
        return
    content_type = (result.content_type or "").partition(";")[0].strip().lower()
    found = _ATTACHABLE.fullmatch(content_type)
    main, sub = found.groups() if found and found[1] != "multipart" else ("application", "octet-stream")
    name = f"{message.function}{_SUFFIXES.get(content_type, '')}"
    mail.add_attachment(result.body, maintype=main, subtype=sub, filename=name)

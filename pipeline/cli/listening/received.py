"""What came in, as values, and as the JSON of `--json`. Pure."""

import base64
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from destinations.signing.keys import Layout
from pipeline.cli.screen.clean import is_text

_MOST_DIGITS = 9


class Signature(StrEnum):
    """What became of a signature."""

    GOOD = "good"
    BAD = "bad"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found of a signature."""

    signature: Signature
    why: str | None = None
    """Why it is not good."""
    layout: Layout | None = None
    """The layout that it was checked in; None where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One request, and what it is answered."""

    at: datetime
    method: str
    path: str
    message_id: str | None
    job_id: str | None
    batch_id: str | None
    destination: str | None
    attempt: int | None
    checked: Checked
    seen: int
    """How often its message has come, this time included."""
    is_duplicate: bool
    """Whether its message was accepted before; never where the signature is bad, as that is somebody else's."""
    status: int
    delay_s: float
    """How long its answer is held back."""
    content_type: str | None
    body: bytes

    @property
    def is_webhook(self) -> bool:
        """Tell whether it came as webhooks come."""
        return self.method in ("POST", "PUT")

    @property
    def is_accepted(self) -> bool:
        """Tell whether it is a webhook that is answered well."""
        return self.is_webhook and 200 <= self.status < 300

    @property
    def value(self) -> Any:
        """Return the body's JSON; None where it is none, or none that can be written again."""
        try:
            value = orjson.loads(self.body)
            orjson.dumps(value)  # it reads deeper nesting than it writes
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return None
        return value

    @property
    def type(self) -> str | None:
        """Return the event's type, where the body says one."""
        value = self.value
        kind = value.get("type") if isinstance(value, dict) else None
        return kind if isinstance(kind, str) else None

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "kind": "webhook",
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "type": self.type,
            "message_id": self.message_id,
            "job_id": self.job_id,
            "batch_id": self.batch_id,
            "destination": self.destination,
            "attempt": self.attempt,
            "signature": self.checked.signature,
            "layout": self.checked.layout,
            "why": self.checked.why,
            "seen": self.seen,
            "is_duplicate": self.is_duplicate,
            "status": self.status,
            "content_type": self.content_type,
            **self._body(),
        }

    def _body(self) -> dict[str, Any]:
        if (value := self.value) is not None:
            return {"encoding": "json", "body": value}
        if (text := is_text(self.body)) is not None:
            return {"encoding": "text", "body": text}
        return {"encoding": "base64", "body": base64.b64encode(self.body).decode()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What is attached to a mail."""

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail, as it was taken."""

    at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str | None
    """Its `Message-ID`; the same in every attempt of a delivery."""
    job_id: str | None
    batch_id: str | None
    seen: int
    text: str
    attachments: tuple[Attachment, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "kind": "mail",
            "at": self.at.isoformat(),
            "from": self.sender,
            "to": list(self.recipients),
            "subject": self.subject,
            "message_id": self.message_id,
            "job_id": self.job_id,
            "batch_id": self.batch_id,
            "seen": self.seen,
            "is_duplicate": self.seen > 1,
            "text": self.text,
            "attachments": [
                {"name": each.name, "content_type": each.content_type, "size": each.size} for each in self.attachments
            ],
        }


def number_of(text: str | None) -> int | None:
    """Return the whole number in a header; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def readable(text: str) -> str:
    """Return what stood in a header without bytes that are no text, which JSON cannot hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

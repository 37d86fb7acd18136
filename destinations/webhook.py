"""The kind `webhook`: one signed HTTP request for each message, once. What an answer means stands in `answers`."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from multidict import CIMultiDict

from destinations import answers, egress
from destinations.base import Concern, End, PublicKey, Sending
from destinations.body import Body, Form, make_body
from destinations.dial import make_exchange
from destinations.exchange import Exchange
from destinations.failures import ERRORS, reason_of, sentence_of
from destinations.signing import SigningError
from destinations.signing_keys import Layout
from destinations.webhook_secrets import AnySecret, public_keys_of, secrets_of, signer_of
from pipeline import __version__
from pipeline.config.secret import Secret
from pipeline.config.settings import DISABLE_AFTER_S, BreakerSpec, RetrySpec
from pipeline.model import (
    AnyMessage,
    BatchMessage,
    BatchState,
    DeliveryReason,
    JobState,
    Message,
    Outcome,
    Verdict,
)

_DEAD_ON = (413, 414, 415, 431, 501, 505)
_LARGE = 256 * 1024
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a webhook; the fields and defaults of `schemas/webhook.schema.json`."""

    url: str
    method: str = "POST"
    secrets: tuple[AnySecret, ...] = ()
    signature: Layout = Layout.STANDARD
    headers: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    body: Form = Form.MESSAGE
    inline_limit: int = 256 * 1024
    timeout: float = 30.0
    connect_timeout: float = 5.0
    concurrency: int = 10
    rate: float | None = None
    breaker: BreakerSpec | None = field(default_factory=BreakerSpec)
    disable_after: float | None = DISABLE_AFTER_S
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))
    dead_on: tuple[int, ...] = _DEAD_ON
    on_410: str = "disable"


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options; raises ValueError for a URL, secret or header that cannot be used."""
    layout = Layout(options.get("signature", Layout.STANDARD))
    settings = Settings(
        **{
            **options,
            "secrets": secrets_of(options, layout),
            "signature": layout,
            "headers": MappingProxyType(dict(options.get("headers", {}))),
            "body": Form(options.get("body", Form.MESSAGE)),
            "dead_on": tuple(options.get("dead_on", _DEAD_ON)),
        }
    )
    fault = egress.fault_of_url(settings.url)
    if fault is not None:
        raise ValueError(f"url: {fault}")
    for name, value in settings.headers.items():
        if settings.secrets and name.lower() == layout.header:
            raise ValueError(f"headers.{name}: expected another header, as signature: {layout} sets this one")
        if _FORBIDDEN.search(value.reveal()):
            raise ValueError(f"headers.{name}: a header holds no line breaks or other control characters")
    return settings


def warn(settings: Settings, _: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work: an address that no connection is made to."""
    if refusal := egress.refusal_of_url(settings.url, egress.OPERATOR):
        yield "url", f"every attempt will be refused, as {refusal}"
    if settings.signature is not Layout.STANDARD and not settings.secrets:
        yield "signature", "serves only with secrets: without any, requests are not signed"


def public_keys(settings: Settings) -> Iterator[PublicKey]:
    """Yield what receivers verify with, of the secrets that have such a key."""
    yield from public_keys_of(settings.secrets)


class Webhook:
    """One endpoint."""

    def __init__(self, name: str, settings: Settings, *, trust: egress.Trust = egress.OPERATOR) -> None:
        self._settings = settings
        self._trust = trust
        self._signer = signer_of(settings.secrets, settings.signature)
        self._headers = _fixed_headers(name, settings)
        self._has_own_type = "content-type" in self._headers
        self._exchange: Exchange | None = None

    async def open(self) -> None:
        """Make the pool of connections; none is made yet."""
        settings = self._settings
        self._exchange = make_exchange(
            trust=self._trust,
            method=settings.method,
            url=settings.url,
            headers=self._headers.items(),
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            connections=settings.concurrency,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None

    def recipients(self) -> tuple[str, ...]:
        """Return one nameless recipient."""
        return ("",)

    async def send(self, sending: Sending) -> Outcome:
        """Send one request and say what happened. Cancellation closes its connection and passes through."""
        settings = self._settings
        body = make_body(
            settings.body,
            sending.message,
            base_url=sending.base_url,
            inline_limit=settings.inline_limit,
            link=sending.link,
        )
        assert self._exchange is not None, "send() before open()"
        try:
            if self._signer and len(body.content) > _LARGE:  # to sign 64 MiB takes a tenth of a second
                headers = await asyncio.to_thread(self._headers_of, sending, body)
            else:
                headers = self._headers_of(sending, body)
            reply = await self._exchange.send(headers, body.content)
        except ERRORS as error:
            return _failure(error)
        except SigningError as error:
            return Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.AUTH_ERROR, message=str(error))
        return answers.judge(
            reply.status,
            reply.headers,
            bytes(reply.body),
            dead_on=settings.dead_on,
            now=sending.started_at,
            gone_disables=settings.on_410 == "disable",
            remote_address=reply.remote_address,
        )

    def _headers_of(self, sending: Sending, body: Body) -> dict[str, str]:
        """Return the headers of this one request; their names are `_VARYING`."""
        message = sending.message
        timestamp = int(sending.started_at.timestamp())
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            _SUBJECTS[type(message)]: message.subject_id,
            "x-sendoff-attempt": str(sending.attempt),
            "X-Call-Id": message.subject_id,
            "X-Function-Name": message.function,
            "X-Function-Status": str(_function_status(message)),
            "X-Duration-Seconds": f"{_duration_s(message):.6f}",
        }
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        if not self._has_own_type:
            headers["content-type"] = body.content_type
        if self._signer:
            headers[self._signer.header] = self._signer.sign(message.id, timestamp, body.content)
        return headers


_SUBJECTS: Mapping[type[AnyMessage], str] = MappingProxyType(
    {Message: "x-sendoff-job-id", BatchMessage: "x-sendoff-batch-id"}
)
_VARYING = (
    *("webhook-id", "webhook-timestamp", *_SUBJECTS.values(), "x-sendoff-attempt", "traceparent"),
    *("x-call-id", "x-function-name", "x-function-status", "x-duration-seconds"),
)


def _fixed_headers(name: str, settings: Settings) -> CIMultiDict[str]:
    """Return what every request of a destination carries; its own headers win over ours, but for those that vary."""
    headers = CIMultiDict(
        {
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": f"sendoff/{__version__}",
            "x-sendoff-destination": name,
        }
    )
    for own, value in settings.headers.items():
        headers[own] = value.reveal()
    for varying in _VARYING:
        headers.popall(varying, None)
    return headers


def _function_status(message: AnyMessage) -> int:
    """Return what a caller would have got: OpenFaaS's X-Function-Status."""
    if isinstance(message, BatchMessage):
        return 200 if message.batch.state is BatchState.COMPLETED else 500
    if message.result is not None:
        return message.result.status
    return 200 if message.state is JobState.SUCCEEDED else 500


def _duration_s(message: AnyMessage) -> float:
    began = message.batch.created_at if isinstance(message, BatchMessage) else message.started_at
    return (message.ended_at - began).total_seconds() if began else 0.0


def _failure(error: Exception) -> Outcome:
    reason = reason_of(error)
    return Outcome(
        verdict=Verdict.TEMPORARY,
        reason=reason,
        message=sentence_of(error),
        retry_after_s=answers.PATIENCE_S if reason is DeliveryReason.TIMEOUT else None,
    )

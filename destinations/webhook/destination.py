"""The kind `webhook`: one signed HTTP request for each message, once. What an answer means stands in `answers`."""

import asyncio
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType

from multidict import CIMultiDict

from destinations import egress
from destinations.base import PATIENCE_S, Sending
from destinations.bodies.base import LARGE, Body
from destinations.bodies.making import made
from destinations.dial.connection import Reply
from destinations.dial.connector import make_exchange
from destinations.dial.detour import refused_by
from destinations.dial.exchange import Exchange
from destinations.dial.failures import ERRORS, reason_of, sentence_of
from destinations.dial.tls import context_of
from destinations.signing.signatures import SigningError
from destinations.templates.rendering import TemplateFaultError
from destinations.webhook import answers
from destinations.webhook.access import authorization_of
from destinations.webhook.secrets import signer_of
from destinations.webhook.settings import Settings
from pipeline import __version__
from pipeline.model import (
    AlertMessage,
    AnyMessage,
    BatchMessage,
    BatchState,
    DeliveryReason,
    JobState,
    Message,
    Outcome,
    Verdict,
)


class Webhook:
    """One endpoint."""

    def __init__(self, name: str, settings: Settings, *, trust: egress.Trust = egress.OPERATOR) -> None:
        self._settings = settings
        self._trust = trust
        self._signer = signer_of(settings.secrets, settings.signature)
        self._headers = _fixed_headers(name, settings)
        self._has_own_type = "content-type" in self._headers
        self._set_by_owner = _VARYING.intersection(name.lower() for name in settings.headers)
        self._is_https = settings.url.lower().startswith("https:")
        self._exchange: Exchange | None = None

    async def open(self) -> None:
        """Make the pool of connections; none is made yet. Reads the files of certificates."""
        settings = self._settings
        needs_tls = settings.tls is not None or (settings.proxy is not None and self._is_https)
        tls = await asyncio.to_thread(context_of, settings.tls) if needs_tls else None
        self._exchange = self._exchange_to(settings.url, self._trust, tls)

    def _exchange_to(self, url: str, trust: egress.Trust, tls: ssl.SSLContext | None = None) -> Exchange:
        settings = self._settings
        return make_exchange(
            trust=trust,
            method=settings.method,
            url=url,
            headers=self._headers.items(),
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            connections=settings.concurrency,
            tls=tls,
            proxy=settings.proxy,
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
        try:
            body = await made(settings.body, sending, settings.inline_limit)
            if self._signer and len(body.content) > LARGE:  # to sign 64 MiB takes a tenth of a second
                headers = await asyncio.to_thread(self._headers_of, sending, body)
            else:
                headers = self._headers_of(sending, body)
            reply = await self._ask(sending.recipient, headers, body.content)
        except ERRORS as error:
            return _failure(error)
        except TemplateFaultError as fault:
            message = str(fault)[:500]
            return Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.TEMPLATE_ERROR, message=message)
        except SigningError as error:
            return Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.AUTH_ERROR, message=str(error))
        outcome = answers.judge(
            reply.status,
            reply.headers,
            bytes(reply.body),
            dead_on=settings.dead_on,
            now=sending.started_at,
            gone_disables=settings.on_410 == "disable",
            remote_address=reply.remote_address,
        )
        return self._of_proxy(outcome) if reply.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else outcome

    def _of_proxy(self, outcome: Outcome) -> Outcome:
        """Return what 407 means, which is a proxy's to say, where it is one that sees requests."""
        proxy = self._settings.proxy
        if proxy is None or self._is_https or outcome.verdict is not Verdict.TEMPORARY:
            return outcome
        return replace(outcome, reason=DeliveryReason.AUTH_ERROR, message=refused_by(proxy.name))

    def _ask(self, _: str, headers: dict[str, str], content: bytes) -> Awaitable[Reply]:
        assert self._exchange is not None, "send() before open()"
        return self._exchange.send(headers, content)

    def _headers_of(self, sending: Sending, body: Body) -> dict[str, str]:
        """Return the headers of this one request, but for those that the destination has of its own."""
        message = sending.message
        timestamp = int(sending.started_at.timestamp())
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            _SUBJECTS[type(message)]: message.subject_id,
            "x-sendoff-attempt": str(sending.attempt),
        }
        if not isinstance(message, AlertMessage):
            headers |= {
                "X-Call-Id": message.subject_id,
                "X-Function-Name": message.function,
                "X-Function-Status": str(_function_status(message)),
                "X-Duration-Seconds": f"{_duration_s(message):.6f}",
            }
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        if self._set_by_owner:
            headers = {name: value for name, value in headers.items() if name.lower() not in self._set_by_owner}
        if not self._has_own_type:
            headers["content-type"] = body.content_type
        headers.update(body.headers)
        if self._signer:
            headers[self._signer.header] = self._signer.sign(message.id, timestamp, body.content)
        return headers


_SUBJECTS: Mapping[type[AnyMessage], str] = MappingProxyType(
    {Message: "x-sendoff-job-id", BatchMessage: "x-sendoff-batch-id", AlertMessage: "x-sendoff-alert-id"}
)
_VARYING = frozenset(
    {
        *(*_SUBJECTS.values(), "x-sendoff-attempt", "traceparent"),
        *("x-call-id", "x-function-name", "x-function-status", "x-duration-seconds"),
    }
)
"""Those of one request that a destination may have of its own: the configuration takes no `webhook-*`."""


def _fixed_headers(name: str, settings: Settings) -> CIMultiDict[str]:
    """Return what every request of a destination carries; its own headers win over ours."""
    headers = CIMultiDict(
        {
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": f"sendoff/{__version__}",
            "x-sendoff-destination": name,
        }
    )
    if said := authorization_of(settings.basic, settings.bearer):
        headers["authorization"] = said
    for own, value in settings.headers.items():
        headers[own] = value.reveal()
    return headers


def _function_status(message: Message | BatchMessage) -> int:
    """Return what a caller would have got: OpenFaaS's X-Function-Status."""
    if isinstance(message, BatchMessage):
        return 200 if message.batch.state is BatchState.COMPLETED else 500
    if message.result is not None:
        return message.result.status
    return 200 if message.state is JobState.SUCCEEDED else 500


def _duration_s(message: Message | BatchMessage) -> float:
    began = message.batch.created_at if isinstance(message, BatchMessage) else message.started_at
    return (message.ended_at - began).total_seconds() if began else 0.0


def _failure(error: Exception) -> Outcome:
    reason = reason_of(error)
    return Outcome(
        verdict=Verdict.TEMPORARY,
        reason=reason,
        message=sentence_of(error),
        patience_s=PATIENCE_S if reason is DeliveryReason.TIMEOUT else None,
    )

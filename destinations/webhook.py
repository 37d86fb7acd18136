"""The kind `webhook`: one signed HTTP request for each message, once. What an answer means stands in `answers`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession
from multidict import CIMultiDict, istr
from yarl import URL

from destinations import answers, egress
from destinations.base import Sending
from destinations.body import Body, Form, make_body
from destinations.dial import Answer, make_client, reason_of, sentence_of, was_unsent
from destinations.signing import Signer, parse_secret
from pipeline import __version__
from pipeline.config.secret import Secret
from pipeline.config.settings import RetrySpec
from pipeline.model import DeliveryReason, JobState, Message, Outcome, Verdict

_DEAD_ON = (413, 414, 415, 431, 501, 505)
_ONE_WRITE = 2**20  # aiohttp writes up to this at once, and more of it from a file, in pieces
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a webhook; the fields and defaults of `schemas/webhook.schema.json`."""

    url: str
    method: str = "POST"
    secrets: tuple[Secret, ...] = ()
    headers: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    body: Form = Form.MESSAGE
    inline_limit: int = 256 * 1024
    timeout: float = 30.0
    connect_timeout: float = 5.0
    concurrency: int = 10
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))
    dead_on: tuple[int, ...] = _DEAD_ON


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options; raises ValueError for a URL, secret or header that cannot be used."""
    settings = Settings(
        **{
            **options,
            "secrets": tuple(options.get("secrets", ())),
            "headers": MappingProxyType(dict(options.get("headers", {}))),
            "body": Form(options.get("body", Form.MESSAGE)),
            "dead_on": tuple(options.get("dead_on", _DEAD_ON)),
        }
    )
    fault = egress.fault_of_url(settings.url)
    if fault is not None:
        raise ValueError(f"url: {fault}")
    for number, secret in enumerate(settings.secrets):
        _check_secret(number, secret)
    for name, value in settings.headers.items():
        if _FORBIDDEN.search(value.reveal()):
            raise ValueError(f"headers.{name}: a header holds no line breaks or other control characters")
    return settings


def _check_secret(number: int, secret: Secret) -> None:
    try:
        parse_secret(secret.reveal())
    except ValueError as error:
        raise ValueError(f"secrets[{number}]: {error}") from None


class Webhook:
    """One endpoint."""

    def __init__(self, name: str, settings: Settings, *, trust: egress.Trust = egress.OPERATOR) -> None:
        self._settings = settings
        self._trust = trust
        self._url = URL(settings.url)
        self._signer = Signer(parse_secret(secret.reveal()) for secret in settings.secrets)
        self._headers = _fixed_headers(name, settings)
        self._own = frozenset(map(str.lower, settings.headers))
        self._client: ClientSession | None = None

    async def open(self) -> None:
        """Make the pool of connections; none is made yet."""
        settings = self._settings
        self._client = make_client(
            trust=self._trust,
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            connections=settings.concurrency,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def recipients(self) -> tuple[str, ...]:
        """Return one nameless recipient."""
        return ("",)

    async def send(self, sending: Sending) -> Outcome:
        """Send one request and say what happened. Cancellation closes its connection and passes through."""
        settings = self._settings
        body = make_body(settings.body, sending.message, base_url=sending.base_url, inline_limit=settings.inline_limit)
        headers = self._headers_of(sending, body)
        try:
            response = await self._request(headers, body.content)
        except (ClientError, OSError, ValueError) as error:
            return _failure(error)
        try:
            content = await _read(response)
        finally:
            response.close()  # gives nothing back: at the end of a body the connection already went to the pool
        return answers.judge(
            response.status,
            response.headers.items(),
            content,
            dead_on=settings.dead_on,
            now=sending.started_at,
            remote_address=response.remote_address if isinstance(response, Answer) else None,
        )

    async def _request(self, headers: CIMultiDict[str], content: bytes) -> ClientResponse:
        try:
            return await self._once(headers, content)
        except ClientError as error:
            if len(content) > _ONE_WRITE or not was_unsent(error):
                raise
        return await self._once(headers, content)  # nothing has left, so this is still the same attempt

    async def _once(self, headers: CIMultiDict[str], content: bytes) -> ClientResponse:
        assert self._client is not None, "send() before open()"
        data = content if len(content) <= _ONE_WRITE else BytesIO(content)
        return await self._client.request(
            self._settings.method, self._url, data=data, headers=headers, allow_redirects=False
        )

    def _headers_of(self, sending: Sending, body: Body) -> CIMultiDict[str]:
        message = sending.message
        headers = self._headers.copy()
        if _TYPE not in self._own:
            headers[_TYPE] = body.content_type
        timestamp = int(sending.started_at.timestamp())
        headers[_ID] = message.id
        headers[_TIMESTAMP] = str(timestamp)
        if self._signer:
            headers[_SIGNATURE] = self._signer.sign(message.id, timestamp, body.content)
        headers[_JOB_ID] = message.job_id
        headers[_ATTEMPT] = str(sending.attempt)
        headers[_CALL_ID] = message.job_id
        headers[_FUNCTION] = message.function
        headers[_STATUS] = str(_function_status(message))
        headers[_DURATION] = f"{_duration_s(message):.6f}"
        return headers


# Made once: a plain str would be turned into one of these for every header of every request.
_TYPE = istr("content-type")
_ID = istr("webhook-id")
_TIMESTAMP = istr("webhook-timestamp")
_SIGNATURE = istr("webhook-signature")
_JOB_ID = istr("x-sendoff-job-id")
_DESTINATION = istr("x-sendoff-destination")
_ATTEMPT = istr("x-sendoff-attempt")
_CALL_ID = istr("X-Call-Id")
_FUNCTION = istr("X-Function-Name")
_STATUS = istr("X-Function-Status")
_DURATION = istr("X-Duration-Seconds")


def _fixed_headers(name: str, settings: Settings) -> CIMultiDict[str]:
    """Return what every request of a destination carries; its own headers win over ours."""
    headers = CIMultiDict(
        {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"sendoff/{__version__}", _DESTINATION: name}
    )
    for own, value in settings.headers.items():
        headers[own] = value.reveal()
    return headers


def _function_status(message: Message) -> int:
    """Return what a caller would have got: OpenFaaS's X-Function-Status."""
    if message.result is not None:
        return message.result.status
    return 200 if message.state is JobState.SUCCEEDED else 500


def _duration_s(message: Message) -> float:
    return (message.ended_at - message.started_at).total_seconds() if message.started_at else 0.0


async def _read(response: ClientResponse) -> bytes:
    """Return the start of the answer's body; what goes wrong here changes nothing, the status line has decided."""
    content = response.content
    chunks: list[bytes] = []
    room = answers.READ_LIMIT
    try:
        while room > 0 and not content.at_eof():
            chunks.append(await content.readany())
            room -= len(chunks[-1])
    except (ClientError, OSError):
        pass
    return b"".join(chunks)


def _failure(error: Exception) -> Outcome:
    reason = reason_of(error)
    return Outcome(
        verdict=Verdict.TEMPORARY,
        reason=reason,
        message=sentence_of(error),
        retry_after_s=answers.PATIENCE_S if reason is DeliveryReason.TIMEOUT else None,
    )

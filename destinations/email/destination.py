"""The kind `email`: one mail for one recipient over SMTP, once.

What the mail says stands in `mail`, what the server's answers mean in `failures`. A connection serves one mail: mails
are few, and an idle one is soon closed.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
from jinja2 import Template

from destinations.base import Concern, End, Sending
from destinations.bodies import rehearsal
from destinations.dial.connector import connect
from destinations.egress import OPERATOR, Trust, fault_of_url, refusal_of_url
from destinations.email import defaults, mail
from destinations.email.failures import broken, failure, judged, late, of_login
from destinations.templates.rendering import OF_RESULTS, TemplateFaultError, compile_template, render
from pipeline.config.files import found_instead
from pipeline.config.secret import Secret
from pipeline.config.settings import DISABLE_AFTER_S, BreakerSpec, RetrySpec
from pipeline.model import DeliveryReason, Outcome, Verdict

_PORTS = {"smtp": 25, "smtps": 465}
_GOODBYE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an email destination; the fields and defaults of `schemas/email.schema.json`."""

    smtp: str
    from_: str
    to: tuple[str, ...]
    starttls: str | None = None
    username: str | None = None
    password: Secret | None = None
    ca_file: Path | None = None
    subject: str | None = None
    text: str | None = None
    text_file: Path | None = None
    html: str | None = None
    html_file: Path | None = None
    attach_result: bool = False
    attachment_limit: int = 5 * 1024 * 1024
    timeout: float = 30.0
    concurrency: int = 2
    rate: float | None = None
    breaker: BreakerSpec | None = field(default_factory=BreakerSpec)
    disable_after: float | None = DISABLE_AFTER_S
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))

    @property
    def is_tls(self) -> bool:
        """Tell whether TLS begins with the first byte."""
        return self.smtp.startswith("smtps:")

    @property
    def upgrade(self) -> str:
        """Return `auto`, `required` or `never`: whether a plain connection changes to TLS."""
        return "never" if self.is_tls else self.starttls or ("required" if self.username else "auto")


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings in validated options; raises ValueError for what cannot be used together."""
    given = {name: value for name, value in options.items() if name != "from"}
    settings = Settings(**{**given, "from_": options["from"], "to": tuple(options["to"])})
    if fault := _fault_of(settings):
        raise ValueError(fault)
    _templates_of(settings)
    return settings


def _fault_of(settings: Settings) -> str | None:
    if fault := fault_of_url(_as_http(settings.smtp)):
        return f"smtp: {fault}"
    if (settings.username is None) != (settings.password is None):
        missing = "password" if settings.password is None else "username"
        return f"{missing}: expected a value, as username and password go together"
    if settings.is_tls and settings.starttls not in (None, "never"):
        return "starttls: expected nothing with smtps://, which is TLS from the first byte"
    for kind in ("text", "html"):
        if getattr(settings, kind) is not None and getattr(settings, f"{kind}_file") is not None:
            return f"{kind}_file: expected only one of {kind} and {kind}_file"
    return None


def _as_http(url: str) -> str:
    return url.replace("smtp", "http", 1)


def warn(settings: Settings, ends: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work: an address that no connection is made to, templates that some message does not fill."""
    if refusal := refusal_of_url(_as_http(settings.smtp), OPERATOR):
        yield "smtp", f"every attempt will be refused, as {refusal}"
    templates = _templates_of(settings)
    for key in ("subject", "text", "html"):
        template = getattr(templates, key)
        option = key if getattr(settings, key) is not None else f"{key}_file"
        for sentence in rehearsal.sentences(partial(render, template), ends) if template is not None else ():
            yield option, sentence


def _templates_of(settings: Settings) -> mail.Templates:
    text = _template(settings, "text")
    html = _template(settings, "html", is_html=True)
    return mail.Templates(
        subject=_compiled("subject", settings.subject or defaults.SUBJECT),
        text=text or _compiled("text", defaults.TEXT),
        # Whoever writes the text alone wants a mail of text alone.
        html=html or (None if text else _compiled("html", defaults.HTML, is_html=True)),
    )


def _template(settings: Settings, key: str, *, is_html: bool = False) -> Template | None:
    inline, file = getattr(settings, key), getattr(settings, f"{key}_file")
    if file is None:
        return None if inline is None else _compiled(key, inline, is_html=is_html)
    try:
        source = file.read_text("utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path that there could be
        raise ValueError(f"{key}_file: expected a template, got {found_instead(file, error)}") from None
    return _compiled(f"{key}_file", source, is_html=is_html)


def _compiled(key: str, source: str, *, is_html: bool = False) -> Template:
    try:
        template = compile_template(source, is_html=is_html)
        certain = compile_template(source, is_html=is_html, without=OF_RESULTS)
    except TemplateFaultError as fault:
        raise ValueError(f"{key}: {fault}") from None
    if said := rehearsal.fault_of_all(partial(render, template), partial(render, certain)):
        raise ValueError(f"{key}: {said}")
    return template


class Email:
    """One mail server, sender and set of templates."""

    def __init__(self, name: str, settings: Settings, *, trust: Trust = OPERATOR) -> None:
        parts = urlsplit(settings.smtp)
        self._settings = settings
        self._trust = trust
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._server = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._domain = settings.from_.rpartition("@")[2]
        self._templates = _templates_of(settings)
        self._tls: ssl.SSLContext | None = None

    async def open(self) -> None:
        """Read the trusted certificates."""
        self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)

    async def close(self) -> None:
        """Do nothing: no connection outlives its mail."""

    def recipients(self) -> tuple[str, ...]:
        """Return the addresses."""
        return self._settings.to

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
        settings = self._settings
        return mail.compose(
            sending,
            self._templates,
            sender=settings.from_,
            domain=self._domain,
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
            local_hostname=self._domain,
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
            _, said = await client.sendmail(settings.from_, [recipient], composed)
            await _goodbye(client, limit)
            return Outcome(verdict=Verdict.DELIVERED, status=250, body=said.encode(), remote_address=address)
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

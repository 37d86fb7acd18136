"""The settings of an email destination: what of them cannot be, or cannot work, and their templates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Template

from destinations.base import Concern, End
from destinations.bodies import rehearsal
from destinations.egress import OPERATOR, fault_of_url, refusal_of_url
from destinations.email import defaults
from destinations.email.address import mailbox_of
from destinations.email.mail import Templates
from destinations.templates.rendering import OF_RESULTS, TemplateFaultError, compile_template, render
from pipeline.config.files import found_instead
from pipeline.config.secret import Secret
from pipeline.config.settings import DISABLE_AFTER_S, BreakerSpec, RetrySpec
from pipeline.errors import OptionsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an email destination; the fields and defaults of `schemas/email.schema.json`."""

    smtp: str
    from_: str
    to: tuple[str, ...]
    reply_to: str | None = None
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
    """Return the settings in validated options; raises ValueError for what cannot be used, alone or together."""
    given = {name: value for name, value in options.items() if name != "from"}
    settings = Settings(**{**given, "from_": options["from"], "to": tuple(options["to"])})
    if faults := list(_faults_of(settings)):
        raise OptionsError(faults)
    templates_of(settings)
    return settings


def _faults_of(settings: Settings) -> Iterator[str]:
    if fault := fault_of_url(_as_http(settings.smtp)):
        yield f"smtp: {fault}"
    yield from _faults_of_addresses(settings)
    if (settings.username is None) != (settings.password is None):
        missing = "password" if settings.password is None else "username"
        yield f"{missing}: expected a value, as username and password go together"
    if settings.is_tls and settings.starttls not in (None, "never"):
        yield "starttls: expected nothing with smtps://, which is TLS from the first byte"
    for kind in ("text", "html"):
        if getattr(settings, kind) is not None and getattr(settings, f"{kind}_file") is not None:
            yield f"{kind}_file: expected only one of {kind} and {kind}_file"


def _faults_of_addresses(settings: Settings) -> Iterator[str]:
    written = {"from": settings.from_} | ({"reply_to": settings.reply_to} if settings.reply_to else {})
    written |= {f"to[{number}]": text for number, text in enumerate(settings.to)}
    first: dict[tuple[str, str], str] = {}
    for place, text in written.items():
        try:
            mailbox = mailbox_of(text)
        except ValueError as error:
            yield f"{place}: {error}"
            continue
        # Under two names it is one recipient still, who would be sent each mail twice.
        other = first.setdefault(mailbox.key, place) if place.startswith("to[") else place
        if other != place:
            yield f"{place}: expected each address once, got the one of {other} again"


def _as_http(url: str) -> str:
    return url.replace("smtp", "http", 1)


def warn(settings: Settings, ends: frozenset[End]) -> Iterator[Concern]:
    """Yield what cannot work: an address that no connection is made to, templates that some message does not fill."""
    if refusal := refusal_of_url(_as_http(settings.smtp), OPERATOR):
        yield "smtp", f"every attempt will be refused, as {refusal}"
    templates = templates_of(settings)
    for key in ("subject", "text", "html"):
        template = getattr(templates, key)
        option = key if getattr(settings, key) is not None else f"{key}_file"
        for sentence in rehearsal.sentences(partial(render, template), ends) if template is not None else ():
            yield option, sentence


def templates_of(settings: Settings) -> Templates:
    """Return the templates of a destination, compiled; ValueError, which names the option, for one that is none."""
    text = _template(settings, "text")
    html = _template(settings, "html", is_html=True)
    return Templates(
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

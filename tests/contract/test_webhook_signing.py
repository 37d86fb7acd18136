"""What a webhook signs over real sockets: asymmetric keys, rotation, layouts; and how its `secrets` are written."""

import base64
import hmac
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook as IndependentVerifier
from standardwebhooks import WebhookVerificationError

from destinations.bodies.forms import RAW
from destinations.registry import builtin_kinds
from destinations.signing.keys import Layout
from destinations.signing.signatures import Signer
from destinations.webhook import settings as webhook_settings
from destinations.webhook.secrets import TemporarySecret
from pipeline.config import load_config
from pipeline.config.secret import Secret
from pipeline.errors import ConfigurationError
from pipeline.model import DeliveryReason, Result, Verdict
from tests.support.receiver import OK, Received, receiving
from tests.support.webhooks import opened, sending

NEW, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
OVER, COMING = datetime(2026, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


def until(secret: str, moment: datetime) -> TemporarySecret:
    return TemporarySecret(secret=Secret(secret), until=moment)


@asynccontextmanager
async def received(**settings: Any) -> AsyncIterator[Received]:
    """Send one webhook and give what came."""
    async with receiving(OK) as receiver, opened(receiver.url, **settings) as destination:
        outcome = await destination.send(sending())
        assert outcome.verdict is Verdict.DELIVERED, outcome
        (request,) = receiver.requests
        yield request


def is_signed(request: Received, secret: str) -> bool:
    try:
        IndependentVerifier(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_an_asymmetric_signature_stands_beside_one_that_the_library_takes() -> None:
    async with received(secrets=(Secret(PRIVATE), Secret(NEW))) as request:
        asymmetric, symmetric = request.headers["webhook-signature"].split(" ")
        assert symmetric.startswith("v1,")
        assert is_signed(request, NEW)
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC.removeprefix("whpk_")))
        key.verify(base64.b64decode(asymmetric.removeprefix("v1a,")), signed)


async def test_every_secret_that_is_valid_signs_and_none_that_is_over() -> None:
    third = "whsec_" + "A" * 32
    async with received(secrets=(Secret(NEW), until(OLD, COMING), until(third, OVER))) as request:
        assert len(request.headers["webhook-signature"].split(" ")) == 2
        assert [is_signed(request, secret) for secret in (NEW, OLD, third)] == [True, True, False]


async def test_a_secret_is_over_at_its_moment_by_the_time_of_the_attempt() -> None:
    moment = datetime.now(UTC).replace(microsecond=0)
    async with receiving(OK) as receiver, opened(receiver.url, secrets=(Secret(NEW), until(OLD, moment))) as hook:
        for started_at in (moment - timedelta(microseconds=1), moment):
            await hook.send(replace(sending(), started_at=started_at))
        before, after = receiver.requests
    assert [is_signed(before, NEW), is_signed(before, OLD)] == [True, True]
    assert [is_signed(after, NEW), is_signed(after, OLD)] == [True, False]


async def test_where_every_secret_is_over_nothing_is_sent_and_the_attempt_says_why() -> None:
    async with receiving(OK) as receiver, opened(receiver.url, secrets=(until(NEW, OVER),)) as destination:
        outcome = await destination.send(sending())
        assert receiver.requests == []
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.AUTH_ERROR)
    assert outcome.message == "every secret is over: the `until` of each is past, and nothing is sent unsigned"


async def test_the_layout_of_stripe_signs_the_time_and_the_body_by_every_secret() -> None:
    async with received(secrets=(Secret(NEW), Secret("raw:old")), signature=Layout.STRIPE) as request:
        at = request.headers["webhook-timestamp"]
        codes = [hmac.digest(key, f"{at}.".encode() + request.body, "sha256").hex() for key in (NEW.encode(), b"old")]
        assert request.headers["stripe-signature"] == f"t={at},v1={codes[0]},v1={codes[1]}"
        assert request.headers["webhook-id"].startswith("msg_")
        assert "webhook-signature" not in request.headers


async def test_the_layout_of_github_signs_the_body_alone() -> None:
    async with receiving(OK) as receiver:
        settings = {"secrets": (Secret("raw:It's a Secret to Everybody"),), "signature": Layout.GITHUB}
        async with opened(receiver.url, body=RAW, **settings) as destination:
            result = Result(status=200, headers=(("content-type", "text/plain"),), body=b"Hello, World!")
            await destination.send(sending(result=result))
    (request,) = receiver.requests
    assert request.body == b"Hello, World!"
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert request.headers["x-hub-signature-256"] == expected
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize("layout", [Layout.STRIPE, Layout.GITHUB])
async def test_without_secrets_no_layout_adds_a_header(layout: Layout) -> None:
    async with received(signature=layout) as request:
        assert layout.header not in request.headers


@pytest.mark.parametrize(("size", "is_in_a_thread"), [(1000, False), (2**20, True)])
async def test_a_large_body_is_signed_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, size: int, is_in_a_thread: bool
) -> None:
    threads, genuine = list[int](), Signer.sign

    def sign(signer: Signer, *signed: Any) -> str:
        threads.append(threading.get_ident())
        return genuine(signer, *signed)

    monkeypatch.setattr(Signer, "sign", sign)
    async with receiving(OK) as receiver, opened(receiver.url, body=RAW, secrets=(Secret(NEW),)) as destination:
        await destination.send(sending(result=Result(status=200, headers=(), body=b'"' + b"x" * size + b'"')))
    (request,) = receiver.requests
    assert is_signed(request, NEW)
    assert [thread != threading.get_ident() for thread in threads] == [is_in_a_thread]


# How secrets are written


def hook(folder: Path, options: str) -> webhook_settings.Settings:
    """Return the settings of a webhook as the loader makes them."""
    (folder / "sendoff.yaml").write_text(f"destinations:\n  hook: {{type: webhook, url: 'https://h', {options}}}\n")
    config = load_config(None, environ={"OLD": OLD}, kinds=builtin_kinds(), cwd=folder)
    assert {text for text in (NEW, OLD, PRIVATE) if text in options} <= config.secrets
    settings = config.destinations["hook"].options
    assert isinstance(settings, webhook_settings.Settings)
    return settings


def test_secrets_stand_alone_or_with_their_end(tmp_path: Path) -> None:
    written = f"[{NEW}, {{secret: '${{OLD}}', until: 2027-01-31T01:00:00+01:00}}, {{secret: '{PRIVATE}'}}]"
    settings = hook(tmp_path, f"secrets: {written}")
    at = datetime(2027, 1, 31, tzinfo=UTC)
    assert settings.secrets == (Secret(NEW), until(OLD, at), TemporarySecret(secret=Secret(PRIVATE)))
    assert settings.signature is Layout.STANDARD
    assert NEW not in repr(settings)
    assert OLD not in repr(settings)
    assert hook(tmp_path, "secrets: ['raw:x'], signature: github").signature is Layout.GITHUB


A_SECRET = "a secret or {secret: ..., until: ...}"
A_MOMENT = "a moment such as 2027-01-31T00:00:00Z"
WORD, MASKED = '"tomorrow"', '"whsec_***"'
TOO_SHORT = "expected whsec_ and base64 of 24-64 bytes, or raw: and the secret; this holds 5 bytes"
NOT_EMPTY = "text that is not empty"
LAYOUTS = "a known value (nearest: github)"
IS_PUBLIC = "expected a secret that signs; whpk_ is a public key, with which receivers verify"
NOT_THERE = "expected whsec_ or raw:, got whsk_; the layout stripe has no asymmetric signatures"
TAKEN = "expected another header, as signature: github sets this one"


@pytest.mark.parametrize(
    ("options", "at", "place", "fault"),
    [
        ("secrets: [5]", "5]", "secrets[0]", f"expected {A_SECRET}, got a number"),
        ("secrets: [[]]", "[]]", "secrets[0]", f"expected {A_SECRET}, got an empty list"),
        ("secrets: hunter2", "hunter2", "secrets", "expected a list of at most 10 secrets, got ***"),
        (f"secrets: [{', '.join([NEW] * 11)}]", "[", "secrets", "expected a list of at most 10 secrets, got a list"),
        ("secrets: [hunter2]", "hunter2", "secrets[0]", TOO_SHORT),
        ("secrets: [{secret: hunter2}]", "hunter2", "secrets[0].secret", TOO_SHORT),
        ("secrets: [{secret: ''}]", "''", "secrets[0].secret", f'expected {NOT_EMPTY}, got ""'),
        ("secrets: [{secret: 5}]", "5", "secrets[0].secret", f"expected {NOT_EMPTY}, got a number"),
        ("secrets: [{secret: x, until: tomorrow}]", "tomorrow", "secrets[0].until", f"expected {A_MOMENT}, got {WORD}"),
        (
            "secrets: [{secret: x, until: whsec_a}]",
            "whsec",
            "secrets[0].until",
            f"expected {A_MOMENT}, got {MASKED}",
        ),
        (
            "secrets: [{secret: x, until: 2027-02-31T00:00:00Z}]",
            *("2027", "secrets[0].until", f'expected {A_MOMENT}, got "2027-02-31T00:00:00Z"'),
        ),
        ("secrets: [{until: 2027-01-31T00:00:00Z}]", "{until", "secrets[0]", "expected the key secret, got none"),
        (
            "secrets: [{secret: x, untill: y}]",
            *("untill", "secrets[0].untill", 'expected a known key (nearest: until), got "untill"'),
        ),
        (f"secrets: ['{PUBLIC}']", "'whpk_", "secrets[0]", IS_PUBLIC),
        (f"secrets: ['{PRIVATE}'], signature: stripe", "'whsk_", "secrets[0]", NOT_THERE),
        ("signature: gitlab", "gitlab", "signature", f'expected {LAYOUTS}, got "gitlab"'),
        (
            "secrets: ['raw:x'], signature: github, headers: {X-Hub-Signature-256: y}",
            *("y}", "headers.X-Hub-Signature-256", TAKEN),
        ),
    ],
)
def test_every_fault_has_its_place_and_shows_no_secret(
    tmp_path: Path, options: str, at: str, place: str, fault: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        hook(tmp_path, options)
    column = (tmp_path / "sendoff.yaml").read_text().splitlines()[1].index(at) + 1
    assert [str(each) for each in caught.value.faults] == [
        f"sendoff.yaml:2:{column}: destinations.hook.{place}: {fault}"
    ]

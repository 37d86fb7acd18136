"""Webhooks through a proxy: receivers with and without TLS, the settings that lead to them, and what a failure is."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme

from destinations.dial.credentials import Proxy
from destinations.dial.tls import Tls
from pipeline.config.secret import Secret
from pipeline.model import DeliveryReason, Outcome, Verdict
from tests.support.certificates import HOST, showing
from tests.support.forward_proxy import ForwardProxy
from tests.support.receiver import Receiver, Reply, receiving

SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])
TARGET = "https://receiver.example:4443/hook"
PASSWORD = "correct horse"


def proxied(proxy: ForwardProxy, password: str | None = None) -> Proxy:
    """Return the settings that lead through a proxy."""
    if password is None:
        return Proxy(url=proxy.url)
    return Proxy(url=proxy.url, username="sendoff", password=Secret(password))


def at(scheme: str, authority: trustme.CA, *replies: bytes | Reply) -> AbstractAsyncContextManager[Receiver]:
    """Have a receiver that speaks TLS or does not."""
    return receiving(*replies, tls=showing(authority.issue_cert(HOST)) if scheme == "https" else None)


def tls_of(scheme: str, ca: Path) -> Tls | None:
    return Tls(ca=ca) if scheme == "https" else None


def assert_failed(outcome: Outcome, reason: DeliveryReason, message: str | None = None) -> None:
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, reason), outcome.message
    assert (outcome.status, outcome.patience_s) == (None, 60 if reason is DeliveryReason.TIMEOUT else None)
    assert message is None or outcome.message == message

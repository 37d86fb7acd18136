"""What proxies say of who asks: believed of those that are trusted, and of nobody else."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pipeline.web.forwarded import Seen, seen

TRUSTED = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")
PROXY = "10.0.0.1"


def asked(peer: str, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED) -> Seen:
    return seen(peer, CIMultiDictProxy(CIMultiDict(headers)), trusted)


@pytest.mark.parametrize("peer", ["11.0.0.1", "192.0.2.8", "2001:db9::1", "", "unix", "::ffff:11.0.0.1"])
def test_nobody_else_is_believed(peer: str) -> None:
    claims = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")]
    assert asked(peer, *claims) == Seen(client_ip=peer)
    assert asked(PROXY, *claims, trusted=()) == Seen(client_ip=PROXY)


@pytest.mark.parametrize("peer", ["10.255.0.1", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.1"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    claims = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "jobs.example:444")]
    assert asked(peer, *claims) == Seen(client_ip="1.2.3.4", scheme="https", host="jobs.example:444")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the first was sent by the client itself
        (["6.6.6.6", "1.2.3.4, 10.1.1.1"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4,10.1.1.1 , 192.0.2.7"], "1.2.3.4"),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["[2001:db9::5]:443"], "2001:db9::5"),
        (["2001:db9::5"], "2001:db9::5"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        (["1.2.3.4, unknown"], PROXY),
        (["1.2.3.4, unknown, 10.1.1.1"], "10.1.1.1"),
        ([""], PROXY),
        ([","], PROXY),
        ([], PROXY),
        (["\udcff"], PROXY),
        (["1.2.3.4" * 1000], PROXY),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(chain: list[str], client: str) -> None:
    assert asked(PROXY, *(("X-Forwarded-For", each) for each in chain)).client_ip == client


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("jobs.example", "jobs.example"),
        ("evil.example, jobs.example", "jobs.example"),
        ("[2001:db8::1]:8888", "[2001:db8::1]:8888"),
        ("jobs.example/path", None),
        ("user@jobs.example", None),
        ("jobs.example:port", None),
        ("a b", None),
        ('"><script>', None),
        ("", None),
        ("jobs.example\n", "jobs.example"),
    ],
)
def test_only_what_is_a_host_is_taken(host: str, taken: str | None) -> None:
    assert asked(PROXY, ("X-Forwarded-Host", host)).host == taken


@pytest.mark.parametrize("scheme", ["ftp", "", "javascript", "https://"])
def test_only_http_and_https_are_schemes(scheme: str) -> None:
    assert asked(PROXY, ("X-Forwarded-Proto", scheme)).scheme is None

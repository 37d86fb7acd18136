"""The egress guard: every form of an address that must not be reached, and those beside them that may."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.egress import CALLER, OPERATOR, Trust, fault_of_url, refusal, refusal_of_url, told_once

METADATA = [
    *("169.254.169.254", "169.254.0.0", "169.254.255.255", "168.63.129.16"),
    *("fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd20:ce::254"),
    *("::ffff:169.254.169.254", "::ffff:168.63.129.16", "::ffff:0:a9fe:a9fe", "::169.254.169.254"),
    *("64:ff9b::169.254.169.254", "64:ff9b::a83f:8110", "64:ff9b:1::a9fe:a9fe"),
    *(
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "64:ff9b:1:a83f:81:1000::",
        "64:ff9b:1:a9fe:0:100::",
    ),
    *("64:ff9b:1:12a9:fe:a9fe::", "64:ff9b:1:1234:a9:fea9:fe00:0", "64:ff9b:1:1234:0:5678:a83f:8110"),
    *("2002:a9fe:a9fe::1", "2002:a83f:8110::"),
]
PRIVATE = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "172.16.0.1", "172.31.255.255", "192.0.0.1"),
    *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::8.8.8.8", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "100::1", "5f00::1"),
    *("2001::1", "2001:10::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:7f00:1"),
    *("64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1"),
    *(
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:808:8:800::",
        "64:ff9b:1:7f00:0:100:808:808",
        "64:ff9b:1:ffff:ffff:ffff:808:808",
    ),
]
PUBLIC = [
    *(
        "8.8.8.8",
        "1.1.1.1",
        "169.253.255.255",
        "169.255.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "11.0.0.0",
        "100.128.0.0",
    ),
    *("172.32.0.0", "192.0.1.0", "198.20.0.0", "223.255.255.255"),
    *("2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "3ffe::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
]


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("trust", [OPERATOR, CALLER, Trust(public_only=True, allow_cidrs=(ip_network("0.0.0.0/0"),))])
def test_nobody_reaches_link_local_and_metadata_addresses(address: str, trust: Trust) -> None:
    sentence = refusal(address, trust)
    assert sentence is not None
    assert "link-local or metadata" in sentence


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_the_operators_only(address: str) -> None:
    assert refusal(address, OPERATOR) is None
    sentence = refusal(address, CALLER)
    assert sentence is not None
    assert "only a host that is written out in allow_hosts may lead there" in sentence
    assert "allow_cidrs" in sentence


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("trust", [OPERATOR, CALLER])
def test_public_addresses_are_reached_by_all(address: str, trust: Trust) -> None:
    assert refusal(address, trust) is None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_is_judged_alike_in_every_form(address: IPv4Address) -> None:
    number = int(address)
    forms = [number | 0xFFFF << 32, number | 0x64_FF9B << 96, number << 80 | 0x2002 << 112]
    for trust in (OPERATOR, CALLER):
        judged = refusal(address, trust) is None
        assert [refusal(IPv6Address(form), trust) is None for form in forms] == [judged] * 3


@given(st.sampled_from((48, 56, 64, 96)), st.binary(min_size=10, max_size=10))
def test_metadata_behind_a_translator_of_ones_own_is_refused_whatever_its_prefix(length: int, around: bytes) -> None:
    octets = bytearray(IPv6Address("64:ff9b:1::").packed[:6] + around)
    places = [place for place in range(length // 8, 16) if place != 8]  # RFC 6052, 2.2
    for place, octet in zip(places, IPv4Address("169.254.169.254").packed, strict=False):
        octets[place] = octet
    assert refusal(IPv6Address(bytes(octets)), OPERATOR) is not None


def test_an_allowed_network_is_reached_in_every_form() -> None:
    trust = Trust(public_only=True, allow_cidrs=(ip_network("10.1.0.0/16"), ip_network("fd12::/32")))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1"):
        assert refusal(address, trust) is None
    for address in ("10.2.0.1", "fd13::1", "64:ff9b:1::10.1.2.3", "64:ff9b:1:a01:2:300::"):
        assert refusal(address, trust) is not None


def test_a_translator_of_ones_own_is_reached_where_its_prefix_is_allowed() -> None:
    trust = Trust(public_only=True, allow_cidrs=(ip_network("64:ff9b:1::/96"),))
    assert refusal("64:ff9b:1::8.8.8.8", trust) is None
    assert refusal("64:ff9b:1:808:8:800::", trust) is not None
    assert refusal("64:ff9b:1::a9fe:a9fe", trust) is not None


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "https://example.com/hooks?a=b#c", "HTTPS://EXAMPLE.com:8443/", "http://a_b.example/"),
        *(
            "http://localhost:9000/",
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "http://xn--bcher-kva.example/",
            "http://1and1.com",
        ),
        *("http://example.com.", "http://example.com/übung", "http://0x7f.example/", "http://a.b.c.1x/"),
    ],
)
def test_usual_urls_are_well_formed(url: str) -> None:
    assert fault_of_url(url) is None


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.com/", "begins with http"),
        ("file:///etc/passwd", "begins with http"),
        ("//example.com/", "begins with http"),
        ("example.com", "begins with http"),
        ("", "begins with http"),
        ("http://user:pass@example.com/", "credentials"),
        ("http://user@example.com/", "credentials"),
        ("http://@example.com/", "credentials"),
        ("http:///path", "names no host"),
        ("http://:80/", "names no host"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:99999/", "no URL"),
        ("http://example.com:x/", "no URL"),
        ("http://[::1/", "no URL"),
        ("http://exa mple.com/", "no spaces"),
        ("http://example.com/\n", "no spaces"),
        ("http://example.com\\@evil.example/", "backslashes"),
        ("http://bücher.example/", "ASCII form, xn--bcher-kva.example"),
        ("http://user:hunter2@a\uff0fb/", "characters that stand for others"),
        ("http://１２７.0.0.1/", "ASCII form"),
        ("http://127。0。0。1/", "ASCII form"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0x7f.0.0.1/", "four decimal numbers"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.0.0.01/", "four decimal numbers"),
        ("http://127.0.0.1./", "four decimal numbers"),
        ("http://1.2.3.4.5/", "four decimal numbers"),
        ("http://256.0.0.1/", "four decimal numbers"),
        ("http://example.0x/", "four decimal numbers"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://exa%6dple.com/", "neither a name nor an address"),
        ("http://-a.example/", "neither a name nor an address"),
        ("http://a..b/", "neither a name nor an address"),
        ("http://" + "a" * 64 + ".example/", "neither a name nor an address"),
    ],
)
def test_a_url_of_another_form_is_refused_with_the_reason(url: str, sentence: str) -> None:
    fault = fault_of_url(url)
    assert fault is not None
    assert sentence in fault
    assert "hunter2" not in fault
    assert refusal_of_url(url, OPERATOR) == fault


def test_credentials_in_a_url_are_told_their_right_place() -> None:
    said = "credentials do not belong in a URL"
    assert fault_of_url("http://user:pass@example.com/") == said
    assert fault_of_url("http://user:pass@example.com/", instead="write them there") == f"{said}; write them there"


def test_what_is_said_of_several_addresses_is_said_once() -> None:
    private, other = (refusal(address, CALLER) or "" for address in ("127.0.0.1", "::1"))
    metadata = refusal("169.254.169.254", CALLER) or ""
    assert told_once(private) == private
    assert told_once(f"{private}, {other}") == f"{private} (likewise ::1)"
    assert told_once(f"{other}, {metadata}, {private}") == f"{other} (likewise 127.0.0.1); {metadata}"
    assert told_once("something else") == "something else"


@pytest.mark.parametrize(
    ("url", "is_refused_to_operator", "is_refused_to_caller"),
    [
        ("http://169.254.169.254/latest/meta-data/", True, True),
        ("http://[::ffff:169.254.169.254]/", True, True),
        ("http://[64:ff9b::a9fe:a9fe]/", True, True),
        ("http://10.0.0.1/", False, True),
        ("http://[::1]/", False, True),
        ("http://8.8.8.8/", False, False),
        ("http://localhost/", False, False),  # a name is judged when it is dialled
    ],
)
def test_an_address_in_a_url_is_judged(url: str, is_refused_to_operator: bool, is_refused_to_caller: bool) -> None:
    assert (refusal_of_url(url, OPERATOR) is not None) is is_refused_to_operator
    assert (refusal_of_url(url, CALLER) is not None) is is_refused_to_caller

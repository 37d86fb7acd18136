"""The list of what callers may name: which URLs it admits, and how far each is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from destinations.callback.allow_list import LONGEST, AllowList, entry_of
from destinations.egress import CALLER, OPERATOR, refusal

ADMITTED = [
    (["api.example.com"], "https://api.example.com/hook?token=1"),
    (["api.example.com"], "https://API.Example.COM./hook"),
    (["API.example.com."], "http://api.example.com:8080/"),
    (["api.example.com:8443"], "https://api.example.com:8443/"),
    (["api.example.com:443"], "https://api.example.com/"),
    (["api.example.com:80"], "http://api.example.com/"),
    (["*.example.org"], "https://a.example.org/"),
    (["*.example.org"], "https://a.b.example.org/"),
    (["*.example.org:444"], "https://a.example.org:444/"),
    (["*"], "https://anything.example/"),
    (["*"], "https://8.8.8.8/"),
    (["*"], "https://[2606:4700::1111]/"),
    (["*:443"], "https://anything.example/"),
    (["127.0.0.1"], "http://127.0.0.1:8888/"),
    (["::1"], "http://[::1]:8888/"),
    (["[::1]:8888"], "http://[0:0:0:0:0:0:0:1]:8888/"),
    (["localhost"], "http://localhost:8888/"),
    (["other.example", "api.example.com"], "https://api.example.com/"),
]
NOT_LISTED = [
    (["api.example.com"], "https://example.com/"),
    (["api.example.com"], "https://api.example.com.evil.example/"),
    (["api.example.com"], "https://xapi.example.com/"),
    (["api.example.com"], "https://evil.example/api.example.com"),
    (["api.example.com"], "https://evil.example/?https://api.example.com/"),
    (["api.example.com"], "https://evil.example#api.example.com"),
    (["api.example.com:8443"], "https://api.example.com/"),
    (["api.example.com:443"], "http://api.example.com/"),
    (["*.example.org"], "https://example.org/"),
    (["*.example.org"], "https://notexample.org/"),
    (["*.example.org"], "https://example.org.evil.example/"),
    (["*.example.org:444"], "https://a.example.org/"),
    (["127.0.0.1"], "http://127.0.0.2/"),
    (["127.0.0.1"], "http://[::ffff:127.0.0.1]/"),
    (["127.0.0.1:80"], "http://127.0.0.1:8888/"),
    (["localhost"], "http://127.0.0.1/"),
]
MALFORMED = [
    *("", "api.example.com", "//api.example.com/", "ftp://api.example.com/", "file:///etc/passwd", "gopher://a/"),
    *("https://", "https:///hook", "https://user@api.example.com/", "https://user:pw@api.example.com/", "https://@a/"),
    *("https://evil.example\\@api.example.com/", "https://api.example.com:0/", "https://api.example.com:99999/"),
    *("https://api.example.com/a b", "https://api.example.com/\r\nX: y", "https://api.example.com/\t", "https://[::1"),
    *("https://api.example.com/\u00e9", "https://b\u00fccher.example/", "https://api.example.com/\udcff"),
    *("http://0x7f000001/", "http://0177.0.0.1/", "http://2130706433/", "http://127.1/", "http://127.000.000.001/"),
    *("http://\uff11\uff12\uff17.0.0.1/", "http://169\u3002254\u3002169\u3002254/", "http://127%2e0.0.1/"),
    *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1]x/", "http://*/", "http://*.example.org/"),
    *("https://api.example.com/" + "a" * LONGEST,),
]
ENTRIES = [
    *("", " ", "**", "*.", "*.*", "a.*", "*a", "a b", "https://a", "a/b", "a:0", "a:65536", "a:x", "a:", "*:", "a@b"),
    *("[::1", "::1]", "[::1]x", "[::1]:x", "[a]b:1", "fe80::1%eth0", "127.1", "0x7f.1", "\u00e9.example", "10.0.0.0/8"),
    *("a:\u0661",),
]


@pytest.mark.parametrize(("hosts", "url"), ADMITTED)
def test_a_host_on_the_list_may_be_named(hosts: list[str], url: str) -> None:
    assert AllowList(hosts, ()).refusal_of(url) is None


@pytest.mark.parametrize(("hosts", "url"), NOT_LISTED)
def test_any_other_host_may_not(hosts: list[str], url: str) -> None:
    sentence = AllowList(hosts, ()).refusal_of(url)
    assert sentence is not None
    assert "is not among the hosts that callers may name here (allow_hosts)" in sentence
    assert "/" not in sentence, "nothing of path and query is told"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://[::1]:8080/", "[::1]:8080 is not among the hosts"),
        ("https://user:pw@a.example/", "credentials do not belong in a URL; a callback is called without any"),
        ("https://b\u00fccher.example/", "write the host in its ASCII form, xn--bcher-kva.example"),
        ("https://a.example/b\u00fccher", "a URL holds printable ASCII only: encode the rest (%xx)"),
    ],
)
def test_a_refusal_names_what_helps(url: str, sentence: str) -> None:
    assert (AllowList(["127.0.0.1"], ()).refusal_of(url) or "").startswith(sentence)


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_no_plain_url_is_refused_whatever_is_on_the_list(url: str) -> None:
    sentence = AllowList(["*", "127.0.0.1", "::1", "localhost"], ["0.0.0.0/0", "::/0"]).refusal_of(url)
    assert sentence
    assert "pw@" not in sentence


@pytest.mark.parametrize("text", ENTRIES)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a host such as"):
        entry_of(text)


def test_a_host_that_is_written_out_is_vouched_for_and_what_a_pattern_admits_is_not() -> None:
    allowed = AllowList(["billing.internal:8443", "*.example.org", "*"], ["10.0.0.0/8"])
    vouched = allowed.trust_in("https://billing.internal:8443/")
    assert refusal("192.168.1.1", vouched) is None
    assert "link-local or metadata" in (refusal("169.254.169.254", vouched) or "")
    for url in ("https://billing.internal/", "https://a.example.org/", "https://b.example/"):
        trust = allowed.trust_in(url)
        sentence = refusal("192.168.1.1", trust) or ""
        assert "not a public address: only a host that is written out in allow_hosts may lead there" in sentence
        assert refusal("10.1.2.3", trust) is None
        assert refusal("::ffff:10.1.2.3", trust) is None
        assert "link-local or metadata" in (refusal("169.254.169.254", trust) or "")


def test_an_address_in_an_allowed_network_may_be_named() -> None:
    allowed = AllowList(["api.example.com"], ["10.0.0.0/8", "fd12::/16"])
    for host in ("10.1.2.3", "[fd12::1]", "[::ffff:10.1.2.3]", "[64:ff9b::10.1.2.3]"):
        assert allowed.refusal_of(f"http://{host}/") is None
    for host in ("11.1.2.3", "[fd13::1]", "[::ffff:11.1.2.3]", "127.0.0.1"):
        assert allowed.refusal_of(f"http://{host}/") is not None


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "168.63.129.16"])
def test_metadata_is_refused_whatever_is_on_the_list(host: str) -> None:
    allowed = AllowList(["*", host.strip("[]")], ["0.0.0.0/0", "::/0"])
    assert "link-local or metadata" in (allowed.refusal_of(f"http://{host}/") or "")


@given(st.from_regex(r"https?://[!-~]{1,30}", fullmatch=True))
def test_who_judges_and_who_dials_read_the_same_host_in_a_url(url: str) -> None:
    allowed = AllowList(["*"], ["0.0.0.0/0", "::/0"])
    if allowed.refusal_of(url) is None:
        dialled = URL(url)
        assert AllowList([str(dialled.raw_host)], ()).refusal_of(url) is None
        assert AllowList([f"*:{dialled.port}"], ["0.0.0.0/0", "::/0"]).refusal_of(url) is None


@given(st.ip_addresses())
def test_by_a_pattern_no_address_is_trusted_more_than_a_callers(address: object) -> None:
    text = str(address)
    url = f"http://[{text}]/" if ":" in text else f"http://{text}/"
    assert (AllowList(["*"], ()).refusal_of(url) is None) == (refusal(text, CALLER) is None)
    named = AllowList([text], ()) if "%" not in text else None
    assert named is None or (named.refusal_of(url) is None) == (refusal(text, OPERATOR) is None)

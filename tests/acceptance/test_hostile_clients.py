"""What no honest client sends, byte for byte, to a real service: each has its code, none is a 500, and none hangs."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.hostile import CLOSE, HOST, KEY, PATIENCE_S, POST, Heard, assert_problem, besieged, send
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

GET = b"GET /healthz HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with besieged(tmp_path_factory.mktemp("hostile")) as running:
        yield running


def answers(heard: Heard) -> list[bytes]:
    """Return the statuses of all answers."""
    return re.findall(rb"HTTP/\d\.\d (\d{3}) ", heard.raw)


def header(line: bytes) -> bytes:
    return GET + line + b"\r\n" + CLOSE + b"\r\n"


def body(head: bytes, content: bytes = b"abc") -> bytes:
    return POST + head + b"\r\n" + CLOSE + b"\r\n" + content


def target(path: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return method + b" " + path + b" " + version + b"\r\n" + HOST + CLOSE + b"\r\n"


REFUSED: dict[str, tuple[bytes, int]] = {
    # Two ways to tell where the body ends: what is behind it would be a request of its own to somebody.
    "length and chunked": (body(b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400),
    "chunked and length": (body(b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"0\r\n\r\n"), 400),
    "two lengths": (body(b"Content-Length: 3\r\nContent-Length: 4"), 400),
    "the same length twice": (body(b"Content-Length: 3\r\nContent-Length: 3"), 400),
    "a list of lengths": (body(b"Content-Length: 3, 3"), 400),
    "negative length": (body(b"Content-Length: -3"), 400),
    "length with a plus": (body(b"Content-Length: +3"), 400),
    "hexadecimal length": (body(b"Content-Length: 0x3"), 400),
    "length with an underscore": (body(b"Content-Length: 1_0"), 400),
    "empty length": (body(b"Content-Length: "), 400),
    "length beyond 64 bits": (body(b"Content-Length: 99999999999999999999999"), 400),
    "space before the colon of the length": (body(b"Content-Length : 3"), 400),
    "space before the colon of the coding": (body(b"Transfer-Encoding : chunked", b"0\r\n\r\n"), 400),
    "coding identity": (body(b"Transfer-Encoding: identity"), 400),
    "coding nearly chunked": (body(b"Transfer-Encoding: xchunked", b"0\r\n\r\n"), 400),
    "coding behind a vertical tab": (body(b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"), 400),
    "coding twice": (body(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400),
    "chunked twice": (body(b"Transfer-Encoding: chunked, chunked", b"0\r\n\r\n"), 400),
    "chunked, then identity": (body(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"), 400),
    "coding gzip": (body(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"), 501),
    "coding in HTTP/1.0": (
        b"POST /functions/echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    # Chunks
    "chunk size that is no number": (CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n", 400),
    "negative chunk size": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"fffffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    "empty chunk size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    "chunk longer than its size": (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", 400),
    "chunks with bare line feeds": (CHUNKED + b"3\nabc\n0\n\n", 400),
    "line feed in a chunk's extension": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "length in the trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
    "endless trailer": (CHUNKED + b"3\r\nabc\r\n0\r\n" + b"".join(b"X-%d: 1\r\n" % at for at in range(50_000)), 400),
    # Headers
    "folded header": (header(b"X-A: 1\r\n 2"), 400),
    "fold at the beginning": (b"GET /healthz HTTP/1.1\r\n X: 1\r\n" + HOST + CLOSE + b"\r\n", 400),
    "NUL in a value": (header(b"Authorization: Bearer " + KEY.encode() + b"\x00"), 400),
    "NUL in a name": (header(b"X\x00A: 1"), 400),
    "carriage return in a value": (header(b"X-A: a\rb"), 400),
    "control character in a value": (header(b"X-A: a\x01b"), 400),
    "DEL in a value": (header(b"X-A: a\x7fb"), 400),
    "a name beyond ASCII": (header(b"X-\xff: 1"), 400),
    "space in a name": (header(b"X A: 1"), 400),
    "no name": (header(b": 1"), 400),
    "no colon": (header(KEY.encode()), 400),
    "400 headers": (header(b"\r\n".join([b"a: 1"] * 400)), 400),
    "100,000 headers": (header(b"\r\n".join([b"a: 1"] * 100_000)), 400),
    "a long value": (header(b"X-A: " + b"a" * 100_000), 431),
    "a long name": (header(b"X" * 100_000 + b": 1"), 431),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n", 400),
    "bare carriage returns": (b"GET /healthz HTTP/1.1\rHost: 127.0.0.1\rConnection: close\r\r", 400),
    "no Host": (b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n", 400),
    "two Hosts": (GET + b"Host: evil.example\r\n" + CLOSE + b"\r\n", 400),
    "Host with a path": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1/x\r\n" + CLOSE + b"\r\n", 403),
    "Host with a user": (b"GET /healthz HTTP/1.1\r\nHost: evil@127.0.0.1\r\n" + CLOSE + b"\r\n", 403),
    "Host with a port that is none": (
        b"POST /functions/f-background HTTP/1.1\r\nHost: 127.0.0.1:evil\r\nContent-Length: 0\r\n" + CLOSE + b"\r\n",
        400,
    ),
    "Host with something behind": (
        b"POST /functions/f-background HTTP/1.1\r\nHost: [::1]evil\r\nContent-Length: 0\r\n" + CLOSE + b"\r\n",
        400,
    ),
    "an expectation": (body(b"Expect: nonsense\r\nContent-Length: 3"), 417),
    # Targets
    "NUL in the target": (target(b"/health\x00z"), 400),
    "a long target": (target(b"/" + b"a" * 100_000), 431),
    "a space in the target": (target(b"/a b"), 400),
    "no target": (target(b""), 400),
    "tabs for spaces": (b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", 400),
    "bytes beyond ASCII": (target(b"/functions/echo/\xff\xe4"), 400),
    "a fragment": (target(b"/functions/echo#x"), 400),
    "no slash": (target(b"healthz"), 400),
    "an asterisk": (target(b"*"), 400),
    "an asterisk for all": (target(b"*", b"OPTIONS"), 404),
    "another host, absolute": (target(b"http://evil.example/functions/echo"), 400),
    "another port, absolute": (target(b"http://127.0.0.1:81/functions/echo"), 400),
    "a user, absolute": (target(b"http://evil@127.0.0.1/functions/echo"), 400),
    "a broken address, absolute": (target(b"http://[/functions/echo"), 400),
    "a port that is none, absolute": (target(b"http://127.0.0.1:x/functions/echo"), 400),
    "a file": (target(b"file:///etc/passwd"), 400),
    "a script": (target(b"javascript:alert(1)"), 400),
    "an authority": (target(b"127.0.0.1:80"), 400),
    "CONNECT": (target(b"127.0.0.1:80", b"CONNECT"), 501),
    "CONNECT to another": (target(b"evil.example:80", b"CONNECT"), 501),
    "CONNECT to a path": (target(b"/functions/echo", b"CONNECT"), 501),
    "two slashes": (target(b"//functions/echo"), 404),
    "three slashes": (target(b"///functions/echo"), 404),
    "backslashes": (target(b"/functions\\..\\echo"), 404),
    "a way out": (target(b"/functions/../healthz"), 400),
    "an encoded way out": (target(b"/functions/%2e%2e/healthz"), 400),
    "an encoded slash": (target(b"/functions/echo%2f..%2f..%2fetc%2fpasswd"), 400),
    "a doubly encoded slash": (target(b"/functions/echo%252f..%252fetc"), 400),
    "an encoded NUL": (target(b"/functions/echo%00"), 400),
    "an encoded line feed": (target(b"/functions/echo%0a"), 400),
    "overlong UTF-8": (target(b"/functions/%c0%ae%c0%ae"), 400),
    "full-width letters": (target(b"/functions/%ef%bd%85cho"), 400),
    "a function's file": (target(b"/functions/echo.py"), 400),
    # Methods and versions
    "a method in lower case": (target(b"/functions/echo", b"post"), 400),
    "a method that is none": (target(b"/functions/echo", b"G@T"), 400),
    "a long method": (target(b"/functions/echo", b"A" * 10_000), 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 505),
    "HTTP/1.2": (target(b"/healthz", version=b"HTTP/1.2"), 400),
    "HTTP/2.0": (target(b"/healthz", version=b"HTTP/2.0"), 505),
    "HTTP/1.10": (target(b"/healthz", version=b"HTTP/1.10"), 400),
    "http/1.1": (target(b"/healthz", version=b"http/1.1"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
    "no HTTP at all": (b"\xff\xfe\xfd garbage " + KEY.encode() + b"\r\n\r\n", 400),
    # Bodies
    "no gzip": (body(b"Content-Encoding: gzip\r\nContent-Length: 3"), 400),
    "a body above the limit": (body(b"Content-Length: 65537", b"x" * 65537), 413),
    "chunks above the limit": (CHUNKED + b"11000\r\n" + b"x" * 0x11000 + b"\r\n0\r\n\r\n", 413),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(service: Service, sent: bytes, status: int) -> None:
    assert_problem(send(service, sent), status)


TAKEN: dict[str, bytes] = {
    "HTTP/1.0": b"GET /functions/echo HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with a length": b"POST /functions/echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    "an absolute target": target(b"http://127.0.0.1/functions/echo"),
    "empty lines before": b"\r\n\r\n" + target(b"/functions/echo"),
    "an empty Host": b"GET /functions/echo HTTP/1.1\r\nHost: \r\n" + CLOSE + b"\r\n",
    "an encoded letter": target(b"/functions/ech%6f"),
    "percent signs that encode nothing": target(b"/functions/echo/%zz%2"),
    "dots below a function": target(b"/functions/echo/../../v1/jobs"),
    "bytes beyond ASCII in a value": body(b"X-A: \xff\xfe\r\nContent-Length: 3"),
    "a type that is none": body(b"Content-Type: \xff/\x80; charset=none\r\nContent-Length: 3"),
    "a form without a boundary": body(b"Content-Type: multipart/form-data\r\nContent-Length: 3"),
    "an extension of a chunk": CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "a wish for HTTP/2": body(b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 3"),
    "100 headers": POST + b"a: 1\r\n" * 100 + b"Content-Length: 3\r\n" + CLOSE + b"\r\nabc",
    "JSON that is none": body(b"Content-Type: application/json\r\nContent-Length: 3", b"{]\xff"),
}
"""What is odd, and harmless: bodies to functions are theirs to judge."""


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN)
def test_what_is_odd_and_harmless(service: Service, sent: bytes) -> None:
    heard = send(service, sent)
    assert heard.status == 200, heard.raw[:500]
    event = json.loads(heard.body)
    assert event["path"].startswith("/functions/ech")
    assert event["rawUrl"].endswith(event["path"])
    assert event["rawUrl"].count("://") == 1


def test_a_body_is_sent_for_where_that_is_expected(service: Service) -> None:
    heard = send(service, body(b"Expect: 100-continue\r\nContent-Length: 3"))
    assert heard.raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_requests_one_behind_the_other_are_answered_in_their_order(service: Service) -> None:
    first = POST + b"X-Number: 1\r\nContent-Length: 3\r\n\r\nabc"
    last = POST + b"X-Number: 3\r\nContent-Length: 2\r\n" + CLOSE + b"\r\nde"
    heard = send(service, first + GET + b"\r\n" + last)
    assert re.findall(rb'"x-number": "(\d)"', heard.raw) == [b"1", b"3"]
    assert answers(heard) == [b"200"] * 3
    many = send(service, (GET + b"\r\n") * 500 + GET + CLOSE + b"\r\n")
    assert answers(many) == [b"200"] * 501


def test_nothing_behind_a_refused_request_is_done(service: Service) -> None:
    smuggled = b"POST /functions/f-background HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    for first in (
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
    ):
        assert len(answers(send(service, first + smuggled))) == 1
    assert service.items("/v1/jobs") == []


# Slow ones, and those that go away

SLOW: dict[str, tuple[list[bytes], int | None]] = {
    "nothing at all": ([], None),
    "half a head": ([b"POST /functions/echo HT"], None),
    "a head without its end": ([POST, b"X-A: 1\r\n"], None),
    "half a second head": ([GET + b"\r\n", b"GET /he"], 200),
    "half a body": ([POST + b"Content-Length: 10\r\n\r\n", b"abc"], 408),
    "half a chunk": ([POST + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nab"], 408),
    "chunks without an end": ([POST + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"], 408),
    "half a body where none is read": (
        [b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n", b"a"],
        200,
    ),
    "half a body to nowhere": ([b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n", b"a"], 404),
}


@pytest.mark.parametrize(("parts", "status"), SLOW.values(), ids=SLOW)
def test_who_stops_is_given_up(service: Service, parts: list[bytes], status: int | None) -> None:
    assert send(service, *parts).status == status


@pytest.mark.parametrize("head", [b"POST /functions/", POST], ids=["line", "headers"])
def test_a_head_that_drips_is_given_up(service: Service, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        connection.settimeout(0.05)
        for _ in range(int(PATIENCE_S / 0.05)):
            try:
                connection.sendall(b"X")
                assert connection.recv(1) == b""
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                pass
            return
    raise AssertionError("the service waits on")


def test_a_body_that_drips_is_given_up(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
        connection.sendall(POST + b"Content-Length: 60000\r\n\r\n")
        connection.settimeout(0.05)
        for _ in range(int(PATIENCE_S / 0.05)):
            try:
                connection.sendall(b"X")
                heard = connection.recv(65536)
            except TimeoutError:
                continue
            assert heard.startswith(b"HTTP/1.1 408 ")
            return
    raise AssertionError("the service waits on")


@pytest.mark.parametrize(
    "parts",
    [
        [b"POST /fun"],
        [POST + b"Content-Length: 10\r\n\r\nabc"],
        [POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"],
        [POST, b"Content-Length: 10\r\n\r\n", b"abc"],
    ],
)
def test_who_sends_no_more_is_let_go_at_once(service: Service, parts: list[bytes]) -> None:
    assert send(service, *parts, ends=True).status is None


def test_a_chunk_that_goes_wrong_later_is_no_error_of_ours(service: Service) -> None:
    heard = send(service, POST + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"xyz\r\n")
    assert heard.status in (400, 408)

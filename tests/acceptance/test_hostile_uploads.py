"""Uploads and wishes that no honest client sends, to a real service: each is refused whole, or by its item's index."""

import json
from collections.abc import Iterator

import pytest

from tests.support.hostile import CLOSE, HOST, KEY, assert_problem, besieged, send
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with besieged(tmp_path_factory.mktemp("hostile")) as running:
        yield running


# JSON

ITEM = b'{"body": "x"}'
DOCUMENTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "another type": b"[]",
    "null": b"null",
    "no items": b'{"function": "f-background"}',
    "items that are no list": b'{"items": {}}',
    "a key too many": b'{"items": [], "x": 1}',
    "a duplicate key": b'{"items": [], "items": [' + ITEM + b"]}",
    "NaN": b'{"items": [{"body": NaN}]}',
    "Infinity": b'{"items": [{"body": -Infinity}]}',
    "a lone surrogate": b'{"items": [{"body": "\\ud800"}]}',
    "bytes that are no UTF-8": b'{"items": [{"body": "\xff\xfe"}]}',
    "bytes behind": b'{"items": []} x',
    "a byte order mark": b'\xef\xbb\xbf{"items": []}',
    "UTF-16": '{"items": []}'.encode("utf-16"),
    "a NUL": b'{"items": [{"body": "\x00"}]}',
    "65 levels": b'{"items": [{"body": ' + b"[" * 62 + b"]" * 62 + b"}]}",
    "100,000 levels": b'{"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "levels without an end": b"[" * 100_000,
    "a comment": b'{"items": [] /* none */}',
    "single quotes": b"{'items': []}",
    "a comma too many": b'{"items": [],}',
    "a number for a name": b'{"function": 1, "items": []}',
}


def upload(content: bytes, content_type: bytes) -> bytes:
    return (
        b"POST /v1/batches?function=f-background HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Type: " + content_type
        + b"\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    )  # fmt: skip


@pytest.mark.parametrize("content", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_is_taken_strictly(service: Service, content: bytes) -> None:
    assert_problem(send(service, upload(content, b"application/json")), 400)


@pytest.mark.parametrize("content", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_line_that_is_no_item_is_rejected_by_its_index(service: Service, content: bytes) -> None:
    heard = send(service, upload(content.replace(b"\n", b" "), b"application/x-ndjson"))
    if not content:  # no line, and so no item: nothing is made of it
        assert_problem(heard, 400)
        return
    assert heard.status == 202, heard.raw[:500]
    batch = json.loads(heard.body)
    assert batch["total"] == 0
    assert [each["index"] for each in batch["rejected"]] == [0]


PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n'
FORMS: dict[str, tuple[bytes, bytes, int]] = {
    "no boundary": (b"abc", b"", 400),
    "an empty boundary": (b"abc", b"; boundary=", 400),
    "a long boundary": (b"abc", b"; boundary=" + b"b" * 100, 400),
    "no part": (b"", b"; boundary=b", 400),
    "no form": (b"garbage", b"; boundary=b", 400),
    "a part without an end": (PART + b"\r\nabc", b"; boundary=b", 400),
    "half a header": (b"--b\r\nContent-Disp", b"; boundary=b", 400),
    "a header without a colon": (b"--b\r\n" + KEY.encode() + b"\r\n\r\nabc\r\n--b--\r\n", b"; boundary=b", 400),
    "a NUL in a header": (b"--b\r\nX: \x00\r\n\r\nabc\r\n--b--\r\n", b"; boundary=b", 400),
    "10,000 headers": (b"--b\r\n" + b"X: 1\r\n" * 10_000 + b"\r\nabc\r\n--b--\r\n", b"; boundary=b", 400),
    "a long header": (b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\nabc\r\n--b--\r\n", b"; boundary=b", 400),
    "bare line feeds": (PART.replace(b"\r", b"") + b"\nabc\n--b--\n", b"; boundary=b", 400),
    "no end behind a field": (PART + b'\r\n\r\n--b\r\nX: "_charset_"\r\n--b--\r\n', b"; boundary=b", 400),
    "a form in a form": (PART + b"Content-Type: multipart/mixed\r\n\r\n--c\r\n\r\n--b--\r\n", b"; boundary=b", 400),
}


@pytest.mark.parametrize(("content", "boundary", "status"), FORMS.values(), ids=FORMS)
def test_a_form_that_is_none(service: Service, content: bytes, boundary: bytes, status: int) -> None:
    assert_problem(send(service, upload(content, b"multipart/form-data" + boundary)), status)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Content-Disposition: form-data", 202),
        (b"Content-Disposition: ;;;==", 202),
        (b"Content-Disposition: form-data; filename*=none''%ff", 202),
    ],
)
def test_a_part_that_is_no_file_is_rejected(service: Service, line: bytes, status: int) -> None:
    content = b"--b\r\n" + line + b"\r\n\r\nabc\r\n--b--\r\n"
    heard = send(service, upload(content, b"multipart/form-data; boundary=b"))
    assert heard.status == status
    assert [each["index"] for each in json.loads(heard.body)["rejected"]] == [0]


# Wishes


@pytest.mark.parametrize(
    "line",
    [
        b"Idempotency-Key: \xff",
        b"Idempotency-Key: ",
        b"Idempotency-Key: a\r\nIdempotency-Key: b",
        b"Idempotency-Key: " + b"a" * 256,
        b"X-Job-Tag: \xff",
        b"X-Job-Tag: ",
        b"X-Job-Tag: " + b"a" * 101,
        b"X-Job-Priority: \xff",
        b"X-Job-Priority: 10",
        b"X-Job-Run-At: \xff",
        b"X-Job-Run-At: 0001-01-01T00:00:00+23:59",
        b"X-Job-Run-At: 9999-12-31T23:59:59-23:59",
        b"X-Job-Delay: \xff",
        b"X-Job-Delay: 1e400s",
        b"X-Job-Delay: 99999999999",
        b"X-Job-Timeout: 0s",
        b"X-Callback-Url: \xff",
    ],
)
def test_a_wish_that_cannot_be_read_is_refused(service: Service, line: bytes) -> None:
    head = b"POST /functions/f-background HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 0\r\n"
    assert_problem(send(service, head + line + b"\r\n\r\n"), 400)

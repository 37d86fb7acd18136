"""What stands in a mail, as aiosmtpd takes it and the parser of the standard library reads it."""

import threading
from dataclasses import replace
from datetime import timedelta
from email.generator import BytesGenerator
from email.message import EmailMessage
from typing import Any

import pytest

from pipeline.model import Result, RunError, Verdict
from tests.support.sent_mail import taking
from tests.support.webhooks import sending

INJECTED = "=?utf-8?q?a=0D=0ABcc:_all@example.com=0D=0A=0D=0Abody?="


def result(body: bytes, content_type: str) -> dict[str, Any]:
    return {"result": Result(status=200, headers=(("content-type", content_type),), body=body)}


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        (INJECTED, INJECTED),
        (f"not {INJECTED} here", f"not {INJECTED} here"),
        (f"größer {INJECTED}", f"größer {INJECTED}"),
        ("=?utf-8?b?8J+Yig==?=", "=?utf-8?b?8J+Yig==?="),
        ("東京 " * 60, ("東京 " * 60).strip()),
        ("größer als " * 30, ("größer als " * 30).strip()),
        ("word " * 90, ("word " * 90).strip()),
        ("x" * 600, "x" * 500),
        ("ü" * 600, "ü" * 500),
        ("a\r\nBcc: all@example.com\r\n\r\nb\u2028c\x85d", "a Bcc: all@example.com b c d"),
        ("a\0\x1b[31mb\x7f", "a[31mb"),
    ],
)
async def test_a_subject_is_what_was_said_and_no_other_header(said: str, subject: str) -> None:
    for template in ("{{ error.errorMessage }}", said):  # what a function says, and what the operator writes
        async with taking() as server:
            failed = {"error": RunError(type="E", message=said)}
            assert (await server.sent(message=failed, subject=template)).verdict is Verdict.DELIVERED
            mail = server.mail()
        assert mail["Subject"] == subject
        assert (mail["Bcc"], mail.get_content_type()) == (None, "multipart/alternative")
        assert mail.keys() == [
            *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Sendoff-Job-Id"),
            *("X-Sendoff-Message-Id", "MIME-Version", "Content-Type"),
        ]
        assert (mail.defects, mail["Subject"].defects) == ([], ())


async def test_what_a_repeat_is_told_by_is_the_same_in_every_attempt() -> None:
    async with taking() as server:
        first = sending()
        later = replace(first, attempt=4, started_at=first.started_at + timedelta(days=2))
        mails = [(await server.passed_on(each), server.mail())[1] for each in (first, later)]
    for name in ("Date", "Message-ID", "X-Sendoff-Message-Id", "Subject"):
        assert len({mail[name] for mail in mails}) == 1, name
    assert mails[0]["Date"].datetime == first.message.ended_at.replace(microsecond=0)
    assert mails[0]["Message-ID"] == f"<{first.delivery_id}@example.com>"


async def test_a_mail_is_ascii_in_lines_that_every_server_takes() -> None:
    text = "größer\n" + "x" * 3000 + "\n" + "東" * 3000 + "\n.\nFrom here\nend"
    for each in (text, text[:6], text[7:3000]):
        async with taking() as server:
            assert (await server.sent(text=each, subject="ü " * 200, html=f"<p>{each}")).verdict is Verdict.DELIVERED
            assert server.bytes().isascii()
            assert max(map(len, server.bytes().split(b"\r\n"))) <= 78
            for kind, wanted in (("plain", each), ("html", f"<p>{each}")):
                part = server.mail().get_body((kind,))
                assert part is not None
                assert part.get_content().splitlines() == wanted.splitlines()


@pytest.mark.parametrize(
    ("body", "content_type", "seen"),
    [
        ("größer\n".encode(), "text/plain; charset=utf-8", "größer\n"),
        ("größer\n".encode(), "text/plain", "größer\n"),
        ("größer\n".encode("latin-1"), 'text/csv; header=present; Charset="ISO-8859-1"', "größer\n"),
        (b"<a/>", "text/xml", "<a/>"),
        (b"Subject: hi\r\n\r\nbody", "message/rfc822", b"Subject: hi\r\n\r\nbody"),
        (b"x", "message/delivery-status", b"x"),
        (b"x", "multipart/mixed; boundary=x", b"x"),
        (b"x", "text/plain\r\nBcc: all@example.com", b"x"),
        (b"x", "=?utf-8?q?a=0D=0ABcc:_x@y.z?=", b"x"),
    ],
)
async def test_an_attachment_reads_as_the_result_does_and_comes_to_the_same_bytes(
    body: bytes, content_type: str, seen: str | bytes
) -> None:
    async with taking() as server:
        outcome = await server.sent(message=result(body, content_type), attach_result=True)
        assert outcome.verdict is Verdict.DELIVERED
        (attached,) = server.mail().iter_attachments()
    assert (attached.get_content(), attached.get_payload(decode=True)) == (seen, body)
    assert attached["Bcc"] is None
    assert attached.get_filename().startswith("extract-background")


async def test_a_text_of_no_charset_that_there_is_stays_what_it_is() -> None:
    async with taking() as server:
        await server.sent(message=result(b"gr\xf6\xdfer", "text/plain"), attach_result=True)
        (attached,) = server.mail().iter_attachments()
    assert attached.get_payload(decode=True) == b"gr\xf6\xdfer"


@pytest.mark.parametrize(("kind", "step"), [(EmailMessage, "add_attachment"), (BytesGenerator, "flatten")])
async def test_a_mail_is_made_and_written_down_beside_the_loop(
    kind: type, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, threads = getattr(kind, step), list[int]()

    def noted(*given: Any, **named: Any) -> Any:
        threads.append(threading.get_ident())
        return genuine(*given, **named)

    monkeypatch.setattr(kind, step, noted)
    content = bytes(range(256)) * 4000
    async with taking() as server:
        outcome = await server.sent(message=result(content, "application/pdf"), attach_result=True)
        assert outcome.verdict is Verdict.DELIVERED
        assert threads, "what makes mails has another name now"
        assert threading.get_ident() not in threads
        (attached,) = server.mail().iter_attachments()
    assert attached.get_payload(decode=True) == content

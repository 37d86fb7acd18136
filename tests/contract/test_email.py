"""The kind `email` against real mail servers: what is sent, and what each answer means."""

import base64
import html
import json
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from destinations.email.destination import Email
from destinations.email.settings import settings_of
from destinations.registry import builtin_kinds
from pipeline.config.secret import Secret
from pipeline.model import JobState, MessageType, Outcome, Result, RunError, Verdict
from tests.support.mail_server import WITH_TLS, MailServer, mail_server
from tests.support.ports import free_port
from tests.support.webhooks import sending

T, P, D = Verdict.TEMPORARY, Verdict.PERMANENT, Verdict.DELIVERED
LOGIN = {"username": "sendoff", "password": Secret("open sesame")}


def options(port: int, **changes: Any) -> dict[str, Any]:
    return {"smtp": f"smtp://127.0.0.1:{port}", "from": "sendoff@example.com", "to": ["ops@example.com"], **changes}


async def sent(
    port: int, *, message: Mapping[str, Any] | None = None, to: str = "ops@example.com", **changes: Any
) -> Outcome:
    destination = Email("mail", settings_of(options(port, **changes)))
    await destination.open()
    outcome = await destination.send(replace(sending(**(message or {})), recipient=to))
    await destination.close()
    return outcome


def text_of(server: MailServer, content_type: str = "text/plain") -> str:
    _, _, mail = server.envelopes[-1]
    parts = [part for part in mail.walk() if part.get_content_type() == content_type]
    content = parts[0].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


async def test_a_mail_reads_well_and_names_its_delivery() -> None:
    async with mail_server() as server:
        outcome = await sent(server.port)
        assert (outcome.verdict, outcome.status, outcome.remote_address) == (D, 250, "127.0.0.1")
        ((sender, recipients, mail),) = server.envelopes
        assert ("<sendoff@example.com>" in sender, recipients) == (True, ["ops@example.com"])
        assert mail["Subject"] == "extract-background succeeded"
        assert (mail["From"], mail["To"]) == ("sendoff@example.com", "ops@example.com")
        assert mail["Message-ID"] == f"<{sending().delivery_id}@example.com>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert {part.get_content_type() for part in mail.walk()} >= {"text/plain", "text/html"}
        text = text_of(server)
        assert f"https://sendoff.example/v1/jobs/{sending().message.job_id}/result" in text
        assert '"words": 12' in text


async def test_a_failure_says_what_went_wrong() -> None:
    failed = {
        "type": MessageType.JOB_FAILED,
        "state": JobState.FAILED,
        "reason": "error",
        "error": RunError(type="ValueError", message="<b>no</b> such page"),
        "result": None,
    }
    async with mail_server() as server:
        await sent(server.port, message=failed)
        mail = server.envelopes[0][2]
        assert mail["Subject"] == "extract-background failed: error"
        assert text_of(server).startswith("ValueError: <b>no</b> such page")
        assert "&lt;b&gt;no" in str(mail)


async def test_a_result_reads_as_it_is_in_both_parts_and_is_no_markup() -> None:
    body = json.dumps({"name": "O'Brien & Söhne 東京", "note": "<b>\\x</b></pre><script>"})
    result = Result(status=200, headers=(("content-type", "application/json"),), body=body.encode())
    async with mail_server() as server:
        await sent(server.port, message={"result": result})
        text, page = text_of(server), text_of(server, "text/html")
    assert """{
  "name": "O'Brien & Söhne 東京",
  "note": "<b>\\\\x</b></pre><script>"
}""" in text.replace("\r\n", "\n")
    assert "\\u" not in text + page
    assert "O&#39;Brien &amp; Söhne 東京" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert html.unescape(page).count("O'Brien & Söhne 東京") == 1
    assert page.count("</pre>") == 1


async def test_no_header_can_be_put_into_a_mail() -> None:
    error = RunError(type="E", message="a\r\nBcc: all@example.com\r\n\r\nbody")
    async with mail_server() as server:
        await sent(server.port, message={"error": error}, subject="{{ error.errorMessage }}")
        mail = server.envelopes[0][2]
        assert mail["Subject"] == "a Bcc: all@example.com body"
        assert (mail["Bcc"], server.envelopes[0][1]) == (None, ["ops@example.com"])


@pytest.mark.parametrize(
    ("answers", "changes", "expected"),
    [
        ({"banner": "421 busy"}, {}, (T, "smtp_error", 421)),
        ({"banner": "554 not today"}, {}, (T, "smtp_error", 554)),
        ({"banner": "silence"}, {"timeout": 0.2}, (T, "timeout", None)),
        ({"RCPT": "450 later"}, {}, (T, "smtp_error", 450)),
        ({"RCPT": "550 nobody here"}, {}, (P, "rejected", 550)),
        ({"MAIL": "553 not you"}, {}, (P, "rejected", 553)),
        ({"end": "552 too much"}, {}, (P, "rejected", 552)),
        ({"end": "451 later"}, {}, (T, "smtp_error", 451)),
        ({"end": ""}, {}, (T, "connection_reset", None)),
        ({"MAIL": ""}, {}, (T, "connection_reset", None)),
        ({}, {"starttls": "required"}, (T, "tls_error", None)),
        ({}, LOGIN, (T, "tls_error", None)),
        ({"AUTH": "535 no"}, {**LOGIN, "starttls": "never"}, (T, "auth_error", 535)),
        ({"EHLO": "250 here"}, {**LOGIN, "starttls": "never"}, (T, "auth_error", None)),
        ({}, {"text": "{{ result.nothing.at_all }}"}, (T, "template_error", None)),
        (
            {},
            {"text": "{% for n in range(7500 * result.words) %}{{ job.id }}{% endfor %}"},
            (T, "template_error", None),
        ),
    ],
)
async def test_what_goes_wrong_has_its_class(
    answers: Mapping[str, str], changes: Mapping[str, Any], expected: tuple[Verdict, str, int | None]
) -> None:
    async with mail_server(**answers) as server:
        outcome = await sent(server.port, **changes)
        assert (outcome.verdict, outcome.reason, outcome.status) == expected, outcome
        assert (server.envelopes, bool(outcome.message)) == ([], True)
        assert outcome.patience_s == (60.0 if expected[1] == "timeout" else None)


@pytest.mark.parametrize(
    ("answers", "changes", "message"),
    [
        ({"banner": "silence"}, {"timeout": 0.2}, "{server}: the mail was not taken within 0.2 s"),
        ({"banner": ""}, {}, "{server} closed the connection before the mail was taken"),
        ({"MAIL": ""}, {}, "{server} closed the connection before the mail was taken"),
        ({"banner": "SSH-2.0-OpenSSH"}, {}, "{server}: what came is no answer of SMTP: SSH-2.0-OpenSSH"),
        ({"MAIL": "354 what."}, {}, "{server}: 354 what"),
        ({"end": "451 later, please."}, {}, "451 later, please"),
        ({}, {"starttls": "required"}, "{server} does not offer STARTTLS, which is required"),
        ({"EHLO": "250 here"}, {**LOGIN, "starttls": "never"}, "{server} offers no login: many do so over TLS only"),
        (
            {"EHLO": "250-here\r\n250 AUTH GSSAPI"},
            {**LOGIN, "starttls": "never"},
            "{server}: No suitable authentication method found",
        ),
        ({}, {"smtps": True}, "{server}: what answers there speaks no TLS"),
    ],
)
async def test_a_failure_names_the_server_and_the_limit_and_leaves_the_full_stop_to_its_reader(
    answers: Mapping[str, str], changes: dict[str, Any], message: str
) -> None:
    async with mail_server(**answers) as server:
        if "smtps" in changes:
            changes = {"smtp": f"smtps://127.0.0.1:{server.port}"}
        outcome = await sent(server.port, **changes)
    assert outcome.message == message.format(server=f"127.0.0.1:{server.port}")


async def test_a_server_that_does_not_say_goodbye_has_taken_the_mail() -> None:
    async with mail_server(QUIT="silence") as server:
        outcome = await sent(server.port, timeout=0.5)
        assert (outcome.verdict, len(server.envelopes)) == (D, 1)


async def test_a_mail_is_taken_by_an_answer_in_whatever_code_it_is_written() -> None:
    async with mail_server(end="250 accept\udce9") as server:  # in Latin-1
        outcome = await sent(server.port)
        assert (outcome.verdict, outcome.body, len(server.envelopes)) == (D, b"accept\xe9", 1)
    async with mail_server(end="550 refus\udce9") as server:
        outcome = await sent(server.port)
        assert (outcome.verdict, outcome.message) == (P, "550 refus?")


async def test_nobody_listening_and_a_blocked_address_have_their_classes() -> None:
    port = free_port()
    refused = await sent(port)
    assert (refused.reason, refused.message) == ("connection_refused", f"127.0.0.1:{port}: Connection refused")
    assert (await sent(25, smtp="smtp://169.254.169.254")).reason == "blocked_address"


async def test_one_bad_recipient_of_three_is_no_other_ones_trouble() -> None:
    async with mail_server(**{"RCPT TO:<b@example.com>": "550 nobody"}) as server:
        outcomes = [await sent(server.port, to=f"{name}@example.com") for name in "abc"]
        assert [outcome.verdict for outcome in outcomes] == [D, P, D]
        assert [recipients for _, recipients, _ in server.envelopes] == [["a@example.com"], ["c@example.com"]]


async def test_credentials_are_sent_over_tls_only(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with mail_server(tls=context, **WITH_TLS) as server:
        assert (await sent(server.port, **LOGIN)).reason == "tls_error"
        assert (await sent(server.port, **LOGIN, ca_file=tmp_path / "ca.pem")).verdict is D
        said = [command.split()[-1] for command in server.commands if command.startswith("AUTH PLAIN")]
        assert base64.b64decode(said[0]) == b"\0sendoff\0open sesame"
    async with mail_server(tls=context, is_tls_at_once=True) as server:
        smtps = f"smtps://127.0.0.1:{server.port}"
        assert (await sent(server.port, **LOGIN, smtp=smtps, ca_file=tmp_path / "ca.pem")).verdict is D
        assert (await sent(server.port, smtp=smtps)).reason == "tls_error"


async def test_the_result_is_attached_where_that_is_asked_for() -> None:
    pdf = Result(status=200, headers=(("content-type", "application/pdf"),), body=b"%PDF-1.7 \x00\xff")
    async with mail_server() as server:
        await sent(server.port, message={"result": pdf}, attach_result=True)
        (attached,) = [part for part in server.envelopes[0][2].walk() if part.get_filename()]
        assert (attached.get_filename(), attached.get_content_type()) == ("extract-background.pdf", "application/pdf")
        assert attached.get_payload(decode=True) == pdf.body
        await sent(server.port, message={"result": pdf}, attach_result=True, attachment_limit=5)
        assert not [part for part in server.envelopes[1][2].walk() if part.get_filename()]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"username": "me"}, "password: expected a value"),
        ({"smtp": "smtps://mail.example.com", "starttls": "required"}, "starttls: expected nothing"),
        ({"subject": "{{ jbo.id }}"}, "subject: knows only alert, batch, error"),
        ({"text": "{% if %}"}, "text: expected a Jinja2 template"),
        ({"html": "<p>", "html_file": Path("a")}, "html_file: expected only one"),
        (
            {"text_file": Path("/nowhere/mail.txt")},
            "^text_file: expected a template, got none: there is no /nowhere",
        ),
        ({"text_file": Path("/")}, "^text_file: expected a template, got a folder: /$"),
        ({"text_file": Path(__file__)}, "^text_file: (knows only|expected a Jinja2 template|expected a template that)"),
    ],
)
def test_what_cannot_be_used_is_a_fault_that_names_its_setting(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        settings_of(options(25, **changes))


def test_each_recipient_has_a_delivery_of_its_own() -> None:
    kind = builtin_kinds()["email"]
    destination = kind.make("mail", kind.settings(options(25, to=["a@example.com", "b@example.com"])))
    assert destination.recipients() == ("a@example.com", "b@example.com")

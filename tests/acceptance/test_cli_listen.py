"""`sendoff listen` as a process: what it checks, prints and catches, how it misbehaves, and with a real service."""

import hmac
import json
import re
import smtplib
import socket
import time
from email.message import EmailMessage
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from destinations.signing.keys import public_key_of
from tests.support.command import sendoff
from tests.support.hooks import SECRET
from tests.support.listening import Listener, headers_of
from tests.support.processes import eventually
from tests.support.serving import Service
from tests.support.terminal import Terminal

pytestmark = pytest.mark.acceptance

VARIABLE = "SENDOFF_WEBHOOK_SECRET"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ATTACK = "[bold]\x1b[31mred\x1b[0m \x1b]0;owned\x07\x9b2J"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
BODY = json.dumps({"type": "job.succeeded", "data": {"text": ATTACK}}, ensure_ascii=False).encode()


def send(
    port: int, message_id: str = "msg_1", body: bytes = BODY, secret: str = SECRET, *, method: str = "POST",
    at: int | None = None, path: str = "/hook", **more: str,
) -> tuple[int, dict[str, str]]:  # fmt: skip
    headers = headers_of(secret, message_id, body, int(time.time()) if at is None else at, **more)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


# Signatures


def test_a_good_signature_is_told_with_all_that_the_webhook_says(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", **{VARIABLE: SECRET}) as listener:
        said = {"x-sendoff-attempt": "2", "x-sendoff-job-id": "a-job", "x-sendoff-destination": "hook"}
        assert send(listener.port(), **said)[0] == 200
        (hook,) = listener.came()
        assert {name: hook[name] for name in ("kind", "type", "message_id", "job_id", "batch_id", "destination")} == {
            "kind": "webhook", "type": "job.succeeded", "message_id": "msg_1", "job_id": "a-job", "batch_id": None,
            "destination": "hook",
        }  # fmt: skip
        assert (hook["attempt"], hook["signature"], hook["why"], hook["status"]) == (2, "good", None, 200)
        assert (hook["encoding"], hook["body"]) == ("json", json.loads(BODY))
        assert "\x9b" not in listener.lines[0]
        assert listener.interrupted() == (0, "1 webhook: 1 accepted, 0 refused")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"secret": OTHER}, "another secret"),
        ({"at": 1614265330}, "webhook-timestamp is too old by"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
    ],
)
def test_a_bad_signature_is_refused_and_told_why(changed: dict[str, Any], why: str, tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", "--secret", SECRET) as listener:
        assert send(listener.port(), **changed)[0] == 401
        (hook,) = listener.came()
        assert hook["signature"] == "bad"
        assert why in hook["why"]
        assert listener.interrupted() == (0, "1 webhook: 0 accepted, 1 refused; 1 bad signature")


def test_without_a_secret_nothing_is_checked_and_that_is_said(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json") as listener:
        assert send(listener.port(), secret=OTHER)[0] == 200
        assert listener.came()[0]["signature"] == "unchecked"
        assert "signatures are not checked" in listener.said[1]


def test_a_private_key_will_do_and_its_public_one_is_said_to_be_enough(tmp_path: Path) -> None:
    with Listener(tmp_path, "--secret", PRIVATE) as listener:
        assert send(listener.port(), secret=PRIVATE)[0] == 200
        assert "".join(listener.said).splitlines()[1:] == [
            "sendoff: --secret is a private key, which only the sender needs",
            f"  To verify, its public key is enough: {public_key_of(PRIVATE)}",
        ]


def test_any_of_the_secrets_of_a_file_will_do(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text(f"{OTHER}\n\n{SECRET}\n")
    with Listener(tmp_path, "--json", "--secret-file", "secrets") as listener:
        assert [send(listener.port(), secret=each)[0] for each in (SECRET, OTHER)] == [200, 200]


def test_the_layouts_of_others_are_checked_and_told_as_a_service_signs_in_them(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", **{VARIABLE: f"{OTHER}\n{SECRET}"}) as listener:
        hooks = "".join(
            f"""
      {layout}: {{type: webhook, url: "{listener.url(f"/{layout}")}", secrets: ["{SECRET}"], signature: {layout}}}"""
            for layout in ("standard", "stripe", "github")
        )
        config = f"""
    functions:
      settings:
        good-background: {{on_success: [standard, stripe, github]}}
    destinations:{hooks}
    """
        with Service(tmp_path / "service", FUNCTIONS, config) as service:
            assert service.settled(service.submit("good-background", {}))["deliveries"]["delivered"] == 3
        came = listener.came(3)
    assert {(hook["path"], hook["layout"], hook["signature"], hook["status"]) for hook in came} == {
        (f"/{layout}", layout, "good", 200) for layout in ("standard", "stripe", "github")
    }


def test_a_layout_that_was_asked_for_is_the_only_one_that_is_taken(tmp_path: Path) -> None:
    with Listener(tmp_path, "--layout", "github", "--secret", SECRET) as listener:
        by_text = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()
        assert send(listener.port(), **{"x-hub-signature-256": f"sha256={by_text}"})[0] == 200
        assert send(listener.port())[0] == 401
        text = listener.shown("is missing")
        assert "  signature good (github)\n" in text
        assert "  signature bad (github): the header x-hub-signature-256 is missing\n" in text


# What is shown


def test_a_webhook_is_shown_in_lines_and_its_text_is_harmless(tmp_path: Path) -> None:
    with Listener(tmp_path, **{VARIABLE: SECRET}) as listener:
        send(listener.port(), path="/[red]", **{"x-sendoff-attempt": "1"})
        text = listener.shown("}\n")
        assert "  job.succeeded  /[red]  attempt 1  answered 200\n" in text
        assert "  signature good\n" in text
        assert "  message   msg_1\n" in text
        assert "[bold]" in text
        assert not set(text) & set("\x1b\x07\x9b")


def test_what_is_left_out_of_a_body_is_counted(tmp_path: Path) -> None:
    with Listener(tmp_path, **{VARIABLE: SECRET}) as listener:
        for lines, said in ((17, "  ... and 1 more line\n"), (18, "  ... and 2 more lines\n")):
            send(listener.port(), f"msg_{lines}", b"line\n" * lines)
            assert listener.shown(said)


def test_a_terminal_has_colours_and_nothing_of_the_sender_s(tmp_path: Path) -> None:
    with Terminal(tmp_path, "listen", "--port", "0", "--smtp", "0", **{VARIABLE: SECRET}) as terminal:
        drawn = terminal.until(lambda drawn: "Ctrl-C ends it" in drawn)
        port = int(drawn.split("http://127.0.0.1:")[1].split()[0])
        send(port, body=ATTACK.replace("\x07", "\x1b\\").encode())
        send(port, body=BODY, secret=OTHER)
        terminal.until(lambda drawn: "no signature matches" in drawn and "text" in drawn)
        terminal.interrupt()
        assert terminal.ended() == 0
    assert "\x1b[32mgood" in terminal.drawn
    assert "\x1b[1;31mbad" in terminal.drawn
    assert "[bold]red" in terminal.drawn
    assert not [code for code in ("\x1b]", "\x1b[2J", "\x07", "\x9b") if code in terminal.drawn]
    assert "2 webhooks: 1 accepted, 1 refused; 1 bad signature; 0 mails" in terminal.drawn
    assert "Traceback" not in terminal.drawn


def test_a_message_that_comes_again_after_it_was_accepted_is_a_duplicate(tmp_path: Path) -> None:
    with Listener(tmp_path, **{VARIABLE: SECRET}) as listener:
        for message_id, path in (("msg_1", "/a"), ("msg_1", "/a"), ("msg_2", "/a"), ("msg_1", "/b")):
            send(listener.port(), message_id, path=path)
        assert listener.interrupted() == (0, "4 webhooks: 4 accepted, 0 refused; 1 duplicate")
        assert listener.shown("duplicate").count("msg_1  duplicate: accepted before, came 2 times now") == 1


def test_bytes_texts_and_deep_nesting_are_told_as_they_are(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", **{VARIABLE: SECRET}) as listener:
        deep = b"[" * 600 + b"]" * 600
        for number, body in enumerate((b"\x00\xff", b"two\nlines", deep, b"")):
            assert send(listener.port(), f"msg_{number}", body)[0] == 200
        told = [(hook["encoding"], hook["body"]) for hook in listener.came(4)]
    assert told == [("base64", "AP8="), ("text", "two\nlines"), ("text", deep.decode()), ("text", "")]


def test_what_is_no_webhook_is_refused_and_told(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", **{VARIABLE: SECRET}) as listener:
        status, headers = send(listener.port(), method="GET")
        assert (status, headers["allow"]) == (405, "POST, PUT")
        with socket.create_connection(("127.0.0.1", listener.port()), 20) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nX: \x1b[31m\r\n\r\n")
            assert b" 400 " in raw.recv(1000)
        assert listener.came()[0]["method"] == "GET"
        assert listener.interrupted() == (0, "0 webhooks: 0 accepted, 0 refused; 1 other request")
        said = "".join(listener.said)
    assert "Invalid header value" in said
    assert "Traceback" not in said
    assert "\x1b" not in said


# Mails


def mail() -> EmailMessage:
    found = EmailMessage()
    found["From"], found["To"], found["Message-ID"] = "sendoff@example.com", "ops@example.com", "<1@example.com>"
    found["Subject"] = "Grüße \x1b[31m"
    found.set_content("the first line\nthe secönd\n")
    found.add_alternative("<p>not this</p>", subtype="html")
    found.add_attachment(b"12345", maintype="application", subtype="pdf", filename="page.pdf")
    return found


def test_mails_are_caught(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", "--smtp", "0") as listener:
        with smtplib.SMTP("127.0.0.1", listener.port("smtp"), timeout=20) as client:
            client.login("any", "thing")
            client.send_message(mail())
            client.send_message(mail())
            client.sendmail("a@example.com", ["b@example.com"], b"no mail \xff")
        first, again, broken = listener.came(3)
        assert (first["kind"], first["from"], first["to"]) == ("mail", "sendoff@example.com", ["ops@example.com"])
        assert first["subject"].startswith("Grüße")
        assert first["text"] == "the first line\nthe secönd\n"
        assert first["attachments"] == [{"name": "page.pdf", "content_type": "application/pdf", "size": 5}]
        assert (first["is_duplicate"], again["is_duplicate"]) == (False, True)
        assert broken["text"].startswith("no mail ")
        assert listener.interrupted()[1] == "0 webhooks: 0 accepted, 0 refused; 3 mails; 1 duplicate"
        assert "Traceback" not in "".join(listener.said)


def test_a_mail_is_shown_in_lines(tmp_path: Path) -> None:
    with Listener(tmp_path, "--smtp", "0") as listener:
        with smtplib.SMTP("127.0.0.1", listener.port("smtp"), timeout=20) as client:
            client.send_message(mail())
        text = listener.shown("the secönd")
        assert "  mail  Grüße" in text
        assert "  from      sendoff@example.com\n  to        ops@example.com\n" in text
        assert "  attached  page.pdf  application/pdf  5 bytes\n" in text
        assert "\x1b" not in text


# Misbehaving


def test_it_misbehaves_as_it_is_told(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", "--answer", "429", "--retry-after", "10", "--fail", "2") as listener:
        answers = [send(listener.port(), message_id) for message_id in ("msg_1", "msg_1", "msg_2", "msg_1", "msg_2")]
        assert [status for status, _ in answers] == [429, 429, 429, 200, 429]
        assert [headers.get("retry-after") for _, headers in answers] == ["10", "10", "10", None, "10"]
        assert [(hook["seen"], hook["is_duplicate"]) for hook in listener.came(5)] == [
            (1, False), (2, False), (1, False), (3, False), (2, False),
        ]  # fmt: skip
    with Listener(tmp_path, "--answer", "500") as listener:
        assert [send(listener.port())[0] for _ in range(3)] == [500, 500, 500]


def test_an_answer_is_held_back_and_told_meanwhile(tmp_path: Path) -> None:
    with Listener(tmp_path, "--json", "--delay", "1h") as listener:
        body = b"{}"
        with socket.create_connection(("127.0.0.1", listener.port()), 20) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert listener.came()[0]["path"] == "/"
            raw.setblocking(False)
            with pytest.raises(BlockingIOError):
                raw.recv(1)
            assert listener.interrupted()[0] == 0
    with Listener(tmp_path, "--json", "--delay", "200ms") as listener:
        assert send(listener.port())[0] == 200


def test_a_sender_that_goes_before_its_answer_is_told_and_is_not_accepted(tmp_path: Path) -> None:
    with Listener(tmp_path, "--delay", "1h") as listener:
        head = b"POST /hook HTTP/1.1\r\nHost: here\r\nwebhook-id: msg_1\r\nContent-Length: 2\r\n\r\n{}"
        for times in (1, 2):
            with socket.create_connection(("127.0.0.1", listener.port()), 20) as raw:
                raw.sendall(head)
                eventually(lambda times=times: "".join(listener.lines).count("to be answered 200 in 1 h") == times)
            eventually(lambda times=times: "".join(listener.said).count("had gone") == times)
        assert "msg_1  again: not accepted so far, came 2 times now" in "".join(listener.lines)
        with socket.create_connection(("127.0.0.1", listener.port()), 20) as raw:
            raw.sendall(head)
            eventually(lambda: "came 3 times now" in "".join(listener.lines))
            assert listener.interrupted() == (0, "3 webhooks: 0 accepted, 0 refused, 3 without an answer")
        told = [line for line in listener.said if "gone" in line]
        assert len(told) == 2
        said = r"msg_1 at /hook: the sender had gone before the answer, after [0-9.]+ m?s\n"
        assert all(re.fullmatch(said, line) for line in told), told
        assert "Traceback" not in "".join(listener.said)
    with Listener(tmp_path, "--delay", "10ms") as listener:
        assert [send(listener.port())[0] for _ in range(2)] == [200, 200]
        assert "accepted before" in listener.shown("accepted before")
        assert listener.interrupted() == (0, "2 webhooks: 2 accepted, 0 refused; 1 duplicate")


# What goes wrong


def test_a_port_that_is_taken_is_said_with_what_helps(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for option, arguments in (("--port", ("--port", port)), ("--smtp", ("--port", "0", "--smtp", port))):
            ended = sendoff(tmp_path, "listen", *arguments)
            assert (ended.returncode, ended.stdout) == (1, "")
            assert ended.stderr.startswith(f"sendoff: port {port} is taken by pid ")
            assert f"Take another: {option} PORT" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "65536"), "expected a port from 0 to 65535, got '65536'"),
        (("--answer", "99"), "expected a status from 200 to 599, got '99'"),
        (("--delay", "soon"), "expected a time up to 1h such as 500ms, 2s or 1m, got 'soon'"),
        (("--delay", "2h"), "expected a time up to 1h"),
        (("--fail", "-1"), "--fail"),
        (("--retry-after", "10"), "--retry-after goes with bad answers\n  Ask for some: --answer 503"),
        (("--secret", "whsec_short"), "sendoff: --secret: expected whsec_ and base64 of 24-64 bytes"),
        (
            ("--layout", "github", "--secret", "whpk_AAAA"),
            "sendoff: --secret: expected whsec_ or raw:, got whpk_; the layout github has no asymmetric signatures",
        ),
        (("--secret", "foo"), "raw: and the secret, or whpk_ and base64 of 32 bytes, a public key; this holds 2 bytes"),
        (("--layout", "gitlab"), "invalid choice: 'gitlab'"),
        (("--secret-file", "nothing"), "sendoff: nothing cannot be read: No such file"),
        (("--secret-file", "empty"), "sendoff: empty holds no secret\n  Each line is one"),
        (("--secret-file", "bad"), "sendoff: bad:2: expected whsec_ and base64"),
    ],
)
def test_bad_options_are_said_with_what_helps(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bad").write_text(f"{SECRET}\nwhsec_very/secret\n")
    ended = sendoff(tmp_path, "listen", "--port", "0", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "secret/" not in ended.stderr.replace("very/", "")
    assert "very/secret" not in ended.stderr


def test_a_bad_secret_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    ended = sendoff(tmp_path, "listen", "--port", "0", **{VARIABLE: "whsec_short"})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"sendoff: {VARIABLE}:1: expected ")


# With a service

FUNCTIONS = {
    "good-background.py": "def handler(event, context):\n    return {'words': 3}\n",
    "bad-background.py": "def handler(event, context):\n    raise ValueError('page 3 is missing')\n",
}
CONFIG = """
    functions:
      settings:
        good-background: {{on_success: [hook]}}
        bad-background: {{on_failure: [ops], retry: []}}
    destinations:
      hook: {{type: webhook, url: "{url}", secrets: ["{secret}"], retry: [100ms, 100ms, 100ms]}}
      ops: {{type: email, smtp: "smtp://127.0.0.1:{smtp}", from: sendoff@example.com, to: [ops@example.com]}}
    """


def test_a_service_retries_until_the_receiver_takes_the_webhook(tmp_path: Path) -> None:
    arguments = ("--json", "--smtp", "0", "--fail", "2", "--answer", "503")
    with Listener(tmp_path, *arguments, **{VARIABLE: SECRET}) as listener:
        config = CONFIG.format(url=listener.url(), smtp=listener.port("smtp"), secret=SECRET)
        with Service(tmp_path / "service", FUNCTIONS, config) as service:
            good = service.submit("good-background", {})
            assert service.settled(good)["deliveries"]["delivered"] == 1
            bad = service.submit("bad-background", {})
            assert service.settled(bad)["deliveries"]["delivered"] == 1
            (delivery,) = service.deliveries(good)
        *hooks, caught = listener.came(4)
        assert [(hook["attempt"], hook["seen"], hook["status"]) for hook in hooks] == [
            (1, 1, 503), (2, 2, 503), (3, 3, 200),
        ]  # fmt: skip
        assert {(hook["job_id"], hook["type"], hook["signature"], hook["is_duplicate"]) for hook in hooks} == {
            (good, "job.succeeded", "good", False)
        }
        assert [attempt["status"] for attempt in delivery["attempts"]] == [503, 503, 200]
        assert hooks[-1]["body"]["data"]["result"] == {"words": 3}
        assert (caught["to"], caught["job_id"]) == (["ops@example.com"], bad)
        assert "page 3 is missing" in caught["text"]
        assert listener.interrupted() == (0, "3 webhooks: 1 accepted, 2 refused; 1 mail")

"""The receivers that the how-tos show: each is run against what a real service really sends, right and forged."""

import email
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.documents import document
from tests.support.hooks import SECRET, Hook, receiving
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.programs import found
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
# Of 25 and of 32 bytes: base64 would end with two = and with one.
UNPADDED = ("whsec_" + "A" * 33 + "Q", "whsec_" + "A" * 42 + "E")
VERIFY = "docs/how-to/verify-a-webhook.md"
# A text that neither ASCII nor a parsed and rewritten JSON keeps as it is.
FUNCTION = "def handler(event, context):\n    return {'text': 'Grüße, \\u2028', 'number': 1.0, 'words': 2}\n"


def shown(name: str, language: str) -> list[str]:
    """Return what a document shows in a language."""
    return [block.text for block in document(name).blocks(language)]


def defined(*sources: str) -> dict[str, Any]:
    """Run pieces of Python and return what they define."""
    names: dict[str, Any] = {}
    for source in sources:
        exec(source, names)
    return names


PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def webhook_to(url: str, secrets: str = SECRET, retry: str = "[]") -> str:
    return f"""
        functions: {{settings: {{f-background: {{on_success: [hook], retry: []}}}}}}
        destinations: {{hook: {{type: webhook, url: "{url}", secrets: [{secrets}], retry: {retry}}}}}
        """


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Hook:
    """A webhook as a service sent it, signed with two secrets and an asymmetric one."""
    with receiving() as receiver:
        config = webhook_to(
            receiver.url("/hook"),
            f"{OTHER}, {{secret: '{PRIVATE}', until: 2999-01-01T00:00:00Z}}, {', '.join(UNPADDED)}, {SECRET}",
        )
        with Service(tmp_path_factory.mktemp("sent"), {"f-background.py": FUNCTION}, config) as service:
            service.settled(service.submit("f-background"))
            (sent,) = receiver.hooks
    return sent


# Python


def test_the_python_verifiers_take_what_was_sent_and_nothing_else(hook: Hook) -> None:
    names = defined(*shown(VERIFY, "python"))
    is_genuine, verified = names["is_genuine"], names["verified"]
    for secret in (SECRET, OTHER, *UNPADDED):
        assert is_genuine(secret, hook.headers, hook.body)
        assert verified(secret, hook.headers, hook.body)["type"] == "job.succeeded"
    for secret, headers, body in forged(hook):
        assert not is_genuine(secret, headers, body), headers
        with pytest.raises((WebhookVerificationError, ValueError)):
            verified(secret, headers, body)


def forged(hook: Hook) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Yield what must not be taken."""
    yield SECRET, hook.headers, hook.body + b" "
    yield "whsec_" + "B" * 32, hook.headers, hook.body
    signatures = hook.headers["webhook-signature"]
    for name, value in (
        ("id", "msg_other"),
        ("timestamp", str(int(time.time()) - 1000)),
        ("timestamp", "²"),
        ("signature", "v1,AAAA"),
        ("signature", signatures.replace("v1,", "v2,")),
    ):
        yield SECRET, {**hook.headers, f"webhook-{name}": value}, hook.body
    yield SECRET, {name: value for name, value in hook.headers.items() if not name.startswith("webhook-")}, hook.body


def tampered(hook: Hook) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield what no asymmetric signature is right for."""
    yield hook.headers, hook.body + b" "
    signatures = hook.headers["webhook-signature"].split(" ")
    for name, value in (
        ("id", "msg_other"),
        ("timestamp", "1"),
        ("signature", "v1a,AAAA"),
        ("signature", "v1a,%"),
        ("signature", " ".join(one for one in signatures if one.startswith("v1,"))),
    ):
        yield {**hook.headers, f"webhook-{name}": value}, hook.body


def test_the_asymmetric_verifier_in_python_takes_what_was_sent_and_nothing_else(hook: Hook) -> None:
    is_signed_by = defined(*shown(VERIFY, "python"))["is_signed_by"]
    assert is_signed_by(PUBLIC, hook.headers, hook.body)
    assert is_signed_by(PUBLIC.rstrip("="), hook.headers, hook.body)
    assert not is_signed_by("whpk_" + "A" * 43 + "=", hook.headers, hook.body)
    for headers, body in tampered(hook):
        assert not is_signed_by(PUBLIC, headers, body), headers


# JavaScript


def test_the_asymmetric_verifier_in_javascript_takes_what_was_sent_and_nothing_else(tmp_path: Path, hook: Hook) -> None:
    program = found("node")
    _, source = shown(VERIFY, "javascript")
    requests = [(hook.headers, hook.body), *tampered(hook)]
    asked = [{"headers": headers, "body": body.decode("latin-1")} for headers, body in requests]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    check = f"""
        import {{ readFileSync }} from "node:fs";
        for (const {{ headers, body }} of JSON.parse(readFileSync("asked.json", "utf8")))
          console.log(isSignedBy("{PUBLIC}", headers, Buffer.from(body, "latin1")));
        """
    (tmp_path / "check.mjs").write_text(source + check)
    done = subprocess.run([program, "check.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["true", *["false"] * (len(requests) - 1)], done.stderr


@contextmanager
def node(folder: Path, port: int) -> Iterator[Path]:
    """Run the receiver that is shown, on a port of its own; give the file of what it prints."""
    program = found("node")
    source, _ = shown(VERIFY, "javascript")
    (folder / "receiver.mjs").write_text(source.replace("9000", str(port)))
    printed = folder / "printed"
    with printed.open("wb") as output:
        environ = {**os.environ, "HOOK_SECRET": SECRET}
        process = subprocess.Popen([program, folder / "receiver.mjs"], stdout=output, stderr=output, env=environ)
    try:
        yield printed
    finally:
        process.kill()
        process.wait()


def test_the_verifiers_in_javascript_take_secrets_and_keys_without_their_padding(tmp_path: Path, hook: Hook) -> None:
    program = found("node")
    receiver, asymmetric = shown(VERIFY, "javascript")
    request = json.dumps({"headers": hook.headers, "body": hook.body.decode("latin-1")})
    asked = f"""
        const {{ headers, body }} = {request};
        const bytes = Buffer.from(body, "latin1");
        for (const secret of {json.dumps(UNPADDED)}) console.log(isGenuine(secret, headers, bytes));
        console.log(isSignedBy("{PUBLIC.rstrip("=")}", headers, bytes));
        """
    only_functions = receiver.partition("const handled")[0]
    (tmp_path / "check.mjs").write_text(only_functions + asymmetric + asked)
    done = subprocess.run([program, "check.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["true"] * 3, done.stderr


def test_the_receiver_in_javascript_takes_a_message_once_and_refuses_other_secrets(tmp_path: Path, hook: Hook) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    with node(tmp_path, port) as printed:
        with Service(
            tmp_path / "good", {"f-background.py": FUNCTION}, webhook_to(url, retry="[200ms, 1s, 5s]")
        ) as good:
            job_id = good.submit("f-background")
            assert good.settled(job_id)["deliveries"]["delivered"] == 1
        with Service(tmp_path / "bad", {"f-background.py": FUNCTION}, webhook_to(url, "raw:other")) as bad:
            refused = bad.submit("f-background")
            assert bad.settled(refused)["deliveries"]["dead"] == 1
            (delivery,) = bad.deliveries(refused)
            assert delivery["attempts"][0]["status"] == 401
        for _ in range(2):
            assert post(url, hook.headers, hook.body) == "204"
        for _, headers, body in forged(hook):
            assert post(url, headers, body) == ("204" if (headers, body) == (hook.headers, hook.body) else "401")
        assert [line.split()[1:] for line in printed.read_text().splitlines()] == [
            ["job.succeeded", job_id],
            ["job.succeeded", hook.job_id],
        ]


def post(url: str, headers: dict[str, str], body: bytes) -> str:
    """Send a request by curl and return the status of its answer."""
    named = [f"{name}: {value}" for name, value in headers.items() if name.startswith("webhook-")]
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", url]
    for line in named:
        command += ["-H", line]
    return subprocess.run(command, input=body, capture_output=True, check=True, timeout=30).stdout.decode()


# Shell


def bash(folder: Path, script: str, **variables: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    environ = {**os.environ, **variables}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def test_openssl_tells_by_hand_what_is_genuine(tmp_path: Path, hook: Hook) -> None:
    found("openssl")
    look, _ = shown(VERIFY, "bash")
    variables = {name: hook.headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")}
    (tmp_path / "body").write_bytes(hook.body)
    for secret in (SECRET, *UNPADDED):
        assert bash(tmp_path, look, secret=secret, **variables) == "genuine"
    assert bash(tmp_path, look, secret="whsec_" + "B" * 32, **variables).startswith("forged: expected v1,")
    (tmp_path / "body").write_bytes(hook.body + b" ")
    assert bash(tmp_path, look, secret=SECRET, **variables).startswith("forged: ")


def test_curl_sends_by_hand_what_a_receiver_takes(tmp_path: Path) -> None:
    found("openssl")
    _, send = shown(VERIFY, "bash")

    known = [SECRET]

    def verify(sent: Hook) -> int:
        try:
            Webhook(known[0]).verify(sent.body, sent.headers)
        except WebhookVerificationError:
            return 401
        return 204

    with receiving(verify) as receiver:
        url = receiver.url("/hook")
        assert bash(tmp_path, send, secret=SECRET, url=url) == "204"
        assert bash(tmp_path, send.replace("curl ", "printf ' ' >> body\ncurl "), secret=SECRET, url=url) == "401"
        assert bash(tmp_path, send, secret=OTHER, url=url) == "401"
        for secret in UNPADDED:
            known[:] = [secret]
            assert bash(tmp_path, send, secret=secret, url=url) == "204"


# Functions and mails


def test_the_functions_that_receive_messages_do(tmp_path: Path) -> None:
    first, second = shown("docs/how-to/configure-a-function.md", "python")
    functions = {"f-background.py": FUNCTION, "first-background.py": first, "second-background.py": second}
    config = """
        functions: {settings: {f-background: {on_success: [first, second], retry: []}}}
        destinations:
          first: {type: function, function: first-background}
          second: {type: function, function: second-background}
        """
    with Service(tmp_path, functions, config) as service:
        job_id = service.submit("f-background")
        service.settled(job_id)
        children = {job["function"]: job["id"] for job in service.items(f"/v1/jobs?parent={job_id}")}
        results = {name: service.get(f"/v1/jobs/{child}/result?").json() for name, child in children.items()
                   if service.ended(child)["state"] == "succeeded"}  # fmt: skip
        assert results == {
            "first-background": {"words": 2, "parent": job_id},
            "second-background": {"key": children["second-background"], "of": job_id},
        }
        caller = {"x-sendoff-parent": job_id}
        answer = service.request("POST", "/functions/second-background", b"{}", caller)
        forged_job = service.ended(answer.json()["id"])
        assert (forged_job["state"], forged_job["reason"]) == ("failed", "rejected")


class Mailbox:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - its name
        self.mails.append(envelope.content)
        return "250 OK"


def test_the_reader_of_mails_reads_each_once(tmp_path: Path) -> None:
    (source,) = shown("docs/how-to/configure-an-email.md", "python")
    read = defined(source)["read"]
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        config = f"""
            functions: {{settings: {{f-background: {{on_success: [mail], retry: []}}}}}}
            destinations:
              mail:
                {{type: email, smtp: "smtp://127.0.0.1:{port}", from: a@example.com, to: [b@example.com],
                 attach_result: true}}
            """
        with Service(tmp_path, {"f-background.py": FUNCTION}, config) as service:
            job_id = service.submit("f-background")
            service.settled(job_id)
            result = service.get(f"/v1/jobs/{job_id}/result").body
        (mail,) = eventually(lambda: box.mails, what="the mail came")
    finally:
        controller.stop()
    handled: set[str] = set()
    assert read(mail, handled) == (job_id, result)
    assert read(mail, handled) is None
    assert email.message_from_bytes(mail)["Message-ID"] in handled

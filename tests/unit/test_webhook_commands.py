"""`sendoff secret` and `sendoff webhook`, run as processes: what one prints the other takes; each fault is named."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from destinations.signing.keys import Layout, parse_secret, public_key_of
from destinations.signing.signatures import Signer, sign
from tests.support.command import SENDOFF, sendoff

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
BODY = '{"text":"Grüße"}'.encode()
ID = "msg_1"


def request(body: bytes = BODY, secret: str = SECRET, at: int | None = None) -> dict[str, str]:
    """Return the headers of a genuine request."""
    at = int(time.time()) if at is None else at
    return {"webhook-id": ID, "webhook-timestamp": str(at), "webhook-signature": sign([secret], ID, at, body)}


def lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def verify(
    folder: Path, *arguments: str, said: bytes = b"", secret: str | None = SECRET
) -> "subprocess.CompletedProcess[bytes]":
    environ = {} if secret is None else {"SENDOFF_WEBHOOK_SECRET": secret}
    return subprocess.run(
        [SENDOFF, "webhook", "verify", *arguments], cwd=folder, env=environ, input=said, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip


def told(done: "subprocess.CompletedProcess[bytes]") -> tuple[int, list[str]]:
    assert done.stderr == b""
    return done.returncode, done.stdout.decode().splitlines()


# secret new


def test_a_new_secret_signs_and_is_another_one_each_time(tmp_path: Path) -> None:
    made = [sendoff(tmp_path, "secret", "new") for _ in range(2)]
    assert [(each.returncode, each.stderr) for each in made] == [(0, "")] * 2
    first, second = (each.stdout.removesuffix("\n") for each in made)
    assert first != second
    assert first.startswith("whsec_")
    assert told(verify(tmp_path, said=lines(request(secret=first)).encode() + b"\r\n" + BODY, secret=first)) == (
        0, ["genuine"]
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_new_asymmetric_secret_comes_with_its_public_key(tmp_path: Path) -> None:
    done = sendoff(tmp_path, "secret", "new", "--asymmetric")
    assert (done.returncode, done.stderr) == (0, "")
    secret, public = done.stdout.splitlines()
    assert public_key_of(secret) == public
    said = lines(request(secret=secret)).encode() + b"\r\n" + BODY
    assert told(verify(tmp_path, said=said, secret=public)) == (0, ["genuine"])


# webhook verify


def test_headers_and_body_come_from_files_or_from_stdin(tmp_path: Path) -> None:
    headers = request()
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "lines").write_text(lines(headers))
    (tmp_path / "curl").write_text(
        "> POST /hook?a:b HTTP/1.1\n" + "".join(f"> {n.title()}: {v}\n" for n, v in headers.items())
    )
    (tmp_path / "json").write_text(json.dumps({**headers, "x-many": ["a", "b"]}, indent=1))
    (tmp_path / "whole").write_bytes(b"POST /hook HTTP/1.1\r\n" + lines(headers).encode() + b"\r\n" + BODY)
    for name in ("lines", "curl", "json"):
        assert told(verify(tmp_path, "--headers", name, "--body", "body")) == (0, ["genuine"])
        assert told(verify(tmp_path, "--headers", name, "--body", "-", said=BODY)) == (0, ["genuine"])
        assert told(verify(tmp_path, "--body", "body", said=(tmp_path / name).read_bytes())) == (0, ["genuine"])
    assert told(verify(tmp_path, "--headers", "whole")) == (0, ["genuine"])


def test_a_binary_body_with_blank_lines_is_taken_as_it_is(tmp_path: Path) -> None:
    body = b"\n\n\xff\x00\r\n\r\n"
    assert told(verify(tmp_path, said=lines(request(body)).encode() + b"\r\n" + body)) == (0, ["genuine"])


def test_secrets_come_from_a_file_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text(f"\n  {OTHER}\nraw:two words\n{SECRET}\n")
    (tmp_path / "whole").write_bytes(lines(request(secret="raw:two words")).encode() + b"\n" + BODY)
    arguments = ("--secret-file", "secrets", "--headers", "whole")
    assert told(verify(tmp_path, *arguments, secret=None)) == (0, ["genuine"])


PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="


def test_a_private_key_verifies_and_its_public_one_is_said_to_be_enough(tmp_path: Path) -> None:
    said = lines(request(secret=PRIVATE)).encode() + b"\r\n" + BODY
    done = verify(tmp_path, said=said, secret=f"{OTHER}\n{PRIVATE}")
    assert (done.returncode, done.stdout) == (0, b"genuine\n")
    assert done.stderr.decode().splitlines() == [
        "sendoff: secret 2 of SENDOFF_WEBHOOK_SECRET is a private key, which only the sender needs",
        f"  To verify, its public key is enough: {PUBLIC}",
    ]


MISMATCH = "not genuine: no signature matches: another secret, or the body, id or time were changed on the way"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"webhook-id": None}, ["not genuine: the header webhook-id is missing"]),
        ({"webhook-timestamp": "now"}, ["not genuine: webhook-timestamp is not a whole number of seconds"]),
        ({"webhook-signature": "v1,AAAA"}, [MISMATCH]),
        ({"webhook-signature": "v1a,AAAA"}, [
            "not genuine: webhook-signature holds no signature of version v1, but of v1a"
        ]),
        ({"webhook-signature": "\x1b[31mv9,x\u202e"}, [
            "not genuine: webhook-signature holds no signature of version v1"
        ]),
        ({"body": BODY + b"\n"}, [
            MISMATCH,
            "  the signature is right for the body without the line break at its end: what saved it added one",
        ]),
        ({"secret": OTHER}, [MISMATCH]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_the_exit_code_is_1(
    tmp_path: Path, changes: dict[str, Any], expected: list[str]
) -> None:
    body, secret = changes.pop("body", BODY), changes.pop("secret", SECRET)
    headers = {name: value for name, value in (request() | changes).items() if value is not None}
    said = lines(headers).encode() + b"\r\n" + body
    assert told(verify(tmp_path, said=said, secret=secret)) == (1, expected)


def test_a_recorded_request_is_too_old_unless_its_moment_is_told(tmp_path: Path) -> None:
    said = lines(request(at=1614265330)).encode() + b"\r\n" + BODY
    code, (first, second) = told(verify(tmp_path, said=said))
    assert code == 1
    assert re.match(r"not genuine: webhook-timestamp is too old by \d+ d( \d+ h)?: it is \d+ d( \d+ h)? old, ", first)
    assert second == "  the signature itself is right: the request is an old one, or one of the clocks is wrong"
    for at, expected in (("2021-02-25T15:07:10Z", 0), ("2021-02-25T15:07:11Z", 1), ("2021-02-25T16:02:10+01:00", 0)):
        assert verify(tmp_path, "--at", at, said=said).returncode == expected, at


@pytest.mark.parametrize("layout", list(Layout))
def test_every_layout_is_verified(tmp_path: Path, layout: Layout) -> None:
    at = int(time.time())
    signature = Signer([parse_secret(SECRET, layout)], layout).sign(ID, at, BODY)
    said = lines(request() | {layout.header: signature}).encode() + b"\r\n"
    for body, code in ((BODY, 0), (BODY + b"!", 1)):
        assert verify(tmp_path, "--layout", layout, said=said + body).returncode == code


@pytest.mark.parametrize(
    ("arguments", "secret", "sentence"),
    [
        ((), None, "there is no secret in SENDOFF_WEBHOOK_SECRET"),
        ((), "hunter2!", "secret 1 of SENDOFF_WEBHOOK_SECRET: expected whsec_"),
        ((), f"{SECRET}\nwhsec_hunter2", "secret 2 of SENDOFF_WEBHOOK_SECRET: expected whsec_"),
        ((), "hunter2!", "or whpk_ and base64 of 32 bytes, a public key; this is not base64"),
        (("--layout", "github"), "hunter2!", "expected raw: and the secret as its receiver has it, or whsec_ and "),
        (
            ("--layout", "stripe"),
            "whsec_hunter2",
            "expected raw: and the secret as its receiver has it, or whsec_ and ",
        ),
        (("--layout", "github"), PUBLIC, "expected whsec_ or raw:, got whpk_; the layout github has no asymmetric "),
        (("--secret-file", "no"), SECRET, "no cannot be read: No such file or directory"),
        (("--headers", "no"), SECRET, "no cannot be read: No such file or directory"),
        (("--headers", "empty"), SECRET, "empty holds no headers\n  Each is a line of `name: value`"),
        (("--headers", "lines"), SECRET, "lines holds no headers\n  Each is a line of `name: value`"),
        (("--headers", "json"), SECRET, "json holds no headers\n  Each is a line of `name: value`"),
        (("--headers", "-", "--body", "-"), SECRET, "cannot both come from stdin"),
        (("--at", "noon"), SECRET, "expected a moment such as 2027-01-31T00:00:00Z"),
        (("--layout", "gitlab"), SECRET, "invalid choice: 'gitlab'"),
    ],
)
def test_wrong_usage_is_told_without_the_secret(
    tmp_path: Path, arguments: tuple[str, ...], secret: str | None, sentence: str
) -> None:
    for name, content in (("empty", ""), ("lines", "POST /hook HTTP/1.1\n"), ("json", "{}")):
        (tmp_path / name).write_text(content)
    done = verify(tmp_path, *arguments, said=b"a: b\n\n", secret=secret)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr.decode()
    assert b"hunter2" not in done.stderr


def test_stdin_without_headers_is_told(tmp_path: Path) -> None:
    done = verify(tmp_path, said=b"")
    assert (done.returncode, done.stderr[:32]) == (2, b"sendoff: stdin holds no headers\n")


def test_headers_that_begin_as_json_must_be_it(tmp_path: Path) -> None:
    done = verify(tmp_path, said=b'{"webhook-id": ')
    assert done.returncode == 2
    assert b"the headers begin as JSON, and are none" in done.stderr

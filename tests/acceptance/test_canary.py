"""A canary for each place that holds a secret: after failures of all kinds it is nowhere but where it belongs."""

import base64
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
import trustme

from destinations.signing.ed25519 import new_pair
from pipeline.web.routes import ROUTES
from tests.support.certificates import written
from tests.support.echoing import echoing, refusing_mail
from tests.support.ports import free_port
from tests.support.serving import SENDOFF, Service

pytestmark = pytest.mark.acceptance

PLACES = ("ENV", "LITERAL", "HEADER", "BASIC", "SIGNING", "ASYMMETRIC", "PATH", "QUERY", "MAIL", "SERVICE")
PLACES += ("PASSWORD", "BEARER", "PROXY", "KEY")
CANARIES = {place: f"canary-{place.lower()}-7f3a/9+c" for place in PLACES}
"""One that can be told from the others, with characters that URLs and base64 write otherwise."""
CANARIES |= {place: f"canary-{place.lower()}-7f3a9c" for place in ("PATH", "QUERY")}
CANARIES["ASYMMETRIC"] = new_pair()[0]  # its public half is shown, and must not be taken for it

LEAKY = """
    import base64, logging, os, sys
    ENV, LITERAL = os.environ["ENV"], os.environ["LITERAL"]
    print("imported with", ENV)

    class Leak(Exception):
        pass

    def handler(event, context):
        print(ENV, LITERAL)
        sys.stdout.write("a line in two writes: " + ENV[:10]); sys.stdout.flush(); print(ENV[10:])
        print(base64.b64encode(f"user:{ENV}".encode()).decode(), file=sys.stderr)
        logging.getLogger("leaky").warning("logged: %s\\n%r", ENV, {"key": LITERAL})
        os.write(1, b"y" * (64 * 1024 - 15) + ENV.encode() + b"\\n")
        print("z" * 300_000 + ENV)
        print(dict(os.environ))
        context.progress(1, 2, ENV)
        how = event["body"]
        if how == "raise":
            try:
                raise KeyError(ENV)
            except KeyError as error:
                raise Leak(f"{ENV} and {LITERAL}") from error
        if how == "cut":
            raise Leak("x" * (128 * 1024 - 15) + ENV)
        if how == "type":
            raise type("Error" + ENV, (Exception,), {})()
        if how == "reject":
            context.reject(ENV)
        if how == "exit":
            os._exit(3)
        if how == "bad":
            return {"statusCode": 200, "headers": {ENV: [ENV]}}
        return {"statusCode": 200, "headers": {"x-own": ENV}, "body": "mine: " + ENV}
    """
BROKEN = 'import os\nraise RuntimeError("at import: " + os.environ["ENV"])\n'
FAILURES = ("raise", "cut", "type", "reject", "exit", "bad")
DESTINATIONS = ("ok", "error", "gone", "redirect", "refused", "tls", "mail", "template")
DESTINATIONS += ("basic", "bearer", "proxied", "tunnel")


def config(echo: int, mail: int, form: str) -> str:
    function = f'{{retry: [], env: {{ENV: "${{C_ENV}}", LITERAL: "{CANARIES["LITERAL"]}"}}, '
    sends = "[" + ", ".join(DESTINATIONS) + "]"
    basic = base64.b64encode(f"ada:{CANARIES['BASIC']}".encode()).decode()
    hook = (
        '{type: webhook, retry: [], breaker: null, secrets: ["raw:${C_SIGNING}padding", '
        '{secret: "${C_ASYMMETRIC}", until: 2999-01-01T00:00:00Z}], '
        f'headers: {{authorization: "Bearer ${{C_HEADER}}", x-basic: "Basic {basic}"}}, '
    )
    bare = "type: webhook, retry: [], breaker: null, "
    proxy = f'proxy: {{url: "http://127.0.0.1:{echo}", username: ada, password: "${{C_PROXY}}"}}'
    tls = 'tls: {certificate: client.pem, key: client.encrypted.pem, password: "${C_KEY}"}'
    to = "retry: [], breaker: null, from: a@example.com, to: [b@example.com]"
    smtp = f'smtp: "smtp://127.0.0.1:{mail}", starttls: never'
    path = "${C_PATH}/x?key=${C_QUERY}"
    return f"""
        service: {{log_format: {form}}}
        functions:
          settings:
            leaky: {function}}}
            leaky-background: {function} on_success: {sends}, on_failure: {sends}}}
            broken-background: {function} on_failure: [error]}}
        destinations:
          ok: {hook} url: "http://127.0.0.1:{echo}/200/{path}"}}
          error: {hook} url: "http://127.0.0.1:{echo}/500/{path}"}}
          gone: {hook} on_410: fail, url: "http://127.0.0.1:{echo}/410/{path}"}}
          redirect: {hook} url: "http://127.0.0.1:{echo}/307/{path}"}}
          refused: {hook} url: "http://127.0.0.1:{free_port()}/200/{path}"}}
          tls: {hook} url: "https://127.0.0.1:{echo}/200/{path}"}}
          basic: {{{bare} basic: {{username: ada, password: "${{C_PASSWORD}}"}}, url: "http://127.0.0.1:{echo}/500/"}}
          bearer: {{{bare} bearer: "${{C_BEARER}}", url: "http://127.0.0.1:{echo}/500/"}}
          proxied: {{{bare} {proxy}, url: "http://receiver.example/500/"}}
          tunnel: {{{bare} {proxy}, {tls}, url: "https://receiver.example/500/"}}
          mail: {{type: email, {smtp}, username: ada, password: "${{C_MAIL}}", {to}}}
          template: {{type: email, {smtp}, text: "{{{{ 1 // (job.function != 'leaky-background') }}}}", {to}}}
        """


def found_in(content: bytes) -> set[str]:
    """Return the places whose canary is in `content`: as it is, percent-encoded, in JSON, or in base64."""
    looked_at = [content, unquote_to_bytes(content), content.replace(b"\\/", b"/")]
    for run in re.findall(rb"[A-Za-z0-9+/_=-]{16,}", content):
        plain = run.replace(b"-", b"+").replace(b"_", b"/").replace(b"=", b"")
        for start in range(4):
            piece = plain[start:]
            looked_at.append(base64.b64decode(piece[: len(piece) // 4 * 4]))
    return {place for place in PLACES if any(_core(place) in each for each in looked_at)}


def _core(place: str) -> bytes:
    if place == "ASYMMETRIC":  # of the private half
        return CANARIES[place].removeprefix("whsk_")[:30].encode()
    # So much of it that no other text has it, and so little that a part of it is found, too.
    return CANARIES[place][: -len("3a/9+c") if place not in ("PATH", "QUERY") else -4].encode()


@pytest.fixture(params=["text", "json"])
def service(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Any, list[str]]]:
    for place in PLACES:
        if place != "LITERAL":
            monkeypatch.setenv(f"C_{place}", CANARIES[place])
    written(trustme.CA().issue_cert("sendoff@example.com"), tmp_path).encrypted(CANARIES["KEY"])
    functions = {"leaky.py": LEAKY, "leaky-background.py": LEAKY, "broken-background.py": BROKEN}
    with (
        echoing() as echo,
        refusing_mail("ada", CANARIES["MAIL"]) as (mail, commands),
        Service(tmp_path, functions, config(echo.port, mail, request.param)) as service,
    ):
        yield service, echo, commands


def test_a_canary_is_nowhere_but_where_it_belongs(service: tuple[Service, Any, list[str]]) -> None:
    serving, echo, commands = service
    answers = synchronous(serving)
    failed = [_submit(serving, "leaky-background", how) for how in FAILURES]
    failed += [_submit(serving, "broken-background", "")]
    failed += _submit_batch(serving, "leaky-background", list(FAILURES))
    for job_id in failed:
        assert serving.settled(job_id)["state"] == "failed"
    told = b"".join(body for _, _, body in map(_parts, echo.received))
    returned = _submit(serving, "leaky-background", "return")
    assert serving.settled(returned)["state"] == "succeeded"

    # It was there to be leaked: what it was for has it, and by what the tests looks for it.
    received = b"".join(echo.received)
    assert found_in(received) >= {"HEADER", "BASIC", "PATH", "QUERY", "PASSWORD", "BEARER", "PROXY"}
    assert found_in("\n".join(commands).encode()) == {"MAIL"}
    result = serving.get(f"/v1/jobs/{returned}/result")
    assert (result.body, result.headers["x-own"]) == (b"mine: " + CANARIES["ENV"].encode(), CANARIES["ENV"])
    assert b"mine: " + CANARIES["ENV"].encode() in received

    # What a failed job's webhooks say, and every answer of the service.
    assert told
    assert found_in(told) == set()
    assert not {"SIGNING", "ASYMMETRIC", "SERVICE", "MAIL", "KEY"} & found_in(received)
    classes = set[str]()
    for path, answer in [*answers, *everything(serving, [*failed, returned])]:
        if path != f"/v1/jobs/{returned}/result":
            assert found_in(repr(answer.headers).encode() + answer.body) == set(), (path, answer)
        if path.startswith("/v1/deliveries/"):
            classes |= {attempt["class"] or "delivered" for attempt in answer.json()["attempts"]}
    # A receiver that speaks no TLS is now and then quicker to close the connection than to be understood.
    assert classes - {"connection_reset"} == {
        "delivered", "http_error", "gone", "redirect", "connection_refused", "tls_error", "auth_error", "template_error"
    }  # fmt: skip
    assert serving.stop() == 0
    assert found_in(serving.log.encode()) == set()
    for command in ("check", "doctor"):
        ended = subprocess.run([SENDOFF, command], cwd=serving.folder, capture_output=True, timeout=100, check=False)
        assert b"broken-background" in ended.stdout
        assert found_in(ended.stdout + ended.stderr) == set()
    own = {"mine: " + CANARIES["ENV"], json.dumps([["x-own", CANARIES["ENV"]]], separators=(",", ":"))}
    assert rows_with_a_canary(serving.database) == {("payload", each) for each in own}


def _parts(request: bytes) -> tuple[bytes, bytes, bytes]:
    head, _, body = request.partition(b"\n\n")
    first, _, headers = head.partition(b"\n")
    return first, headers, body


def _submit(service: Service, function: str, how: str) -> str:
    answer = service.request("POST", f"/functions/{function}", how.encode(), {"Content-Type": "text/plain"})
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def _submit_batch(service: Service, function: str, hows: list[str]) -> list[str]:
    """Submit a batch, wait for its end, and return the ids of its jobs."""
    lines = b"".join(json.dumps({"body": how, "key": how}).encode() + b"\n" for how in hows)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = service.request("POST", f"/v1/batches?function={function}", lines, headers)
    assert answer.status == 202, answer
    batch_id = answer.json()["id"]
    while service.get(f"/v1/batches/{batch_id}?wait=20").json()["state"] == "running":
        pass
    return [job["id"] for job in service.items(f"/v1/jobs?batch={batch_id}")]


def synchronous(service: Service) -> Iterator[tuple[str, Any]]:
    """Return the answers of synchronous calls that fail, as JSON and as a page."""
    for how in FAILURES:
        for accept in ("*/*", "text/html"):
            headers = {"Content-Type": "text/plain", "Accept": accept}
            answer = service.request("POST", "/functions/leaky", how.encode(), headers)
            assert answer.status in (500, 502), (how, answer)
            yield f"leaky {how} {accept}", answer
    asked = quote(CANARIES["ENV"], safe="")
    for path in (f"/v1/jobs/{asked}", f"/v1/jobs?limit={asked}", f"/functions/{asked}", f"/{asked}"):
        yield path, service.get(path)


def everything(service: Service, jobs: list[str]) -> Iterator[tuple[str, Any]]:
    """Return the answer of every route of the service that shows something."""
    paths = [path for method, path, *_ in ROUTES if method == "GET"]
    lists = [path for path in paths if "{" not in path]
    of_jobs = [path for path in paths if path.startswith("/v1/jobs/{id}")]
    of_deliveries = [path for path in paths if path.startswith("/v1/deliveries/{id}")]
    of_destinations = [path for path in paths if path.startswith("/v1/destinations/{name}")]
    of_batches = [path for path in paths if path.startswith("/v1/batches/{id}")]
    of_replays = [path for path in paths if path.startswith("/v1/replays/{id}")]
    looked_at = {*lists, *of_jobs, *of_batches, *of_deliveries, *of_destinations, *of_replays}
    assert looked_at == set(paths), "a route that is not looked at"
    asked = [path.replace("{id}", job_id) for path in of_jobs for job_id in jobs]
    asked += [f"/v1/jobs/{job_id}/logs?follow=1" for job_id in jobs]
    batches = [batch["id"] for batch in service.items("/v1/batches")]
    asked += [path.replace("{id}", batch_id) for path in of_batches for batch_id in batches]
    asked += [path.replace("{name}", name) for path in of_destinations for name in DESTINATIONS]
    asked += [path.replace("{id}", _replay(service)) for path in of_replays]
    deliveries = [one["id"] for job_id in jobs for one in service.items(f"/v1/jobs/{job_id}/deliveries")]
    asked += [path.replace("{id}", delivery) for path in of_deliveries for delivery in deliveries]
    for path in [*lists, *asked]:
        yield path, service.get(f"{path}{'&' if '?' in path else '?'}limit=500" if "/logs" not in path else path)


def _replay(service: Service) -> str:
    """Begin a replay that finds nothing to send; return its id."""
    asked = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z", "states": ["dead"]}
    headers = {"Content-Type": "application/json"}
    answer = service.request("POST", "/v1/destinations/error/replay", json.dumps(asked).encode(), headers)
    assert answer.status == 202, answer
    return str(answer.json()["id"])


def rows_with_a_canary(database: Path) -> set[tuple[str, str]]:
    """Return every value in the database that has a canary, with its table."""
    found = set()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"log", "run", "job", "message", "delivery", "attempt", "payload", "invocation"} <= set(tables)
        for table in tables:
            for row in db.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    if found_in(content):
                        found.add((table, content.decode(errors="replace")))
    return found


def test_the_scan_finds_what_it_is_there_to_find() -> None:
    for place, canary in CANARIES.items():
        for before in range(3):
            encoded = base64.b64encode(b"x" * before + canary.encode())
            assert found_in(b"Basic " + encoded) == {place}
        for shown in (
            canary,
            json.dumps({"a": canary}),
            repr(canary),
            "".join(f"%{each:02x}" for each in canary.encode()),
        ):
            assert found_in(f"..{shown}..".encode()) == {place}
    assert found_in(b"canary- and nothing else") == set()


def test_the_rows_are_scanned(tmp_path: Path) -> None:
    tables = ("log", "run", "job", "message", "delivery", "attempt", "payload", "invocation")
    with closing(sqlite3.connect(tmp_path / "x.db")) as db, db:
        for table in tables:
            db.execute(f"CREATE TABLE {table} (number, content)")
            db.execute(f"INSERT INTO {table} VALUES (1, ?)", (CANARIES["ENV"].encode(),))
    assert {table for table, _ in rows_with_a_canary(tmp_path / "x.db")} == set(tables)

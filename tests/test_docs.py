"""The documentation: its commands run, its configurations are valid, its functions work, and what it names is there."""

import ast
import asyncio
import base64
import configparser
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from ruamel.yaml import YAML

from destinations.registry import builtin_kinds
from destinations.signing.keys import new_secret
from destinations.signing.signatures import sign
from pipeline import __version__
from pipeline.cli import main as command_line
from pipeline.config.settings import ServiceSettings
from pipeline.metrics.table import METRICS
from pipeline.model import DeliveryReason, DeliveryState, JobReason, JobState, RunState
from pipeline.service_log import Fields
from pipeline.telemetry import FACTS
from pipeline.web.routes import ROUTES
from tests.support.documents import Block, Document, document, documents, project_files
from tests.support.pools import call, lines, pool_of
from tests.support.walkthrough import ROOT, Walkthrough

DOCUMENTS = documents()
README = document("README.md")
WHSEC = "whsec_" + base64.b64encode(b"a secret of 24 bytes or so").decode()
NOT_RUN = {"make demo", "make test", "git clone"}
"""The only commands that need not be run: they run the tests, or are run by tests of their own."""

INNER = {("key", "new"), ("key", "link"), ("secret", "new"), ("webhook", "verify")}
INNER |= {("destinations", verb) for verb in ("test", "pause", "resume", "replay")}
"""Commands within commands, which have options of their own."""
OF_THE_USER = {"sendoff.yaml", "sendoff.db", "sendoff.db-wal", "sendoff.db-shm", "NAME.py", ".venv", "compare.py"}
"""What a user makes, or a machine has: named in the documentation, and rightly not in the project."""


def each_block(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{each.name}-{number}")
        for each in DOCUMENTS
        for number, block in enumerate(each.blocks(language), 1)
    ]


def names_of(kind: Document) -> str:
    return kind.name


# Commands


WITH_RECEIVER = ("README.md", "docs/quickstart.md")
ALONE = {
    "docs/how-to/submit-a-job.md": ('"state":"cancelled"', '"round":2', '{"greeting":"Hello, Ada!","attempt":1}'),
    "docs/how-to/run-a-batch.md": (
        '"rejected":[{"index":2,',
        '"key":"postcard.txt"',
        '"state":"completed_with_failures"',
    ),
    "docs/how-to/use-the-command-line.md": (
        "hello-background  succeeded after ",
        '{"greeting":"Hello, Ada!","attempt":1}',
        "hook  webhook  delivered  attempt 1 of 4",
        '"state": "delivered"',
        "hello-background  completed  3 jobs: 3 succeeded",
        '"result":{"greeting":"Hello, Grace!"',
    ),
    "docs/how-to/replay-a-destination.md": (
        "hook  1 delivery to send: 0 dead, 1 delivered",
        "hook  completed  1 of 1 opened",
        "came 2 times",
    ),
    "docs/how-to/rotate-a-secret.md": ("signature good", "1 webhook: 1 accepted, 0 refused"),
    "examples/folder-destination/README.md": (
        "plug-ins      folder (sendoff-folder 0.1.0)",
        "# November\n\nAll is well.\n",
    ),
    "docs/how-to/configure-a-callback.md": (
        "job.succeeded  /jobs?token=c4llers-own  attempt 1  answered 200",
        "127.0.0.1:22 is not among the hosts that callers may name here (allow_hosts)",
    ),
    "docs/how-to/configure-a-webhook.md": (
        "job.succeeded  /hook  attempt 1  answered 503",
        "job.succeeded  /hook  attempt 3  answered 200",
        "3 webhooks: 1 accepted, 2 refused",
    ),
}
"""What is to be seen in the output of those that need no receiver, or start it themselves."""


@pytest.mark.parametrize("name", ALONE)
def test_the_commands_that_need_no_receiver_run_as_they_stand(name: str, tmp_path: Path) -> None:
    script = "".join(block.text for block in document(name).blocks("sh") if block.reason is None)
    output = Walkthrough(tmp_path).run(script)
    for seen in ALONE[name]:
        assert seen in output, output


@pytest.mark.parametrize("name", WITH_RECEIVER)
def test_the_commands_run_as_they_stand(name: str, tmp_path: Path) -> None:
    script = "".join(block.text for block in document(name).blocks("sh") if block.reason is None)
    output = Walkthrough(tmp_path).run(script)
    if "hello-background" in script:
        assert '"state":"succeeded"' in output, output
        assert '{"greeting":"Hello, Ada!","attempt":1}' in output, output
        assert re.search(r'"destination":"hook".*"state":"(sending|delivered)"', output), output


@pytest.mark.parametrize("block", each_block("sh"))
def test_only_what_has_a_test_of_its_own_is_not_run(block: Block) -> None:
    assert block.reason is None or any(block.text.startswith(command) for command in NOT_RUN)


def test_every_document_with_commands_is_run() -> None:
    with_commands = {each.name for each in DOCUMENTS if any(block.reason is None for block in each.blocks("sh"))}
    assert with_commands == {*WITH_RECEIVER, *ALONE}


def test_every_option_of_the_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    for each in DOCUMENTS:
        for command, rest in re.findall(rf"sendoff ({'|'.join(command_line.COMMANDS)})\b([^`\n|]*)", each.text):
            inner = [word for word in rest.split()[:1] if (command, word) in INNER]
            with pytest.raises(SystemExit):
                command_line.main([command, *inner, "--help"])
            known = capsys.readouterr().out
            assert all(option in known for option in re.findall(r"--[a-z-]+", rest)), (each.name, command, rest)


def test_every_command_is_explained_and_announced() -> None:
    pages = "".join(each.text for each in DOCUMENTS if each.name.startswith("docs/how-to/"))
    for command in command_line.COMMANDS:
        assert re.search(rf"\bsendoff {command}\b", pages), command
        assert re.search(rf"`(sendoff )?{command}\b[^`]*`", document("CHANGELOG.md").text), command


# Configurations


@pytest.mark.parametrize("block", each_block("yaml"))
def test_every_configuration_passes_check(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in re.findall(r"\$\{(\w+)\}", block.text):
        monkeypatch.setenv(variable, new_secret())  # each its own: one that is listed twice is warned of
    authority = trustme.CA()
    client = authority.issue_cert("sendoff@example.com")
    pems = {"ca": authority.cert_pem, "certificate": client.cert_chain_pems[0], "key": client.private_key_pem}
    for kind, file in re.findall(r"\b(ca|certificate|key): ([\w./-]+)", block.text):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        pems[kind].write_to_path(str(tmp_path / file))
    config = tmp_path / "sendoff.yaml"
    config.write_text(block.text)
    code = command_line.main(["check", "--config", str(config)])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "warning" not in said.out


def test_the_quickstart_shows_the_example_s_own_configuration() -> None:
    (block,) = document("docs/quickstart.md").blocks("yaml")
    example = (ROOT / "examples/hello/sendoff.yaml").read_text()
    assert YAML(typ="safe").load(block.text) == YAML(typ="safe").load(example)


def test_the_unit_waits_longer_than_the_service_drains() -> None:
    (block,) = document("docs/how-to/run-in-production.md").blocks("ini")
    unit = configparser.ConfigParser(strict=False)  # ExecReload= stands there twice
    unit.read_string(block.text)
    assert unit["Service"]["KillMode"] == "mixed"
    assert float(unit["Service"]["TimeoutStopSec"]) >= ServiceSettings().drain_grace + 10


def test_every_setting_that_is_named_is_there() -> None:
    roots = "service|store|functions|destinations"
    schema = json.loads((ROOT / "schemas/config.schema.json").read_text())
    for each in DOCUMENTS:
        for span in each.spans():
            if re.fullmatch(rf"({roots})(\.[a-z_]+)+", span) and not span.endswith(".py"):
                part = schema
                for step in span.split("."):
                    assert step in part["properties"], (each.name, span)
                    part = part["properties"][step]


# Code


@pytest.mark.parametrize("block", each_block("python"))
def test_every_piece_of_python_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", each_block("json"))
def test_every_piece_of_json_is_json(block: Block) -> None:
    json.loads(block.text)


def test_the_bodies_that_are_shown_are_those_that_are_sent() -> None:
    shown = [json.loads(block.text) for block in document("docs/how-to/choose-a-body.md").blocks("json")]
    golden = ("thin-succeeded", "lambda-failed", "cloudevents-structured")
    assert shown == [json.loads((ROOT / f"tests/golden/{name}.json").read_bytes()) for name in golden]


def test_the_page_on_bodies_names_every_form_and_option() -> None:
    page = set(document("docs/how-to/choose-a-body.md").spans())
    named, options = builtin_kinds()["webhook"].schema["properties"]["body"]["anyOf"]
    assert page >= {*named["enum"], *(set(options["properties"]) - {"cloudevents"})}
    assert page >= set(options["properties"]["cloudevents"]["properties"])


async def test_the_functions_of_the_how_to_work(tmp_path: Path) -> None:
    blocks = document("docs/how-to/write-a-function.md").blocks("python")
    files = {re.match(r"# functions/(\S+)\n", block.text)[1]: block.text for block in blocks}  # type: ignore[index]
    assert files.keys() == {"greet.py", "count-background.py", "log-background.py", "wait-background.py"}
    event = {"queryStringParameters": {"name": "Ada"}, "body": json.dumps({"text": "two words"})}
    async with pool_of(tmp_path, files) as pool:
        greeted, counted, waited, refused, logged = await asyncio.gather(
            pool.run(call("greet", json.dumps(event).encode())),
            pool.run(call("count-background", json.dumps(event).encode())),
            pool.run(call("wait-background")),
            pool.run(call("count-background", json.dumps({"body": None}).encode())),
            pool.run(call("log-background", json.dumps({"body": None}).encode())),
        )
    assert greeted.result is not None
    assert greeted.result.body == b'{"greeting": "Hello, Ada!"}'
    assert counted.result is not None
    assert counted.result.body == b'{"words":2}'
    assert lines(counted)[0].endswith("attempt 1 of 3")
    assert waited.state is RunState.SUCCEEDED
    assert refused.reason is JobReason.REJECTED
    levels = [level for _, _, level, _ in logged.output.lines]
    assert levels[:2] == ["info", "error"]
    assert set(levels[1:]) == {"error"}


def test_the_lines_of_the_log_that_are_shown_are_those_of_facts() -> None:
    page = document("docs/how-to/run-in-production.md")
    (shown,) = [line for block in page.blocks("text") for line in block.text.splitlines() if "job_id=" in line]
    (as_json,) = [json.loads(block.text) for block in page.blocks("json") if "fact" in block.text]
    fields = {name: value for name, value in as_json.items() if name not in ("at", "level", "fact")}
    level, known = FACTS[as_json["fact"]]
    assert fields.keys() == known
    assert as_json["level"] == logging.getLevelName(level).lower()
    assert shown == f"{as_json['at']} {logging.getLevelName(level)} {as_json['fact']}{Fields(fields)}"


def test_the_verifiers_of_the_how_to_verify() -> None:
    shown: dict[str, Any] = {}
    for block in document("docs/how-to/verify-a-webhook.md").blocks("python"):
        exec(block.text, shown)
    body, now = b'{"type": "job.succeeded"}', int(time.time())

    def headers(at: int) -> dict[str, str]:
        signature = sign([WHSEC, "raw:another"], "msg_1", at, body)
        return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}

    assert shown["verified"](WHSEC, headers(now), body) == {"type": "job.succeeded"}
    assert shown["is_genuine"](WHSEC, headers(now), body)
    assert not shown["is_genuine"](WHSEC, headers(now), body + b" ")
    assert not shown["is_genuine"](WHSEC, headers(now - 400), body)


# Facts


def test_the_lifecycle_explains_every_state_and_reason() -> None:
    spans = set(document("docs/explanation/lifecycle.md").spans())
    for word in (*JobState, *DeliveryState, *JobReason, *DeliveryReason, *RunState):
        assert word.value in spans, word


def test_every_route_that_is_named_is_there() -> None:
    patterns = [re.sub(r"\{rest:\.\*\}", "{rest}", path) for _, path, *_ in ROUTES]
    known = {re.sub(r"\{\w+\}", "*", path) for path in patterns}
    for each in DOCUMENTS:
        for span in each.spans():
            if found := re.fullmatch(r"(?:GET |POST )?(/(?:v1|healthz|readyz)[^?\s]*)(\?\S*)?", span):
                assert re.sub(r"\{\w+\}", "*", found[1]) in known, (each.name, span)


def test_the_rules_and_queries_of_the_how_to_name_metrics_and_labels_that_are_there() -> None:
    page = document("docs/how-to/watch-it.md")
    scrape, rules = (YAML(typ="safe").load(block.text) for block in page.blocks("yml"))
    assert scrape["scrape_configs"][0]["job_name"] == "sendoff"
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    queries = [*alerts, *(span for span in page.spans() if "sendoff_" in span)]
    assert len(queries) > 20
    for query in queries:
        for name, selector in re.findall(r"\b(sendoff_\w+)(?:\{([^}]*)\})?", query):
            metric = METRICS[name if name in METRICS else re.sub(r"_(bucket|sum|count)$", "", name)]
            assert set(re.findall(r"(\w+)[=!]", selector)) <= set(metric.labels), query
            grouped = re.findall(r"by \(([\w, ]+)\)", query)
            assert {label for labels in grouped for label in labels.split(", ")} <= {*metric.labels, "le"}, query


def test_the_changelog_tells_of_this_version() -> None:
    assert __version__ in document("CHANGELOG.md").text


# Files


@pytest.mark.parametrize("each", DOCUMENTS, ids=names_of)
def test_every_link_leads_somewhere(each: Document) -> None:
    for target in each.links():
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (each.path.parent / path).resolve() if path else each.path
        assert file.exists(), target
        if anchor:
            assert anchor in document(file.relative_to(ROOT).as_posix()).anchors(), target


@pytest.mark.parametrize("each", DOCUMENTS, ids=names_of)
def test_every_file_that_is_named_is_there(each: Document) -> None:
    for span in each.spans():
        if _is_path(span) and not _is_of_the_user(span):
            assert _is_there(span.rstrip("/")), span


def _is_path(span: str) -> bool:
    if not re.fullmatch(r"\.?[\w-]+(\.\w+)*(/[\w.*-]+)*/?", span):
        return False
    tops = {name.partition("/")[0] for name in project_files()}
    is_in_project = "/" in span and span.partition("/")[0] in tops
    return is_in_project or re.search(r"\.(py|md|yaml|toml|json|db|lock)$", span) is not None


def _is_of_the_user(span: str) -> bool:
    return span.startswith("functions/") or span in OF_THE_USER or "NAME" in span or "/data/" in span


def _is_there(path: str) -> bool:
    return any(name == path or name.endswith(f"/{path}") for name in project_files())


def test_every_document_can_be_found() -> None:
    linked = {(each.path.parent / target.partition("#")[0]).resolve() for each in DOCUMENTS for target in each.links()}
    assert {each.name for each in DOCUMENTS if each.path not in linked} <= {"README.md"}


def test_the_readme_stays_short() -> None:
    assert len(README.text.splitlines()) < 150

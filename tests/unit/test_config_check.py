"""`sendoff check` and the command line around it, from outside."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from pipeline import __version__
from tests.support.command import SENDOFF, sendoff

SENT = "raw:any text that is long enough"
HOOK = "destinations: {hook: {type: webhook, url: 'https://example.com/hook', secrets: ['${SECRET}']}}\n"


def test_a_good_file_is_ok_and_summed_up(tmp_path: Path) -> None:
    settings = "functions: {settings: {a-background: {on_success: [hook]}}}\n"
    (tmp_path / "sendoff.yaml").write_text(HOOK + settings)
    done = sendoff(tmp_path, "check", SECRET=SENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "sendoff.yaml: ok",
        "  service       http://127.0.0.1:8888",
        f"  store         {tmp_path}/data/sendoff.db",
        f"  functions     {tmp_path}/functions, which is not there (settings: a-background)",
        "  destinations  hook (webhook)",
    ]


def test_every_fault_is_a_line_and_the_exit_code_is_78(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(HOOK + "service: {prot: 1}\n")
    done = sendoff(tmp_path, "check", "--config", "my.yaml")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        "my.yaml:1:81: destinations.hook.secrets[0]: expected the environment variable SECRET to be set, got nothing",
        'my.yaml:2:11: service.prot: expected a known key (nearest: port), got "prot"',
    ]


def test_a_named_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    done = sendoff(tmp_path, "check", "--config", "no.yaml")
    assert done.returncode == 78
    assert done.stderr == "no.yaml:1:1: expected a readable file, got: No such file or directory\n"


def test_without_a_file_the_defaults_are_ok(tmp_path: Path) -> None:
    done = sendoff(tmp_path, "check")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "no sendoff.yaml, the defaults: ok"


def test_a_webhook_whose_secrets_are_all_over_is_a_warning(tmp_path: Path) -> None:
    over = f"{{secret: '{SENT}', until: 2020-01-01T00:00:00Z}}"
    later, coming = (f"{{secret: '{SENT}, too', until: {each}-01T00:00:00Z}}" for each in ("2020-06", "2999-01"))
    one = f"'{SENT}, too'"
    for secrets, expected in ((f"{over}, {later}", 1), (f"{coming}, {over}", 0), (f"{one}, {over}", 0), ("", 0)):
        text = f"destinations: {{hook: {{type: webhook, url: 'https://example.com/', secrets: [{secrets}]}}}}\n"
        (tmp_path / "sendoff.yaml").write_text(text)
        warned = warnings_of(sendoff(tmp_path, "check"))
        sentence = (
            "sendoff.yaml:1:76: destinations.hook.secrets: all are over, the last since "
            "2020-06-01T00:00:00.000Z: every attempt will fail, as nothing is sent unsigned"
        )
        assert warned == [sentence] * expected, secrets


def test_a_raw_secret_that_can_be_guessed_is_a_warning_and_is_not_shown(tmp_path: Path) -> None:
    secrets = f"'raw:hunter2', {{secret: 'raw:h', until: 2999-01-01T00:00:00Z}}, '{SENT}', 'raw:{'x' * 16}'"
    text = f"destinations: {{hook: {{type: webhook, url: 'https://example.com/', secrets: [{secrets}]}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(text)
    said = "can be found by trying; `sendoff secret new` prints one of 32 random bytes"
    done = sendoff(tmp_path, "check")
    assert [line.split(": ", 1)[1] for line in warnings_of(done)] == [
        f"destinations.hook.secrets[0]: of 7 bytes {said}",
        f"destinations.hook.secrets[1].secret: of 1 byte {said}",
    ]
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(("layout", "is_warned"), [("standard", True), ("stripe", False), ("github", False)])
def test_a_secret_that_may_be_base64_by_chance_is_a_warning_where_it_is_decoded(
    tmp_path: Path, layout: str, is_warned: bool
) -> None:
    bare, other = "5f" * 32, "6e" * 32  # as `openssl rand -hex 32` prints it
    ending = ", ".join(
        f"{{secret: '{each}', until: {year}-01-01T00:00:00Z}}"
        for year, each in ((2997, SENT), (2998, bare), (2999, "raw:" + "7d" * 32))
    )
    text = f"type: webhook, url: 'https://example.com/', signature: {layout}, secrets: [{ending}, {other}]"
    (tmp_path / "sendoff.yaml").write_text(f"destinations: {{hook: {{{text}}}}}\n")
    done = sendoff(tmp_path, "check")
    said = (
        "has no prefix and is taken as base64; write whsec_ before it if that is right, raw: if receivers use the text "
        "as it is"
    )
    expected = [f"destinations.hook.secrets[1].secret: {said}", f"destinations.hook.secrets[3]: {said}"]
    assert [line.split(": ", 1)[1] for line in warnings_of(done)] == (expected if is_warned else [])
    assert bare not in done.stdout + done.stderr


def test_a_layout_without_secrets_is_a_warning(tmp_path: Path) -> None:
    text = "destinations: {hook: {type: webhook, url: 'https://example.com/', signature: github}}\n"
    (tmp_path / "sendoff.yaml").write_text(text)
    assert warnings_of(sendoff(tmp_path, "check")) == [
        (
            "sendoff.yaml:1:78: destinations.hook.signature: "
            "serves only with secrets: without any, requests are not signed"
        )
    ]


def test_what_is_allowed_but_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    settings = "functions: {settings: {a: {on_success: [{to: hook, when: {properties: {x: {minimum: 1}}}}]}}}\n"
    (tmp_path / "sendoff.yaml").write_text(HOOK + settings)
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "a.py").touch()
    done = sendoff(tmp_path, "check", SECRET=SENT)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        (
            "warning: sendoff.yaml:2:40: functions.settings.a.on_success: "
            "serves only calls made jobs by Prefer, as a is synchronous"
        ),
        (
            "warning: sendoff.yaml:2:58: functions.settings.a.on_success[0].when: "
            "the filter for hook has neither type nor required, so that it may match everything"
        ),
    ]


def test_a_destination_whose_function_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "index-background.py").touch()
    (tmp_path / "sendoff.yaml").write_text(
        "functions: {settings: {indx-background: {timeout: 1m}}}\n"
        "destinations: {next: {type: function, function: index-background}}\n"
    )
    done = sendoff(tmp_path, "check")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        (
            "warning: sendoff.yaml:1:41: functions.settings.indx-background: "
            "there is no such function in the folder (nearest: index-background)"
        ),
    )
    (tmp_path / "functions" / "index-background.py").rename(tmp_path / "functions" / "other.py")
    for command in ("check", "serve"):
        done = sendoff(tmp_path, command)
        assert done.returncode == 78
        assert done.stderr == (
            "sendoff.yaml:2:49: destinations.next.function: "
            f"expected a function in {tmp_path}/functions, got 'index-background', which is not there\n"
        )


def warnings_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the warnings that `check` shows or `serve` logs."""
    lines = (done.stdout + done.stderr).splitlines()
    said = (re.fullmatch(r'warning: (.*)|.* WARNING service.warning detail=(".*")', line) for line in lines)
    return [found[1] or json.loads(found[2]) for found in said if found]


def served(folder: Path) -> subprocess.CompletedProcess[str]:
    """Serve until all is started, and not longer."""
    with subprocess.Popen(
        [SENDOFF, "serve", "--port", "0"], cwd=folder, env={}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "service.started" not in said and (line := process.stderr.readline()):
            said += line
        process.terminate()
        said += process.communicate(timeout=30)[1]
    return subprocess.CompletedProcess(process.args, process.returncode, "", said)


MAILS = """\
functions:
  settings:
    a-background: {on_success: [good, bad, late], on_failure: [good, late], max_age: 1m}
    b-background: {on_failure: [alarm]}
    c: {on_failure: [alarm]}
destinations:
  good: {type: email, smtp: smtp://h, from: &a a@b.c, to: [*a], text: "{% if error %}{{ error.errorType }}{% endif %}"}
  bad: {type: email, smtp: smtp://h, from: *a, to: [*a], subject: "{{ result.title }}: {{ error.errorMessage }}"}
  late: {type: email, smtp: smtp://h, from: *a, to: [*a], html: "{{ error.errorType if type == 'job.failed' else 1 }}"}
  alarm: {type: email, smtp: "smtp://169.254.1.1:25", from: *a, to: [*a], text: "{{ error.errorMessage }}"}
  cloud: {type: webhook, url: "http://[fd00:ec2::254]/latest"}
"""
FOUND = [
    ("sendoff.yaml:5:21: functions.settings.c.on_failure: serves only calls made jobs by Prefer, as c is synchronous"),
    (
        "sendoff.yaml:8:67: destinations.bad.subject: cannot be filled in for a job that succeeded: "
        "UndefinedError: 'None' has no attribute 'errorMessage'"
    ),
    (
        "sendoff.yaml:9:65: destinations.late.html: cannot be filled in for a job that expired, which has no error: "
        "UndefinedError: 'None' has no attribute 'errorType'"
    ),
    (
        "sendoff.yaml:10:30: destinations.alarm.smtp: every attempt will be refused, "
        "as 169.254.1.1 is a link-local or metadata address, where no destination may lead"
    ),
    (
        "sendoff.yaml:11:31: destinations.cloud.url: every attempt will be refused, "
        "as fd00:ec2::254 is a link-local or metadata address, where no destination may lead"
    ),
]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_what_cannot_work_is_told_by_check_and_serve_alike(tmp_path: Path, command: str) -> None:
    (tmp_path / "sendoff.yaml").write_text(MAILS)
    (tmp_path / "functions").mkdir()
    for name in ("a-background", "b-background", "c"):
        (tmp_path / "functions" / f"{name}.py").touch()
    (tmp_path / "functions" / "broken.py").write_text("def handler(:")
    done = served(tmp_path) if command == "serve" else sendoff(tmp_path, "check")
    assert done.returncode == 0
    assert warnings_of(done) == [f"{tmp_path}/functions/broken.py:1:13: invalid syntax", *FOUND]


@pytest.mark.parametrize(
    ("when", "references"),
    [
        ("{$ref: 'https://example.com/s.json'}", ["https://example.com/s.json"]),
        ("{type: object, properties: {a: {$ref: '#/$defs/x'}, b: {anyOf: [{$ref: '#/no'}]}}}", ["#/$defs/x", "#/no"]),
        ("{type: object, properties: {a: {$ref: '#/$defs/x'}, b: {$ref: '#'}}, $defs: {x: {type: string}}}", []),
        ("{type: object, properties: {a: {$ref: '#here'}}, $defs: {x: {$anchor: here}}}", []),
        ("{$id: 'https://example.com/s.json', type: object, properties: {a: {$ref: 't.json'}}}", []),
    ],
)
def test_a_reference_that_leads_nowhere_is_warned_of(tmp_path: Path, when: str, references: list[str]) -> None:
    settings = f"functions: {{settings: {{a-background: {{on_success: [{{to: hook, when: {when}}}]}}}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(HOOK + settings)
    said = [line for line in warnings_of(sendoff(tmp_path, "check", SECRET=SENT)) if "leads nowhere" in line]
    assert said == [
        "sendoff.yaml:2:69: functions.settings.a-background.on_success[0].when: "
        f"leads nowhere, and nothing is fetched, so that everything is sent: {reference}"
        for reference in references
    ]


def test_a_function_is_synchronous_as_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text(HOOK + "functions: {settings: {a: {on_success: [hook]}}}")
    assert "is synchronous" in sendoff(tmp_path, "check", SECRET=SENT).stdout
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "a.py").write_text('CONFIG = {"background": True}\n')
    assert "is synchronous" not in sendoff(tmp_path, "check", SECRET=SENT).stdout


BODIES = """\
functions:
  settings:
    a-background: {on_success: [text, file, fits], on_failure: [fits], on_batch: [fits]}
destinations:
  text: {type: webhook, url: "https://h", body: {template: '{"text": "{{ error.errorMessage }}"}'}}
  file: {type: webhook, url: "https://h", body: {template_file: body.j2}}
  fits: {type: webhook, url: "https://h", body: {template: '{"of": "{{ (job or batch).id }}"}'}}
"""


def test_a_template_of_a_body_that_cannot_serve_an_end_that_it_tells_of_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text(BODIES)
    (tmp_path / "body.j2").write_text("{{ 1 if result else error.errorType }}{{ job.reason.upper() }}")
    said = "cannot be filled in for a job that succeeded: UndefinedError: 'None' has no attribute"
    assert warnings_of(sendoff(tmp_path, "check")) == [
        f"sendoff.yaml:5:60: destinations.text.body.template: {said} 'errorMessage'",
        f"sendoff.yaml:6:65: destinations.file.body.template_file: {said} 'upper'",
    ]


KEYS = f"keys: [{{name: ci, sha256: {'a' * 64}, scopes: [read]}}]\n"


@pytest.mark.parametrize("body", ["message", "thin", "lambda", "cloudevents"])
def test_a_form_that_links_results_is_warned_of_where_links_cannot_be_signed(tmp_path: Path, body: str) -> None:
    hook = f"destinations: {{hook: {{type: webhook, url: 'https://h', body: {body}}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(KEYS + hook)
    (warned,) = warnings_of(sendoff(tmp_path, "check"))
    assert "which hook cannot follow without service.link_keys" in warned


@pytest.mark.parametrize("body", ["raw", "{cloudevents: {mode: binary}}", "{template: '[1]'}"])
def test_a_form_that_links_nothing_is_not(tmp_path: Path, body: str) -> None:
    hook = f"destinations: {{hook: {{type: webhook, url: 'https://h', body: {body}}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(KEYS + hook)
    done = sendoff(tmp_path, "check")
    assert (done.returncode, warnings_of(done)) == (0, [])


ADDRESS = (
    "expected a loopback address such as 127.0.0.1, as there are no keys, got 0.0.0.0; sendoff key new makes one, "
    "serve --insecure lets anyone in"
)


def test_an_address_that_may_not_be_bound_is_told_by_check_and_serve_alike(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "sendoff.yaml").write_text("service:\n  host: 0.0.0.0\n")
    for command in ("check", "serve"):
        done = sendoff(tmp_path, command)
        assert (done.returncode, done.stderr) == (78, f"sendoff.yaml:2:9: service.host: {ADDRESS}\n")
    assert sendoff(tmp_path, "check", "--insecure").returncode == 0


def test_a_fault_of_the_command_line_is_not_the_file_s(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "sendoff.yaml").write_text("service: {host: 127.0.0.1}\n")
    done = sendoff(tmp_path, "serve", "--host", "0.0.0.0")
    assert done.stderr == f"command line:1:1: service.host: {ADDRESS}\n"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("nothing", "expected a Python interpreter, got {there}: No such file or directory"),
        ("text", "expected a Python interpreter, got {there}: Permission denied"),
        ("echo", "expected a Python interpreter, got {there}, which does not say its version"),
        ("old", "expected Python 3.9 or newer, got {there}, which is 2.7"),
    ],
)
def test_an_interpreter_that_cannot_run_functions_is_a_fault(tmp_path: Path, python: str, message: str) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "text").write_text("no program")
    for name, script in (("echo", "#!/bin/sh\necho $0\n"), ("old", "#!/bin/sh\necho 2 7\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sendoff.yaml").write_text(f"functions: {{python: {python}}}\n")
    for command in ("check", "serve"):
        done = sendoff(tmp_path, command)
        assert done.returncode == 78
        expected = message.format(there=tmp_path / python)
        assert done.stderr == f"sendoff.yaml:1:21: functions.python: {expected}\n"


def test_async_concurrency_of_what_is_not_async_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "a.py").write_text("def handler(event, context): ...\n")
    (tmp_path / "functions" / "b.py").write_text("async def handler(event, context): ...\n")
    several = "{async_concurrency: 5}"
    (tmp_path / "sendoff.yaml").write_text(f"functions: {{settings: {{a: {several}, b: {several}}}}}\n")
    assert [line for line in sendoff(tmp_path, "check").stdout.splitlines() if "warning" in line] == [
        (
            "warning: sendoff.yaml:1:47: functions.settings.a.async_concurrency: "
            "serves only an async def handler, which a.py does not define"
        )
    ]


def test_wrong_usage_exits_2(tmp_path: Path) -> None:
    assert sendoff(tmp_path).returncode == 2
    assert sendoff(tmp_path, "chekc").returncode == 2
    assert sendoff(tmp_path, "check", "--nope").returncode == 2


def test_version_is_the_package_s(tmp_path: Path) -> None:
    assert sendoff(tmp_path, "--version").stdout == f"sendoff {__version__}\n"

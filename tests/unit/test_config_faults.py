"""Bad documents, and every fault of each, word for word."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config import load_config
from pipeline.config.load import Overrides
from pipeline.errors import ConfigurationError

HOOK_SCHEMA = {
    "$id": "https://sendoff.dev/schemas/hook.schema.json",
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "pattern": "^https://[^@]+$", "x-expected": "an https URL"},
        "method": {"enum": ["POST", "PUT"]},
        "secrets": {"type": "array", "items": {"$ref": "#/$defs/hookSecret"}},
        "headers": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 8, "x-secret": True}},
        "rate": {"$ref": "#/$defs/rate"},
        "retry": {"$ref": "https://sendoff.dev/schemas/config.schema.json#/$defs/retry"},
    },
    "$defs": {"hookSecret": {"type": "string", "pattern": "^whsec_", "x-expected": "a secret", "x-secret": True}},
}

DURATION = "a duration such as 500ms, 30s, 2m, 1h or 30d"
RETRY = "a policy name, a list of waits or {exponential: ...}"
ONE_OF = "a mapping with exactly one of name, waits and exponential"
STORE = "a URL such as sqlite:///data/sendoff.db or sqlite:////var/sendoff.db (SQLite files are the only store)"


def refuse(options: object) -> None:
    raise ValueError("secrets[1]: too short")


def faults_of(folder: Path, text: str, *, refusing: bool = False, overrides: Overrides | None = None) -> list[str]:
    (folder / "sendoff.yaml").write_text(text)
    kinds = {"hook": SimpleNamespace(schema=HOOK_SCHEMA, settings=refuse if refusing else dict)}
    with pytest.raises(ConfigurationError) as caught:
        load_config(None, environ={"PORT": "eighty", "KEY": "hunter2"}, kinds=kinds, cwd=folder, overrides=overrides)
    return [str(fault).removeprefix("sendoff.yaml:") for fault in caught.value.faults]


def function(settings: str) -> str:
    return f"functions: {{settings: {{f: {settings}}}}}\ndestinations: {{hook: {{type: hook, url: 'https://h'}}}}"


def hook(options: str) -> str:
    return f"destinations:\n  hook: {{type: hook, url: 'https://h', {options}}}"


SERVICE = [
    ("service: {prot: 1}", ['1:11: service.prot: expected a known key (nearest: port), got "prot"']),
    ("servise: {}", ['1:1: servise: expected a known key (nearest: service), got "servise"']),
    (
        "q: 1",
        ['1:1: q: expected a known key (service, keys, store, functions, destinations, alerts), got "q"'],
    ),
    ("service: {port: 70000}", ["1:17: service.port: expected an integer from 0 to 65535, got 70000"]),
    ("service: {port: true}", ["1:17: service.port: expected an integer from 0 to 65535, got true"]),
    (
        "service: {port: '${PORT}'}",
        ['1:17: service.port: expected an integer from 0 to 65535, got the value of "${PORT}"'],
    ),
    ("service: {host: ''}", ['1:17: service.host: expected text that is not empty, got ""']),
    ("service: {keepalive: 15}", [f"1:22: service.keepalive: expected {DURATION}, got 15"]),
    ('service: {keepalive: "15s\\n"}', [f'1:22: service.keepalive: expected {DURATION}, got "15s\\n"']),
    ("service: {keepalive: 0s}", ['1:22: service.keepalive: expected a duration of more than 0s, got "0s"']),
    (
        "service: {body_limit: 6mb}",
        ['1:23: service.body_limit: expected a size such as 128KiB, 6MiB or 1024MB, got "6mb"'],
    ),
    ("service:", ["1:9: service: expected a mapping, got nothing"]),
    (
        "service: {public_url: 'https://u:pw@h'}",
        [
            (
                "1:23: service.public_url: expected an http or https URL without credentials, query and fragment, "
                'got "https://***@h"'
            )
        ],
    ),
    ("store: 'sqlite:///:memory:'", [f'1:8: store: expected {STORE}, got "sqlite:///:memory:"']),
    (
        "store: postgresql://u:pw@h/db",
        [f'1:8: store: expected {STORE}, got "postgresql://***@h/db"'],
    ),
]

FUNCTIONS = [
    (
        "functions: {settings: {a b: {}}}",
        ["1:24: functions.settings['a b']: expected a name of 1 to 64 letters, digits, _ and -, got \"a b\""],
    ),
    (function("{background: 1}"), ["1:40: functions.settings.f.background: expected true or false, got 1"]),
    (function("{timeout: 5}"), [f"1:37: functions.settings.f.timeout: expected {DURATION}, got 5"]),
    (function("{concurrency: 0}"), ["1:41: functions.settings.f.concurrency: expected an integer, 1 or more, got 0"]),
    (function("{retry: 7}"), [f"1:35: functions.settings.f.retry: expected {RETRY}, got 7"]),
    (
        function("{retry: fats}"),
        ['1:35: functions.settings.f.retry: expected a policy name (nearest: fast), got "fats"'],
    ),
    (
        function("{retry: never}"),
        ['1:35: functions.settings.f.retry: expected a policy name (default, standard, svix, fast), got "never"'],
    ),
    (
        function("{retry: [5s, 7]}"),
        ["1:40: functions.settings.f.retry[1]: expected a duration such as 0s, 30s or 2m, got 7"],
    ),
    (
        function("{retry: {name: fast, waits: []}}"),
        [f"1:35: functions.settings.f.retry: expected {ONE_OF}, got a mapping"],
    ),
    (
        function("{retry: {exponential: {base: 1, factr: 2}}}"),
        [
            f"1:56: functions.settings.f.retry.exponential.base: expected {DURATION}, got 1",
            '1:59: functions.settings.f.retry.exponential.factr: expected a known key (nearest: factor), got "factr"',
        ],
    ),
    (
        function("{on_success: [hok]}"),
        ['1:41: functions.settings.f.on_success[0]: expected a destination (nearest: hook), got "hok"'],
    ),
    (
        function("{on_success: hook}"),
        ['1:40: functions.settings.f.on_success: expected a list of destinations, got "hook"'],
    ),
    (
        function("{on_failure: [hook, hook]}"),
        ['1:47: functions.settings.f.on_failure[1]: expected each item once, got "hook" again'],
    ),
    (
        function("{on_failure: [{to: nobody}, 5]}"),
        [
            '1:46: functions.settings.f.on_failure[0].to: expected a destination (hook), got "nobody"',
            (
                "1:55: functions.settings.f.on_failure[1]: "
                "expected the name of a destination or {to: ..., when: ...}, got 5"
            ),
        ],
    ),
    (
        "functions: {settings: {f: {on_success: [hook]}}}",
        ['1:41: functions.settings.f.on_success[0]: expected a destination (there is none), got "hook"'],
    ),
    (
        function("{on_success: [{to: hook, when: {type: objekt}}]}"),
        ['1:65: functions.settings.f.on_success[0].when.type: expected a known value (nearest: object), got "objekt"'],
    ),
    (
        function("{on_success: [{to: hook, when: {pattern: '('}}]}"),
        ['1:68: functions.settings.f.on_success[0].when.pattern: expected a regular expression, got "("'],
    ),
    (
        function("{on_success: [{to: hook, when: 5}]}"),
        ["1:58: functions.settings.f.on_success[0].when: expected a JSON Schema, got 5"],
    ),
]

DESTINATIONS = [
    ("destinations: {h: {}}", ["1:19: destinations.h: expected the key type, got none"]),
    ("destinations: {h: {type: hook}}", ["1:19: destinations.h: expected the key url, got none"]),
    (
        "destinations: {h: {type: hok}}",
        [
            (
                "1:26: destinations.h.type: expected a kind of destination, built in or of an installed plug-in "
                '(nearest: hook), got "hok"'
            )
        ],
    ),
    (hook("methd: PUT"), ['2:40: destinations.hook.methd: expected a known key (nearest: method), got "methd"']),
    (hook("method: GET"), ['2:48: destinations.hook.method: expected a known value (POST, PUT), got "GET"']),
    (hook("rate: 50"), ["2:46: destinations.hook.rate: expected a rate such as 50/s, got 50"]),
    (hook("retry: {max_age: 1d}"), [f"2:47: destinations.hook.retry: expected {ONE_OF}, got a mapping"]),
    (hook("secrets: [hunter1]"), ["2:50: destinations.hook.secrets[0]: expected a secret, got ***"]),
    (hook("secrets: hunter1"), ["2:49: destinations.hook.secrets: expected a list, got ***"]),
    (hook("secrets: ['${KEY}']"), ["2:50: destinations.hook.secrets[0]: expected a secret, got ***"]),
    (
        hook("headers: {X: longer than 8}"),
        ["2:53: destinations.hook.headers.X: expected text of at most 8 characters, got ***"],
    ),
    (
        hook("secrets: ['${GONE}', whsec_]"),
        ["2:50: destinations.hook.secrets[0]: expected the environment variable GONE to be set, got nothing"],
    ),
    (
        "destinations: {h: {type: hook, url: 'http://${KEY}'}}",
        ['1:37: destinations.h.url: expected an https URL, got the value of "http://${KEY}"'],
    ),
]


@pytest.mark.parametrize(("text", "expected"), [*SERVICE, *FUNCTIONS, *DESTINATIONS])
def test_every_fault_word_for_word(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults_of(tmp_path, text) == expected


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "service: {port: x, port: 1}\nstore: 5\nfunctions: {directory: !x y}\nmore: '${GONE}'"
    assert faults_of(tmp_path, text) == [
        '1:17: service.port: expected an integer from 0 to 65535, got "x"',
        "1:20: service.port: expected each key once, got port again (first in line 1)",
        f"2:8: store: expected {STORE}, got 5",
        "3:24: functions.directory: expected no tag, got !x",
        '4:1: more: expected a known key (nearest: store), got "more"',
        "4:7: more: expected the environment variable GONE to be set, got nothing",
    ]


def test_what_a_kind_refuses_has_its_place_in_the_file(tmp_path: Path) -> None:
    text = hook("secrets: [whsec_a, whsec_b]")
    assert faults_of(tmp_path, text, refusing=True) == ["2:59: destinations.hook.secrets[1]: too short"]
    assert faults_of(tmp_path, text + "\nq: 1", refusing=True)[0] == "2:59: destinations.hook.secrets[1]: too short"
    assert faults_of(tmp_path, hook(""), refusing=True) == ["2:9: destinations.hook: secrets[1]: too short"]


def test_faults_of_the_command_line_say_so(tmp_path: Path) -> None:
    overrides = Overrides(port=-1, store="mysql://h")
    assert faults_of(tmp_path, "", overrides=overrides) == [
        "command line:1:1: service.port: expected an integer from 0 to 65535, got -1",
        f'command line:1:1: store: expected {STORE}, got "mysql://h"',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "a readable file, got: No such file or directory"), (b"\xff", "a file in UTF-8, got other bytes")],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "my.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_config(Path("my.yaml"), environ={}, kinds={}, cwd=tmp_path)
    assert str(caught.value) == f"my.yaml:1:1: expected {message}"

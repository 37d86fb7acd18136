"""Good documents: what the frozen configuration holds."""

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from destinations.registry import builtin_kinds
from pipeline.config import Overrides, Secret, load_config, parse_retry
from pipeline.config.settings import (
    Config,
    Exponential,
    FunctionSettings,
    FunctionsSettings,
    RetentionSettings,
    RetrySpec,
    ServiceSettings,
    Target,
)
from pipeline.config.shape import join
from pipeline.errors import ConfigurationError
from schemas import load_schema

BENCH = """service: {host: 127.0.0.1, port: 8899}
store: sqlite:///data/sendoff.db
functions:
  directory: functions
  settings:
    wc-background: {on_success: [hook]}
destinations:
  hook: {type: webhook, url: "http://127.0.0.1:9/hook", secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
         concurrency: 64}
"""

SCHEMA: dict[str, Any] = {
    "properties": {
        "token": {"anyOf": [{"type": "string", "x-secret": True}, {"type": "object"}]},
        "tokens": {"type": "array", "items": {"type": "string", "x-secret": True}},
        "rate": {"$ref": "#/$defs/rate"},
        "retry": {"$ref": "#/$defs/retry"},
        "limits": {"type": "array", "items": {"$ref": "#/$defs/size"}},
        "level": {"type": "integer"},
        "factor": {"type": "number"},
        "quiet": {"type": "boolean"},
        "text": {"type": "string"},
        "ca": {"type": "string", "x-path": "file"},
    },
}


def load(folder: Path, text: str | None = None, **kwargs: Any) -> Config:
    if text is not None:
        (folder / "sendoff.yaml").write_text(text)
    kinds = {"box": SimpleNamespace(schema=SCHEMA, settings=lambda options: options)}
    return load_config(kwargs.pop("path", None), **{"environ": {}, "kinds": kinds, "cwd": folder, **kwargs})


def test_no_configuration_at_all_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Config(
        path=None,
        service=ServiceSettings(),
        store=tmp_path / "data/sendoff.db",
        functions=FunctionsSettings(directory=tmp_path / "functions"),
    )


def test_an_empty_file_is_the_defaults_beside_it(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert config.path == tmp_path / "sendoff.yaml"
    assert config.service == ServiceSettings()
    assert config.store == tmp_path / "data/sendoff.db"


def test_the_benchmark_s_configuration_loads_with_the_real_webhook(tmp_path: Path) -> None:
    config = load(tmp_path, BENCH, kinds=builtin_kinds())
    assert config.service.port == 8899
    assert config.functions.of("wc-background").on_success == (Target(to="hook"),)
    hook = config.destinations["hook"]
    assert (hook.name, hook.kind, hook.options.concurrency) == ("hook", "webhook", 64)
    assert config.secrets == {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    assert "whsec_" not in repr(hook)


def test_every_setting_of_the_service(tmp_path: Path) -> None:
    text = """
service:
  host: 10.0.0.1
  port: 0
  public_url: https://jobs.example.com/sendoff/
  body_limit: 1MB
  result_limit: 2GiB
  queue_limit: 5
  keepalive: 1m
  body_timeout: 500ms
  drain_grace: 0s
  retention: {succeeded: 1h, failed: 2d}
"""
    assert load(tmp_path, text).service == ServiceSettings(
        host="10.0.0.1",
        port=0,
        public_url="https://jobs.example.com/sendoff",
        body_limit=1_000_000,
        result_limit=2**31,
        queue_limit=5,
        keepalive=60.0,
        body_timeout=0.5,
        drain_grace=0.0,
        retention=RetentionSettings(succeeded=3_600.0, failed=172_800.0),
    )


def test_every_setting_of_a_function(tmp_path: Path) -> None:
    text = """
functions:
  settings:
    f:
      background: true
      timeout: 15m
      concurrency: 4.0
      retry: {exponential: {base: 1s, max: 1m}, max_age: 6h}
      retry_on_5xx: false
      on_success: [a, {to: b, when: {type: object, required: [words]}}]
      on_failure: [a]
    g: {timeout: null, retry: []}
destinations: {a: {type: box}, b: {type: box}}
"""
    settings = load(tmp_path, text).functions.settings
    assert settings["f"] == FunctionSettings(
        background=True,
        timeout=900.0,
        concurrency=4,
        retry=RetrySpec(exponential=Exponential(base=1.0, max=60.0), max_age=21_600.0),
        retry_on_5xx=False,
        on_success=(Target(to="a"), Target(to="b", when={"type": "object", "required": ["words"]})),
        on_failure=(Target(to="a"),),
    )
    assert isinstance(settings["f"].concurrency, int)
    assert settings["g"] == FunctionSettings(retry=RetrySpec(waits=()))


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("fast", RetrySpec(name="fast")),
        ("[500ms, 1m]", RetrySpec(waits=(0.5, 60.0))),
        ("[]", RetrySpec(waits=())),
        ("{name: svix, max_age: 1d}", RetrySpec(name="svix", max_age=86_400.0)),
        ("{waits: [5s], max_age: null}", RetrySpec(waits=(5.0,))),
        (
            "{exponential: {base: 2s, factor: 3, attempts: 4}}",
            RetrySpec(exponential=Exponential(base=2.0, factor=3.0, attempts=4)),
        ),
    ],
)
def test_retry_policies_are_written_one_way_everywhere(tmp_path: Path, written: str, policy: RetrySpec) -> None:
    text = f"functions: {{settings: {{f: {{retry: {written}}}}}}}\ndestinations: {{d: {{type: box, retry: {written}}}}}"
    config = load(tmp_path, text)
    assert config.functions.of("f").retry == policy
    assert config.destinations["d"].options == {"retry": policy}
    assert parse_retry(policy) == policy


def test_a_kind_gets_its_options_without_units_and_type(tmp_path: Path) -> None:
    text = "destinations: {d: {type: box, rate: 30/m, limits: [1KiB], ca: certs/ca.pem, text: 5s}}"
    options = load(tmp_path, text).destinations["d"].options
    assert options == {"rate": 0.5, "limits": [1024], "ca": tmp_path / "certs/ca.pem", "text": "5s"}


def test_secrets_are_wrapped_and_collected(tmp_path: Path) -> None:
    text = "destinations: {d: {type: box, token: 'Bearer ${T}', tokens: [literal, ''], text: '${U}'}}"
    config = load(tmp_path, text, environ={"T": "hunter2", "U": "open"})
    assert config.destinations["d"].options["token"] == Secret("Bearer hunter2")
    assert config.secrets == {"Bearer hunter2", "hunter2", "literal"}
    assert "hunter2" not in repr(config.destinations)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://example.com/hooks/plain", set()),
        ("https://${HOST}:${PORT}/hooks", {"https://example.com:8443/hooks"}),
        ("https://${HOST}/h/${TOKEN}?k=${TOKEN}", {"https://example.com/h/t0ken%20?k=t0ken%20", "t0ken%20"}),
        ("${WHOLE}", {"https://hooks.example.com/services/T0/s3cret", "/services/T0/s3cret"}),
        ("${WHOLE}/more", {"https://hooks.example.com/services/T0/s3cret/more", "/services/T0/s3cret"}),
        ("https://${PLACE}", {"https://example.com/s3cret", "/s3cret"}),
    ],
)
def test_what_the_environment_puts_into_a_url_is_secret_but_for_its_host(
    tmp_path: Path, url: str, secrets: set[str]
) -> None:
    environ = {
        "HOST": "example.com",
        "PORT": "8443",
        "PLACE": "example.com/s3cret",
        "TOKEN": "t0ken%20",
        "WHOLE": "https://hooks.example.com/services/T0/s3cret",
    }
    config = load(
        tmp_path, f'destinations: {{a: {{type: webhook, url: "{url}"}}}}', environ=environ, kinds=builtin_kinds()
    )
    assert config.secrets == secrets


def test_a_fault_that_a_kind_finds_quotes_no_secret(tmp_path: Path) -> None:
    text = """
        destinations:
          a: {type: webhook, url: "https://user:${TOKEN}@example.com/${TOKEN}", secrets: ["${TOKEN}"]}
          b: {type: email, smtp: "smtp://h", from: a@b.c, to: [a@b.c], text: "{{ '${TOKEN}' + }}"}
        """
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, textwrap.dedent(text), environ={"TOKEN": "tok-en-1234"}, kinds=builtin_kinds())
    assert len(raised.value.faults) >= 2
    assert "tok-en-1234" not in str(raised.value)


def test_a_secret_shows_itself_to_nobody_but_on_request() -> None:
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret.reveal() == "hunter2"
    assert {secret, Secret("hunter2")} == {secret}


def test_a_text_from_the_environment_is_what_the_schema_wants(tmp_path: Path) -> None:
    text = """
service: {port: "${PORT}", keepalive: "${PORT}s"}
destinations:
  d: {type: box, text: "${PORT}", level: "${PORT}", factor: "${PORT}", quiet: "${QUIET}", token: "${PORT}"}
"""
    config = load(tmp_path, text, environ={"PORT": "8080", "QUIET": "True"})
    assert (config.service.port, config.service.keepalive) == (8080, 8080.0)
    options = config.destinations["d"].options
    assert options == {"text": "8080", "level": 8080, "factor": 8080.0, "quiet": True, "token": Secret("8080")}


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///x.db", "conf/x.db"), ("sqlite:///../x.db", "conf/../x.db"), ("sqlite:////var/x.db", "/var/x.db")],
)
def test_paths_start_at_the_file_or_are_absolute(tmp_path: Path, url: str, path: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/my.yaml").write_text(f"store: {url}\nfunctions: {{directory: fns}}")
    config = load(tmp_path, path=Path("conf/my.yaml"))
    assert config.store == tmp_path / path
    assert config.functions.directory == tmp_path / "conf/fns"


def test_the_command_line_wins_and_starts_at_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/my.yaml").write_text("service: {port: 1, keepalive: 1s}\nstore: sqlite:///x.db")
    overrides = Overrides(host="::1", port=0, store="sqlite:///y.db")
    config = load(tmp_path, path=Path("conf/my.yaml"), overrides=overrides)
    assert config.service == ServiceSettings(host="::1", port=0, keepalive=1.0)
    assert config.store == tmp_path / "y.db"


def test_two_kinds_may_share_a_definition_but_not_its_name() -> None:
    config = load_schema("config")
    one: dict[str, Any] = {"$defs": {"x": {"type": "string"}}}
    assert join(config, {"a": one, "b": one}, [])["$defs"]["x"] == {"type": "string"}
    with pytest.raises(ValueError, match=r"\$defs/x is defined twice"):
        join(config, {"a": one, "b": {"$defs": {"x": {"type": "integer"}}}}, [])


def test_schemas_of_the_user_fetch_nothing(tmp_path: Path) -> None:
    text = "functions: {settings: {f: {on_success: [{to: d, when: {$ref: 'https://example.com/s.json'}}]}}}\n"
    when = load(tmp_path, text + "destinations: {d: {type: box}}").functions.of("f").on_success[0].when
    assert when == {"$ref": "https://example.com/s.json"}

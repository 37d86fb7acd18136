"""Every schema is valid, stands alone, and says the same as the code: fields, defaults, states and reasons."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from destinations.bodies.cloudevents import CloudEventsForm
from destinations.dial.credentials import Basic, Proxy
from destinations.dial.tls import Tls
from destinations.registry import builtin_kinds
from pipeline import model
from pipeline.config.convert import Conversion
from pipeline.config.settings import (
    BreakerSpec,
    Config,
    Exponential,
    FunctionSettings,
    FunctionsSettings,
    KeySettings,
    RetentionSettings,
    RetrySpec,
    ServiceSettings,
    Target,
)
from pipeline.config.shape import Shape
from pipeline.config.source import Source
from schemas import load_schema, schema_names

CONFIG = load_schema("config")
SERVICE = CONFIG["properties"]["service"]
WEBHOOK = load_schema("webhook")["properties"]
BODY = WEBHOOK["body"]["anyOf"][1]["properties"]
# Inlined into the configuration's schema when it is loaded: no document of its own.
JOINED = set(builtin_kinds())
ALONE = sorted(set(schema_names()) - JOINED)

MIRRORED = [
    (ServiceSettings, SERVICE),
    (RetentionSettings, SERVICE["properties"]["retention"]),
    (FunctionsSettings, CONFIG["properties"]["functions"]),
    (FunctionSettings, CONFIG["$defs"]["function"]),
    (KeySettings, CONFIG["$defs"]["key"]),
    (Target, CONFIG["$defs"]["target"]),
    (RetrySpec, CONFIG["$defs"]["retry"]["anyOf"][2]),
    (Exponential, CONFIG["$defs"]["exponential"]),
    (CloudEventsForm, BODY["cloudevents"]),
    (BreakerSpec, CONFIG["$defs"]["breaker"]),
    (Basic, WEBHOOK["basic"]),
    (Tls, WEBHOOK["tls"]),
    (Proxy, WEBHOOK["proxy"]["anyOf"][1]),
]


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every subschema that has properties."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def converted(schema: Any, value: Any) -> Any:
    """Return `value`, written as in YAML, as the loader makes it."""
    root = {**schema, "$defs": CONFIG["$defs"], "$id": CONFIG["$id"]}
    return Conversion(Shape(root), Source(file="", value=value), Path("/")).at(())


@pytest.mark.parametrize("name", schema_names())
def test_schema_is_valid_draft_2020_12(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", ALONE)
def test_schema_has_its_id_and_resolves_without_a_fetch(name: str) -> None:
    schema = load_schema(name)
    assert schema["$id"] == f"https://sendoff.dev/schemas/{name}.schema.json"
    for part in objects(schema):
        list(
            Draft202012Validator(schema, registry=Registry())
            .evolve(schema=part)
            .iter_errors(dict.fromkeys(part["properties"]))
        )


@pytest.mark.parametrize("name", schema_names())
def test_what_sendoff_makes_or_reads_has_no_unknown_keys(name: str) -> None:
    open_ended = [part for part in objects(load_schema(name)) if part.get("additionalProperties") is not False]
    # A destination's own keys are its kind's; the loader joins them in.
    assert [list(part["properties"]) for part in open_ended] == ([["type"]] if name == "config" else [])


def test_an_unknown_schema_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_schema("nothing")


@pytest.mark.parametrize(("settings", "schema"), MIRRORED, ids=lambda value: getattr(value, "__name__", ""))
def test_settings_mirror_the_schema(settings: Any, schema: dict[str, Any]) -> None:
    assert [field.name for field in fields(settings)] == list(schema["properties"])
    required = set(schema.get("required", ()))
    for field in fields(settings):
        written = schema["properties"][field.name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or field.name in {"name", "waits", "exponential"}:
            assert "default" not in written or field.name == "directory"
            assert field.name in required | {"directory", "name", "waits", "exponential"}
        elif "default" in written:
            expected = converted(written, written["default"])
            assert (tuple(expected) if isinstance(default, tuple) else expected) == _plain(default), field.name
        else:
            pytest.fail(f"{field.name} has a default that the schema does not tell")


def _plain(default: Any) -> Any:
    return {} if isinstance(default, RetentionSettings) or default == {} else default


def test_the_configuration_mirrors_its_schema() -> None:
    assert {field.name for field in fields(Config)} - {"path", "secrets", "places"} == set(CONFIG["properties"])


@pytest.mark.parametrize("name", schema_names())
def test_every_property_is_described(name: str) -> None:
    bare = [
        key
        for part in objects(load_schema(name))
        for key, schema in part["properties"].items()
        if not schema.get("description")
    ]
    assert bare == []


def test_every_default_of_the_configuration_is_valid() -> None:
    validator = Draft202012Validator(CONFIG, registry=Registry())
    for part in objects(CONFIG):
        for schema in part["properties"].values():
            if "default" in schema:
                validator.evolve(schema=schema).validate(schema["default"])


ENUMS = [
    ("job", "state", model.JobState),
    ("job", "reason", model.JobReason),
    ("run", "state", model.RunState),
    ("run", "reason", model.JobReason),
    ("message", "type", model.MessageType),
    ("thin-message", "type", model.MessageType),
    ("delivery", "type", [each for each in model.MessageType if each is not model.MessageType.WEBHOOK_TEST]),
    ("delivery", "state", model.DeliveryState),
    ("delivery", "reason", model.DeliveryReason),
    ("attempt", "class", model.DeliveryReason),
]


@pytest.mark.parametrize(("name", "key", "values"), ENUMS)
def test_states_and_reasons_are_the_model_s(name: str, key: str, values: Any) -> None:
    assert [value for value in load_schema(name)["properties"][key]["enum"] if value is not None] == list(values)


def test_a_job_counts_its_deliveries_by_every_state() -> None:
    assert list(load_schema("job")["properties"]["deliveries"]["properties"]) == list(model.DeliveryState)

"""The OpenAPI document: valid, whole, and the same as the route table, the declared parameters and the schemas."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipeline.web.openapi.components import LISTED, SHAPES, component, page_of
from pipeline.web.openapi.document import ANY_METHOD, document
from pipeline.web.openapi.operations import OPERATIONS
from pipeline.web.policies import OPEN
from pipeline.web.routes import ROUTES
from pipeline.web.row import Row
from schemas import load_schema, schema_names
from tests.support.shapes import FORMATS, fits, openapi, resolved

DOCUMENT = openapi()
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
OPERATION = [
    pytest.param(method, path, told, id=f"{method} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, told in item.items()
    if method in METHODS
]
ELSEWHERE = {
    *("config", "event", "message", "thin-message", "lambda-record", "cloudevent", "list"),
    *("callback", "email", "function", "webhook"),
}
"""Schemas of what does not go through this API, or of what is a part of something in it."""

WITH_BODY = {
    "/v1/batches",
    "/v1/deliveries/{id}/replay",
    "/v1/destinations/{name}/replay",
    "/v1/destinations/{name}/test",
}


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def test_the_document_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []  # type: ignore[arg-type]


def test_every_route_and_method_is_in_the_document_and_no_other() -> None:
    known = {
        (each, re.sub(r":[^}]*", "", path))
        for method, path, *_ in ROUTES
        for each in (ANY_METHOD if method == "*" else [method.lower()])
    }
    assert {(method, path) for method, path, _ in (param.values for param in OPERATION)} == known


def test_every_handler_is_told_and_no_other() -> None:
    assert OPERATIONS.keys() == {handler for _, _, handler, *_ in ROUTES}


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [param.values[2]["operationId"] for param in OPERATION]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path", "told"), OPERATION)
def test_every_operation_says_what_it_does(method: str, path: str, told: dict[str, Any]) -> None:
    assert told["summary"].endswith(".")
    assert set(told["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    named = {each["name"] for each in DOCUMENT["paths"][path].get("parameters", ()) if each["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))
    has_body = "functions" in path or path in WITH_BODY
    assert ("requestBody" in told) == (method in {"post", "put", "patch"} and has_body)


@pytest.mark.parametrize(("method", "path", "told"), OPERATION)
def test_every_answer_has_a_closed_shape(method: str, path: str, told: dict[str, Any]) -> None:
    for status, answer in told["responses"].items():
        for media_type, content in resolved(answer).get("content", {}).items():
            if not media_type.endswith("json") or path == "/openapi.json":
                continue
            shape = resolved(content["schema"]["anyOf"][0] if "anyOf" in content["schema"] else content["schema"])
            assert shape["additionalProperties"] is False, (status, media_type)
            if int(status) >= 400 and (path, status) != ("/readyz", "503"):
                assert shape["title"] == "Problem"


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
def test_every_operation_says_what_key_it_needs(row: Row) -> None:
    item = DOCUMENT["paths"][re.sub(r":[^}]*", "", row.path)]
    told = item["get" if row.method == "*" else row.method.lower()]
    if row.policy is OPEN:
        assert "security" not in told
        assert "401" not in told["responses"]
        return
    assert told["security"][0] == {"bearer": [row.policy.scope]}
    assert ({"link": []} in told["security"]) == row.policy.is_linked
    assert ({} in told["security"]) == row.policy.is_function
    assert "401" in told["responses"]


def test_without_keys_nothing_needs_one() -> None:
    assert "security" not in json.dumps(document(ROUTES, "http://127.0.0.1:8888", has_keys=False)).lower()


def test_links_lead_to_operations_that_are_there() -> None:
    known = {param.values[2]["operationId"] for param in OPERATION}
    answers = [part for part in parts(DOCUMENT) if "description" in part and "content" in part]
    links = [link for answer in answers for link in answer.get("links", {}).values()]
    assert links
    assert {link["operationId"] for link in links} <= known


def test_the_document_stands_alone() -> None:
    references = {part["$ref"] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}
    assert references
    assert all(resolved({"$ref": reference}) for reference in references)
    assert "sendoff.dev" not in json.dumps(DOCUMENT)


# Components and schemas


def test_every_shape_that_goes_through_the_api_is_a_component() -> None:
    assert set(SHAPES) == set(schema_names()) - ELSEWHERE
    assert set(LISTED) <= set(SHAPES)
    found = DOCUMENT["components"]["schemas"]
    assert {component(shape) for shape in SHAPES} | {page_of(shape) for shape in LISTED} <= found.keys()


def test_no_component_is_idle() -> None:
    used = {part["$ref"].rpartition("/")[2] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}
    used |= {name for part in parts(DOCUMENT) for way in part.get("security", ()) for name in way}
    assert used == {name for kind in DOCUMENT["components"].values() for name in kind}


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"delivery"}))
def test_a_component_is_its_schema_with_references_of_its_own(shape: str) -> None:
    loaded = load_schema(shape)
    told = {key: value for key, value in loaded.items() if key not in {"$schema", "$id", "$defs"}}
    shared = {name: component(name) for name in loaded.get("$defs", {})}
    text = re.sub(r"#/\$defs/(\w+)", lambda found: f"#/components/schemas/{shared[found[1]]}", json.dumps(told))
    assert DOCUMENT["components"]["schemas"][component(shape)] == json.loads(text)


def test_what_schemas_define_under_one_name_is_one() -> None:
    defined: dict[str, set[str]] = {}
    for shape in SHAPES:
        for name, definition in load_schema(shape).get("$defs", {}).items():
            defined.setdefault(name, set()).add(json.dumps(definition, sort_keys=True))
    assert defined
    assert {name for name, found in defined.items() if len(found) > 1} == set()


@pytest.mark.parametrize("shape", ["accepted", "waiting"])
def test_what_a_caller_is_told_at_once_is_a_part_of_the_job(shape: str) -> None:
    small, job = load_schema(shape)["properties"], load_schema("job")["properties"]
    assert small.keys() <= job.keys()
    assert set(small["state"]["enum"]) < set(job["state"]["enum"])
    if "links" in small:
        assert small["links"]["required"] == job["links"]["required"]


def test_every_shape_has_an_example_and_each_is_of_that_shape() -> None:
    for shape in SHAPES:
        examples = load_schema(shape)["examples"]
        assert examples
        for example in examples:
            Draft202012Validator(load_schema(shape), format_checker=FORMATS).validate(example)
            fits({"$ref": f"#/components/schemas/{component(shape)}"}, example)

"""The schemas of `schemas/` as components of one OpenAPI document: inlined, each reference within the document."""

from typing import Any

from schemas import load_schema

SHAPES = (
    "accepted",
    "waiting",
    "job",
    "run",
    "log-line",
    "batch",
    "batch-item",
    "batch-line",
    "delivery",
    "attempt",
    "destination",
    "webhook-keys",
    "destination-test",
    "replay",
    "replay-request",
    "replay-counts",
    "delivery-replay-request",
    "destination-test-request",
    "listed-function",
    "usage",
    "health",
    "readiness",
    "problem",
)
"""The schemas of what goes in and out by HTTP."""
LISTED = ("job", "run", "log-line", "batch", "delivery", "destination", "replay", "listed-function", "usage")
"""What there are lists of."""
_OWN = frozenset({"$schema", "$id", "$defs"})

Schema = dict[str, Any]


def component(shape: str) -> str:
    """Return the name of a shape's component: `LogLine` for `log-line`."""
    return "".join(word.capitalize() for word in shape.split("-"))


def page_of(shape: str) -> str:
    """Return the name of the component of a page of a list of a shape."""
    return f"{component(shape)}Page"


def reference(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def components() -> dict[str, Schema]:
    """Return the component of every shape, of every page of a list, and of what they share."""
    found: dict[str, Schema] = {}
    for shape in SHAPES:
        loaded = load_schema(shape)
        # What several of them define under one name is the same in all: a test holds that.
        for name, definition in loaded.get("$defs", {}).items():
            found[component(name)] = _within(definition)
        found[component(shape)] = _within({key: value for key, value in loaded.items() if key not in _OWN})
    found[component("delivery")], found["DeliveryWithAttempts"] = _deliveries(found[component("delivery")])
    found |= {page_of(shape): _page(shape) for shape in LISTED}
    return found | {"JobEvent": _event("job", "delivery", "log"), "BatchEvent": _event("batch")}


def _within(schema: Any) -> Any:
    """Return a part of a schema with its references to `$defs` turned into references to components."""
    if isinstance(schema, list):
        return [_within(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"#/components/schemas/{component(value.removeprefix('#/$defs/'))}" if key == "$ref" else _within(value)
        for key, value in schema.items()
    }


def _deliveries(delivery: Schema) -> tuple[Schema, Schema]:
    """Return a delivery as it stands in lists, and as it is read alone."""
    known: dict[str, Schema] = delivery["properties"]
    alone = known | {"attempts": known["attempts"] | {"items": reference(component("attempt"))}}
    listed = {name: schema for name, schema in known.items() if name not in {"attempts", "explain"}}
    seen = {
        "attempts": load_schema("attempt")["examples"],
        "explain": "Delivered at 2026-11-24T21:30:21.040Z, by attempt 1 of 4.",
    }
    return delivery | {"properties": listed}, delivery | {
        "title": "Delivery with its attempts",
        "required": [*delivery["required"], "attempts", "explain"],
        "properties": alone,
        "examples": [example | seen for example in delivery["examples"]],
    }


def _event(*kinds: str) -> Schema:
    """Return an event of a stream, as a reader of streams hands it over."""
    shapes = {"log": "log-line"}
    said = [reference(component(shapes.get(kind, kind))) for kind in kinds]
    return {
        "title": f"{kinds[0].capitalize()} event",
        "description": "`settled` is the last one: nothing more will come.",
        "type": "object",
        "required": ["event", "data"],
        "additionalProperties": False,
        "properties": {
            "event": {"description": "What it tells of.", "type": "string", "enum": [*kinds, "settled"]},
            "id": {"description": "Of a log line its number.", "type": "string", "pattern": "^[0-9]+$"},
            "data": {
                "description": "The whole of it, as JSON.",
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"anyOf": [*said, {"const": {}}]},
            },
        },
    }


def _page(shape: str) -> Schema:
    page = load_schema("list")
    items = page["properties"]["items"] | {"items": reference(component(shape))}
    return {key: value for key, value in page.items() if key not in _OWN} | {
        "title": f"{load_schema(shape)['title']} page",
        "properties": page["properties"] | {"items": items},
    }

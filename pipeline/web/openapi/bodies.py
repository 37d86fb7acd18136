"""The bodies of requests, as the OpenAPI document tells them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipeline.web.openapi.components import component, reference
from pipeline.web.parameters import MOST_ITEMS

_ANY_ITEM = {
    "anyOf": [reference(component("batch-item")), {}],
    "description": "An item; what is none is told in `rejected`, and the rest goes on.",
}


def _document(shape: str) -> Mapping[str, Any]:
    return MappingProxyType({"application/json": {"schema": reference(component(shape))}})


PROBLEMS = (400, 408, 413, 415)
"""What a document that cannot be taken is answered with."""
OF_REPLAY = _document("replay-request")
OF_DELIVERY_REPLAY = _document("delivery-replay-request")
OF_TEST = _document("destination-test-request")

OF_FUNCTION: Mapping[str, Any] = MappingProxyType(
    {
        "application/json": {"schema": {}, "example": {"name": "Ada"}},
        "*/*": {"schema": {}},
    }
)
"""A function is called with any body of any type."""

OF_BATCH: Mapping[str, Any] = MappingProxyType(
    {
        "application/json": {
            "schema": {
                "type": "object",
                "description": f"Up to {MOST_ITEMS:,} items, and the function where the query does not name it.",
                "required": ["items"],
                "additionalProperties": False,
                "properties": {
                    "function": {
                        "type": "string",
                        "description": "The function that is to have the items, where `?function=` does not name it.",
                    },
                    "items": {
                        "type": "array",
                        "minItems": 1,
                        "items": _ANY_ITEM,
                        "description": f"One job each; those beyond {MOST_ITEMS:,} are rejected.",
                    },
                },
            },
            "example": {
                "function": "hello-background",
                "items": [{"body": {"name": "Ada"}, "key": "ada"}, {"body": {"name": "Grace"}, "tags": ["greeting"]}],
            },
        },
        "application/x-ndjson": {
            "schema": {
                "type": "string",
                "pattern": r"\S",
                "description": "An item (`BatchItem`) a line, at least one; `?function=` names the function.",
            },
            "example": '{"body": {"name": "Ada"}, "key": "ada"}\n{"body": {"name": "Grace"}, "tags": ["greeting"]}\n',
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": "string", "format": "binary"},
                "description": "A file an item, its name the item's `key`, its type that of the body; `?function=` "
                "names the function.",
            },
        },
    }
)
"""A batch comes in three forms."""

"""A synchronous function: the caller waits for the answer."""

import json
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Greet whoever the query names."""
    name = event["queryStringParameters"].get("name", "world")
    body = json.dumps({"greeting": f"Hello, {name}!"})
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body}

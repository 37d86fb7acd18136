"""A background function: the caller has a 202 at once, the result goes to the destinations."""

import json
import time
from typing import Any

STEPS = ("clearing my throat", "waving", "saying it")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Greet whoever the JSON body names, without any hurry; a body without a name is rejected."""
    try:
        name = json.loads(event["body"])["name"]
    except (TypeError, ValueError, KeyError):
        return context.reject('The body must be JSON such as {"name": "Ada"}.')
    for step in STEPS:
        print(step)
        time.sleep(0.3)
    return {"greeting": f"Hello, {name}!", "attempt": context.attempt}

"""Which functions and destinations the service has: to find a wrong name before anything is sent, and to say which was
meant.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from pipeline.cli.client import Client
from pipeline.cli.failures import CommandError, RefusedError
from pipeline.cli.screen.clean import clean_line

_MOST = 20


async def check_function(client: Client, name: str) -> None:
    """Raise what keeps the function from being called: no service, a key that is not taken, no such function."""
    try:
        names = await _names(client)
    except RefusedError as error:
        if error.status == 403:  # the key may invoke, and not read: the call itself will tell
            return
        raise
    if name not in names:
        raise unknown(name, names)


async def unknown_function(client: Client, name: str) -> RefusedError:
    """Return what to raise for a function that the service does not have."""
    return unknown(name, await _names_if_told(client, "function"))


async def with_names(client: Client, error: RefusedError, **named: str | None) -> RefusedError:
    """Return what to raise for a refusal: where it is that there is none of this name, with the names that there are.

    `named` are the names that the command was given, by what they are of: `destination` or `function`.
    """
    for kind, name in named.items():
        if name is not None and error.status == 404 and str(error).startswith(f"there is no {kind} "):
            return unknown(name, await _names_if_told(client, kind), kind)
    return error


def unknown(name: str, names: Sequence[str], kind: str = "function") -> RefusedError:
    """Return what to raise, with the name that may have been meant, and all that there are."""
    near = get_close_matches(name, names, 1)
    meant = f"Did you mean {near[0]}? " if near else ""
    more = f", and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    known = f"There are: {', '.join(names[:_MOST])}{more}." if names else ""
    return RefusedError(404, f"there is no {kind} {clean_line(name)}", f"{meant}{known}")


async def _names_if_told(client: Client, kind: str) -> list[str]:
    try:
        return await _names(client, kind)
    except CommandError:
        return []


async def _names(client: Client, kind: str = "function") -> list[str]:
    return [each["name"] for each in (await client.get(f"/v1/{kind}s"))["items"]]

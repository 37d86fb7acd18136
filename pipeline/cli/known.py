"""Which functions the service has: to find a wrong name before anything is sent, and to say which was meant."""

from difflib import get_close_matches

from pipeline.cli.client import Client
from pipeline.cli.failures import CommandError, RefusedError
from pipeline.cli.screen.clean import clean_line


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
    try:
        return unknown(name, await _names(client))
    except CommandError:
        return unknown(name, [])


def unknown(name: str, names: list[str]) -> RefusedError:
    """Return what to raise, with the name that may have been meant."""
    near = get_close_matches(name, names, 1)
    known = f"There are: {', '.join(names)}." if names else ""
    return RefusedError(404, f"there is no function {clean_line(name)}", f"Did you mean {near[0]}?" if near else known)


async def _names(client: Client) -> list[str]:
    return [function["name"] for function in (await client.get("/v1/functions"))["items"]]

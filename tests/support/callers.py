"""Keys for tests, and the headers of those who have them."""

from datetime import timedelta
from typing import Any

from pipeline.config.settings import KeySettings, Scope
from pipeline.keys import digest
from tests.support.fake_clock import START

INVOKE, READ, ADMIN = Scope.INVOKE, Scope.READ, Scope.ADMIN


def token_of(caller: str) -> str:
    """Return the key that a caller has: like a real one, and always the same."""
    return f"sk_{caller:0>43}"


def key(caller: str, *scopes: Scope, **changes: Any) -> KeySettings:
    """Return the key of a caller, whose name is that, too."""
    fields: dict[str, Any] = {"name": caller, "sha256": digest(token_of(caller)), "scopes": scopes}
    return KeySettings(**fields | changes)


def bearer(caller: str) -> dict[str, str]:
    """Return the header of who has that key."""
    return {"Authorization": f"Bearer {token_of(caller)}"}


CALLERS = (
    key("maker", INVOKE),
    key("stranger", INVOKE),
    key("reader", READ),
    key("operator", ADMIN),
    key("all", INVOKE, READ, ADMIN),
    # Further keys of the maker's.
    key("valid", INVOKE, name="maker", expires=START + timedelta(days=1)),
    key("expired", INVOKE, READ, ADMIN, name="maker", expires=START),
    key("narrow", INVOKE, name="maker", functions=("other-background",)),
)

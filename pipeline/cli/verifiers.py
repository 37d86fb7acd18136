"""The secrets that commands verify by: each is checked, and one that can do more than verify is told of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.cli.failures import UsageError

if TYPE_CHECKING:
    from destinations.signing.keys import Layout

Named = tuple[str, str]
"""What a secret is called, and the secret."""


def verifiers(named: Sequence[Named], layout: "Layout", advice: str = "") -> tuple[str, ...]:
    """Return the secrets; raises UsageError for one that is none, without repeating it."""
    from destinations.signing.keys import parse_verifier  # noqa: PLC0415 - the help of a command needs none

    for name, secret in named:
        try:
            parse_verifier(secret, layout)
        except ValueError as error:
            raise UsageError(f"{name}: {error}", advice) from None
    return tuple(secret for _, secret in named)


def of_private_ones(named: Iterable[Named]) -> Iterator[str]:
    """Yield lines that tell of each private key, and which public one is enough."""
    from destinations.signing.keys import public_key_of  # noqa: PLC0415 - the help of a command needs none

    for name, secret in named:
        if (public := public_key_of(secret)) is not None:
            yield f"sendoff: {name} is a private key, which only the sender needs"
            yield f"  To verify, its public key is enough: {public}"

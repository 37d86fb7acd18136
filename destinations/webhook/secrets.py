"""The `secrets` of a webhook: checked, made a signer of, and what of them is public."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from destinations.base import PublicKey
from destinations.signing.keys import Layout, parse_secret, public_key_of
from destinations.signing.prefixes import PREFIX, PRIVATE_PREFIX, RAW_PREFIX
from destinations.signing.signatures import Signer, Temporary
from pipeline.config.secret import Secret
from pipeline.errors import OptionsError

_LEAST_BYTES = 16
"""A key of fewer can be found by trying, by whoever has seen one request with its signature."""


_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporarySecret:
    """A secret that signs until a moment, and no more from then on."""

    secret: Secret
    until: datetime | None = None


AnySecret = Secret | TemporarySecret


def secrets_of(options: Mapping[str, Any], layout: Layout) -> tuple[AnySecret, ...]:
    """Return the secrets in validated options; raises OptionsError for those that cannot be used."""
    found = tuple(_secret(each) for each in options.get("secrets", ()))
    reasons = []
    for number, each in enumerate(found):
        try:
            parse_secret(_text(each), layout)
        except ValueError as error:
            reasons.append(f"{_place(number, each)}: {error}")
    if reasons:
        raise OptionsError(reasons)
    return found


def short_ones(secrets: Sequence[AnySecret]) -> Iterator[tuple[str, int]]:
    """Yield the place of each raw secret that is too short to keep a secret, and how many bytes it has."""
    for number, each in enumerate(secrets):
        text = _text(each)
        size = len(text.removeprefix(RAW_PREFIX).encode())
        if text.startswith(RAW_PREFIX) and size < _LEAST_BYTES:
            yield _place(number, each), size


def bare_ones(secrets: Sequence[AnySecret]) -> Iterator[str]:
    """Yield the place of each secret without a prefix, which the standard layout takes as base64: that of a receiver
    that uses the text as it is, in hexadecimal for instance, may be base64 by chance.
    """
    for number, each in enumerate(secrets):
        if not _text(each).startswith((PREFIX, PRIVATE_PREFIX, RAW_PREFIX)):
            yield _place(number, each)


def repeated_ones(secrets: Sequence[AnySecret], layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield the place of each secret whose key has been listed before, however it was written, and where it was."""
    first: dict[str, str] = {}
    for number, each in enumerate(secrets):
        # What a key signs tells it from any other.
        before = first.setdefault(parse_secret(_text(each), layout).sign(b"", b""), _place(number, each))
        if before != _place(number, each):
            yield _place(number, each), before


def idle_ones(secrets: Sequence[AnySecret]) -> Iterator[str]:
    """Yield the place of each secret that never signs where only the first valid one does: the one before lasts as
    long.
    """
    lasting = datetime.min.replace(tzinfo=UTC)
    for number, each in enumerate(secrets):
        end = _until(each) or _FOREVER
        if end <= lasting:
            yield _place(number, each)
        lasting = max(lasting, end)


def signer_of(secrets: Sequence[AnySecret], layout: Layout) -> Signer:
    """Return what signs by `secrets`."""
    keys = (parse_secret(_text(each), layout) for each in secrets)
    return Signer(
        (
            key if (until := _until(each)) is None else Temporary(key=key, until=until.timestamp())
            for key, each in zip(keys, secrets, strict=True)
        ),
        layout,
    )


def public_keys_of(secrets: Sequence[AnySecret]) -> Iterator[PublicKey]:
    """Yield the public keys of the asymmetric ones."""
    for each in secrets:
        if (text := public_key_of(_text(each))) is not None:
            yield PublicKey(text=text, until=_until(each))


def end_of(secrets: Sequence[AnySecret]) -> datetime | None:
    """Return from when on nothing signs any more; None: there is no such moment, or nothing signs now."""
    ends = [_until(each) for each in secrets]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _secret(written: Secret | Mapping[str, Any] | TemporarySecret) -> AnySecret:
    return TemporarySecret(**written) if isinstance(written, Mapping) else written


def _place(number: int, each: AnySecret) -> str:
    return f"secrets[{number}].secret" if isinstance(each, TemporarySecret) else f"secrets[{number}]"


def _text(each: AnySecret) -> str:
    return (each if isinstance(each, Secret) else each.secret).reveal()


def _until(each: AnySecret) -> datetime | None:
    return None if isinstance(each, Secret) else each.until

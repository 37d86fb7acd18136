"""Why a webhook's signature does not hold, said as exactly as can be found out: what went wrong for others is tried,
until one such change makes the signature right. For people who look for a fault, never for a decision. Pure.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from destinations.signing.keys import Layout
from destinations.signing.prefixes import PRIVATE_PREFIX, PUBLIC_PREFIX, RAW_PREFIX
from destinations.signing.signatures import SignatureError, TimeError, verify

_STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_MILLISECONDS = 13


def why_not(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float | None, layout: Layout
) -> tuple[str, ...]:
    """Return nothing where the signature holds, else the reason and then what is known beyond it, a sentence each.

    Raises ValueError for a secret that is none.
    """
    try:
        verify(secrets, headers, body, now, layout=layout)
    except TimeError as error:
        return (str(error), *_of_time(secrets, headers, body, layout))
    except SignatureError as error:
        return (str(error), *_of_headers(headers, layout), *_of_change(secrets, headers, body, layout))
    return ()


def _of_time(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, layout: Layout) -> Iterator[str]:
    given = {name.lower(): value for name, value in headers.items()}.get("webhook-timestamp", "")
    if len(given) == _MILLISECONDS and given.isascii() and given.isdigit():
        yield "it looks like milliseconds, and is to be in seconds"
    try:
        verify(secrets, headers, body, None, layout=layout)
    except TimeError:  # no number
        return
    except SignatureError:
        yield from why_not(secrets, headers, body, None, layout)
    else:
        yield "the signature itself is right: the request is an old one, or one of the clocks is wrong"


def _of_headers(headers: Mapping[str, str], layout: Layout) -> Iterator[str]:
    names = {name.lower() for name, value in headers.items() if value}
    wanted = _STANDARD_HEADERS if layout is Layout.STANDARD else (layout.header,)
    missing = [name for name in wanted if name not in names]
    if len(missing) > 1:
        yield f"missing are: {', '.join(missing)}"
    for other in Layout:
        if missing and other is not layout and other.header in names:
            yield f"there is {other.header}: is it signed in the layout {other}?"


def _of_change(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, layout: Layout) -> Iterator[str]:
    """Yield what change makes the signature right; nothing where none of them does."""
    if not body:
        yield "the body is empty: was it read before?"
    for changed, sentence in _bodies(body):
        if _holds(secrets, headers, changed, layout):
            yield f"the signature is right for the body {sentence}"
            return
    for text, sentence in _secrets(secrets):
        if _holds([text], headers, body, layout):
            yield f"the signature is right for a key that is {sentence}"
            return


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    yield body.rstrip(b"\r\n"), "without the line break at its end: what saved it added one"
    yield body + b"\n", "with a line break at its end: what read it cut one off"
    yield body.replace(b"\r\n", b"\n"), "with LF in the place of CR LF: what saved it changed the line breaks"
    yield body.replace(b"\n", b"\r\n"), "with CR LF in the place of LF: what saved it changed the line breaks"
    yield body.removeprefix(b"\xef\xbb\xbf"), "without the byte order mark before it: what saved it added one"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    rewritten = "as JSON {}: it was parsed and written again; verify the bytes that came"
    for is_ascii in (False, True):
        compact = json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":"))
        yield compact.encode("utf-8", "replace"), rewritten.format("without blanks")
        yield json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "replace"), rewritten.format("with blanks")


def _secrets(secrets: Sequence[str]) -> Iterator[tuple[str, str]]:
    for secret in secrets:
        if secret.startswith((PRIVATE_PREFIX, PUBLIC_PREFIX)):
            continue
        if secret.startswith(RAW_PREFIX):
            yield secret.removeprefix(RAW_PREFIX), "base64 of this one: leave out raw:"
            continue
        yield RAW_PREFIX + secret, "the text of the secret: whoever signed did not decode its base64"
        yield RAW_PREFIX + secret.partition("_")[2], "the text behind whsec_: whoever signed did not decode its base64"


def _holds(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, layout: Layout) -> bool:
    try:
        verify(secrets, headers, body, None, layout=layout)
    except (SignatureError, ValueError):
        return False
    return True

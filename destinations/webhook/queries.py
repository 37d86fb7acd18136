"""The query of a URL, kept out of what is kept of its receiver's answer: it may be a secret, and receivers repeat it.

URLs are callers' and answers receivers', so that neither may make this take long: a few fixed forms are searched for as
they are. Nothing is compiled, as patterns stay in `re`'s cache, and the secrets in them.
"""

import html
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, unquote_to_bytes, urlsplit

from destinations.base import KEPT_BODY
from pipeline.mask import MASK, SHORTEST
from pipeline.model import Outcome

MOST_VALUES = 16
"""So many values of parameters are masked where they stand alone, the longest ones; the query as a whole always is."""
_MOST_ENDS = 16
_MASK = MASK.encode()
_MUCH = 1 << 20
_PADDING = bytes(30_000)
"""In front of so much CPython searches in linear time (two-way), and else in the product of both lengths at worst."""


def without_query(outcome: Outcome, url: str) -> Outcome:
    """Return the outcome without the query of the `url`, which is one of ASCII, in its message, headers and body."""
    forms = forms_of(url)
    if not forms:
        return outcome
    message = _text(outcome.message, forms)
    headers = outcome.headers
    values = "\n".join([value.replace("\n", " ") for _, value in headers])
    # All at once, as there may be thousands; no form goes over the end of one.
    masked = _text(values, [form for form in forms if b"\n" not in form])
    if masked != values:
        headers = tuple([(name, value) for (name, _), value in zip(headers, masked.split("\n"), strict=True)])
    body = _masked(outcome.body, forms)
    if len(outcome.body) == KEPT_BODY:  # it was cut, and a query perhaps with it
        body = _without_torn_end(body, forms)
    if (message, headers, body) == (outcome.message, outcome.headers, outcome.body):
        return outcome
    return replace(outcome, message=message, headers=headers, body=body)


def forms_of(url: str) -> list[bytes]:
    """Return what is searched for, the longest first, so that of two that begin alike all of the longer one goes."""
    query = urlsplit(url).query
    if not query:
        return []
    found = {url.partition("#")[0].encode(), *_forms_of_query(query), *_forms_of_values(query)}
    # Without those with a NUL, which stands in no text, and in the padding.
    return sorted(
        [form for form in found if len(form) >= SHORTEST and 0 not in form], key=lambda form: (-len(form), form)
    )


def _forms_of_query(query: str) -> Iterator[bytes]:
    yield query.encode()
    yield quote(query, "").encode()
    yield html.escape(query).encode()
    yield from _decoded(query)


def _forms_of_values(query: str) -> Iterator[bytes]:
    pairs = [part.partition("=") for part in query.split("&")]
    values = {value or name for name, _, value in pairs}
    for value in sorted(values, key=lambda value: (-len(value), value))[:MOST_VALUES]:
        yield value.encode()
        yield from _decoded(value)


def _decoded(text: str) -> Iterator[bytes]:
    decoded = unquote_to_bytes(text)
    yield decoded
    if "+" in text:
        yield unquote_to_bytes(text.replace("+", " "))


def _text(text: str, forms: list[bytes]) -> str:
    before = text.encode("utf-8", "surrogatepass")
    after = _masked(before, forms)
    # A form may be no text, and so leave none behind.
    return text if after == before else after.decode("utf-8", "replace")


def _masked(content: bytes, forms: list[bytes]) -> bytes:
    is_much = len(content) * sum(map(len, forms)) > _MUCH
    if is_much:
        content += _PADDING
    for form in forms:
        content = content.replace(form, _MASK)
    return content[: -len(_PADDING)] if is_much else content


def _without_torn_end(body: bytes, forms: list[bytes]) -> bytes:
    for form in forms:
        at = max(0, len(body) - len(form) + 1)
        for _ in range(_MOST_ENDS):
            at = body.find(form[:SHORTEST], at)
            if at < 0 or form.startswith(body[at:]):
                break
            at += 1
        if at >= 0 and len(body) - at >= SHORTEST:  # torn, or so often begun that it is not looked at any further
            return body[:at] + _MASK
    return body

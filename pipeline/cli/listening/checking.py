"""Whether a webhook is signed by one of the secrets, in the layout that was asked for or the one it came in. Pure."""

from collections.abc import Mapping, Sequence

from destinations.signing.keys import Layout
from destinations.signing.prefixes import PRIVATE_PREFIX, PUBLIC_PREFIX
from destinations.signing.signatures import SignatureError, verify
from pipeline.cli.listening.received import Checked, Signature, readable


class Checker:
    """Looks at the signatures of requests."""

    def __init__(self, secrets: Sequence[str], layout: Layout | None) -> None:
        """Check by any of `secrets`; without a `layout`, in that whose header a request has.

        Receivers in earnest insist on one layout; this one is to tell what came.
        """
        self._secrets = secrets
        self._layout = layout

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> Checked:
        """Return what a request's signature is at a moment, in Unix seconds."""
        if not self._secrets:
            return Checked(signature=Signature.UNCHECKED, why="no secret was given")
        layout = self._layout or _layout_of(headers)
        secrets = self._secrets if layout is Layout.STANDARD else [each for each in self._secrets if _is_text(each)]
        if not secrets:
            why = f"there is {layout.header}, and no secret for the layout {layout}: it takes whsec_ or raw:"
            return Checked(signature=Signature.BAD, why=why, layout=layout)
        try:
            verify(secrets, headers, body, now, layout=layout)
        except SignatureError as error:
            return Checked(signature=Signature.BAD, why=readable(str(error)), layout=layout)
        return Checked(signature=Signature.GOOD, layout=layout)


def _layout_of(headers: Mapping[str, str]) -> Layout:
    names = {name.lower() for name, value in headers.items() if value}
    return next((layout for layout in Layout if layout.header in names), Layout.STANDARD)


def _is_text(secret: str) -> bool:
    return not secret.startswith((PRIVATE_PREFIX, PUBLIC_PREFIX))

"""A text that must not be shown: its repr and its str are `***`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Holds a secret text; equal to another that holds the same."""

    _text: str

    def reveal(self) -> str:
        """Return the text itself: only to use it, never to show it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

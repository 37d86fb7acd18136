"""Records: the frozen dataclasses of which every job needs two dozen.

Python makes an instance of a frozen dataclass field by field through a function, which takes more than twice as long
and was a twentieth of a job's work. So these are frozen for the type checker, which guards every line, and not at run
time. They are equal and hashed as frozen ones are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    T = TypeVar("T")

    def record(*, frozen: bool, **options: bool) -> Callable[[type[T]], type[T]]:
        """Return the decorator `dataclass(frozen=True, ...)`, but for its guard."""
        return dataclass(unsafe_hash=frozen, **options)


__all__ = ["record"]

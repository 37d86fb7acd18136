"""The errors that cross layers. They know nothing of HTTP: `web.problems` maps them to answers."""

from collections.abc import Iterable
from dataclasses import dataclass


class SendoffError(Exception):
    """The base of every error that Sendoff raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a configuration: where it stands and what would be right."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigurationError(SendoffError):
    """The configuration cannot be used; `faults` names every reason at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class OptionsError(ValueError):
    """Several options of a destination cannot be used; each of `reasons` begins with its option: `secrets[0]: `."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))

    @classmethod
    def reasons_in(cls, error: ValueError) -> tuple[str, ...]:
        """Return every reason that an error tells, which need not be of this class."""
        return error.reasons if isinstance(error, cls) else (str(error),)


class StoreError(SendoffError):
    """The store cannot be used at all: locked, read-only, corrupt, newer than this program, or failing."""


class StoreUnsureError(StoreError):
    """The store failed while it wrote: whether the change was made is known after the next start only."""


class StoreWaitError(SendoffError):
    """The store takes no write now, but will: what is stored stays readable, and what has happened is kept in hand."""


class StoreFullError(StoreWaitError):
    """The disk has no room for another write."""


class StoreBusyError(StoreWaitError):
    """Another program holds the database's lock."""


class UnknownFunctionError(SendoffError):
    """No function of that name is in the catalogue."""


class HeldError(SendoffError):
    """A delivery is for a destination that takes none now: it is paused, or not in the configuration any more."""


class BadNameError(SendoffError):
    """A name in a URL is not one that a function can have."""


class QueueFullError(SendoffError):
    """The function's queue holds as many jobs as it may."""


class DrainingError(SendoffError):
    """The service is on its way down and takes no new work."""


class GuardError(SendoffError):
    """The guard process is not there to start a worker."""


class BusyError(SendoffError):
    """Every worker process of the function is taken, and none came free in the time the caller would wait."""


class BodyTooLargeError(SendoffError):
    """A request's body is larger than `body_limit`, or would be once it is unpacked."""


class BadBodyError(SendoffError):
    """A request's body is not what its headers say it is."""


class BadJsonError(SendoffError):
    """A text is not strict JSON; `position` counts characters from 0, `line` and `column` from 1."""

    def __init__(self, message: str, *, position: int, line: int, column: int) -> None:
        super().__init__(f"{message} at line {line}, column {column}")
        self.message = message
        self.position = position
        self.line = line
        self.column = column

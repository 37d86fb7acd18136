"""Who receives in a trial: the one thing that a kind's author writes, so that each check has it behave as it needs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

from pipeline.model import Outcome


class Manner(StrEnum):
    """How a receiver behaves."""

    WELL = "well"
    """It takes what comes; so it begins."""
    TEMPORARY = "temporary"
    """It refuses each try, and may take the same later."""
    PERMANENT = "permanent"
    """It refuses this message for good."""
    HANG = "hang"
    """What comes waits until `release`, and is taken then."""
    ABSENT = "absent"
    """It is not there: nobody listens, or the place is gone. It stays so to the end of the trial."""


class Receiver(ABC):
    """One receiver on this machine, for one trial.

    The destination lives on an event loop of its own in another thread: each method may be called from any thread, and
    returns at once. What serves here does so in threads that are daemons, or end with what they serve.
    """

    cannot: ClassVar[Mapping[Manner, str]] = MappingProxyType({})
    """The manners that such a receiver does not have, each with the reason; the checks that need them ask nothing."""

    @property
    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """Return options, as they stand in the YAML, of a destination that leads here; each secret setting among them,
        or among `other_options`, so that it can be seen whether it is shown.
        """

    def other_options(self) -> Sequence[Mapping[str, Any]]:
        """Return further options, with the secret settings that do not go together with those of `options`. Nothing is
        sent by them.
        """
        return ()

    @abstractmethod
    def answer(self, manner: Manner) -> None:
        """Behave so from now on."""

    @abstractmethod
    def ids(self) -> Sequence[str]:
        """Return, for each message that was taken, that by which a receiver tells that it has it already."""

    def refused(self) -> int:
        """Return how many tries were refused here so far."""
        raise NotImplementedError("a receiver that can refuse, TEMPORARY or PERMANENT, says how often it has")

    def named(self) -> tuple[str, ...]:
        """Return what callers name to get here, for a kind whose recipients are theirs to name."""
        return ()

    def note(self, outcome: Outcome) -> None:  # noqa: B027 - most kinds have a receiver that sees by itself what comes
        """Note an outcome; for kinds that hand over in it."""

    def hanging(self) -> int:
        """Return how many sendings wait here now."""
        raise NotImplementedError("a receiver that can HANG says how many sendings wait")

    def release(self) -> None:
        """Let go what waits, and behave WELL from now on. Called at the end of every trial, whatever its manner."""
        raise NotImplementedError("a receiver that can HANG lets go what waits")

    def half_done(self) -> Sequence[str]:
        """Return what can be seen here of messages that were begun and not brought to their end, such as files."""
        return ()

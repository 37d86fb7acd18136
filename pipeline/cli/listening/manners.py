"""How the receiver answers: well, or as badly as it was told to. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field

WELL, UNSIGNED, OUT_OF_ORDER = 200, 401, 503
_REMEMBERED = 100_000

Key = tuple[str, str]
"""Where a message came, and its id: each path is a receiver of its own, as one message may go to several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What it was told."""

    answer: int | None = None
    """The status of a bad answer; None: 503 where there is to be one."""
    fail: int | None = None
    """How many requests of each message get it; None: all of them do, where there is an `answer`."""
    retry_after_s: int | None = None
    """What a bad answer says in `Retry-After`."""
    delay_s: float = 0.0
    """How long every answer takes."""

    def status(self, seen: int, *, is_good: bool) -> int:
        """Return what the request number `seen` of a message, from 1, is answered, given what its signature is."""
        is_bad_turn = seen <= self.fail if self.fail is not None else self.answer is not None
        if is_bad_turn:
            return self.answer or OUT_OF_ORDER
        return WELL if is_good else UNSIGNED

    def headers(self, status: int) -> dict[str, str]:
        """Return what goes with an answer."""
        is_told = self.retry_after_s is not None and status == (self.answer or OUT_OF_ORDER)
        return {"Retry-After": str(self.retry_after_s)} if is_told else {}


@dataclass(slots=True)
class Memory:
    """Which messages came, how often, and which of them were accepted; of many, the last ones."""

    _seen: "OrderedDict[Key, tuple[int, bool]]" = field(default_factory=OrderedDict)

    def note(self, key: Key) -> tuple[int, bool]:
        """Note that a message came; return how often it has come by now, and whether it was accepted before."""
        seen, is_accepted = self._seen.pop(key, (0, False))
        self._seen[key] = seen + 1, is_accepted
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return seen + 1, is_accepted

    def accept(self, key: Key) -> None:
        """Note that a message was accepted: should it come again, it is a duplicate."""
        if key in self._seen:  # while an answer was held back so many may have come that it is forgotten
            self._seen[key] = self._seen[key][0], True

"""Ids: UUIDv7 (RFC 9562), monotonic within one process, so that ids sort as they were made."""

import re
from datetime import UTC, datetime
from random import Random

from pipeline.clock import Clock

ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""What every id looks like, as `schemas/` say it."""
_UUID7 = re.compile(ID_PATTERN.strip("^$"))
_COUNTER_BITS = 42  # rand_a and the head of rand_b count up; the tail stays random
_TAIL_BITS = 32
_LAST_MS = 253_402_300_799_000  # the end of the year 9999: a datetime knows no later one, an id can name it
_ROUNDING_MS = 0.0005  # a moment as float may lie just below the millisecond that it stands for


class IdSource:
    """Makes UUIDv7 strings and lease tokens from an injected clock and source of randomness."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._last_ms = 0
        self._counter = 0

    def new(self) -> str:
        """Return the next id, greater as text than every id made here before, whatever the clock does."""
        ms = int(self._clock.now().timestamp() * 1000 + _ROUNDING_MS)
        if ms > self._last_ms:
            self._last_ms = ms
            # The top bit starts at 0, which leaves room to count 2^41 ids within one millisecond.
            self._counter = self._random.getrandbits(_COUNTER_BITS - 1)
        else:
            self._counter += 1
        counter = self._counter
        middle = 0x8000 | ((counter >> 16) & 0x3FFF)
        tail = self._random.getrandbits(_TAIL_BITS)
        return (
            f"{self._last_ms >> 16:08x}-{self._last_ms & 0xFFFF:04x}-7{counter >> 30:03x}-{middle:04x}"
            f"-{counter & 0xFFFF:04x}{tail:08x}"
        )

    def message_id(self) -> str:
        """Return an id for a message: `msg_` and a UUIDv7."""
        return f"msg_{self.new()}"

    def token(self) -> int:
        """Return a lease token: 63 random bits, which fit SQLite's INTEGER."""
        return self._random.getrandbits(63)


def is_id(text: str) -> bool:
    """Tell whether `text` is a canonical, lower-case UUIDv7."""
    return _UUID7.fullmatch(text) is not None


def made_at(identifier: str) -> datetime:
    """Return the moment, to the millisecond, that a UUIDv7 carries; of one that nobody made the last there is."""
    return datetime.fromtimestamp(min(int(identifier[:8] + identifier[9:13], 16), _LAST_MS) / 1000, UTC)


def first_id_at(at: datetime) -> str:
    """Return the least id that a UUIDv7 made at `at` or later can have: a bound to compare ids with."""
    head = f"{int(at.timestamp() * 1000 + _ROUNDING_MS):012x}"
    return f"{head[:8]}-{head[8:]}-7000-8000-000000000000"

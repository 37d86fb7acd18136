"""Replays of destinations: what was owed in a span of time is sent again, or for the first time."""

from datetime import datetime
from enum import StrEnum

from pipeline.model.states import DeliveryState
from pipeline.records import record


class ReplayState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class ReplayOf(StrEnum):
    """What a replay is of: deliveries that stand there, or messages that have none to the destination."""

    DEAD = "dead"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    RETRYING = "retrying"
    """Waiting for their next attempt, while the destination takes deliveries."""
    HELD = "held"
    """Open, while the destination takes none."""
    MISSING = "missing"
    """Of a job or a batch whose function names the destination now, and did not when it ended."""


HELD_STATES = frozenset({DeliveryState.PENDING, DeliveryState.RETRYING})
"""How what is held is stored."""


@record(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay of one destination, and how far it got."""

    id: str
    destination: str
    since: datetime
    until: datetime
    of: frozenset[ReplayOf]
    rate: str
    """So many deliveries at the most, as the configuration writes rates: `50/s`."""
    is_renewing: bool
    """Whether each delivery gets a new message id, so that its receiver takes it for another message."""
    state: ReplayState
    created_at: datetime
    cursor: str = ""
    """What was looked at last; empty at the beginning. What it means, only the service that works it off knows."""
    total: int | None = None
    """How many there were when it began, or more, where others came to stand so before their turn; None until they are
    counted. Never less than `done` and `skipped` together."""
    done: int = 0
    skipped: int = 0
    """So many of `total` had moved on by themselves; once it is completed, all of these that it did not open."""
    ended_at: datetime | None = None


@record(frozen=True, slots=True, kw_only=True)
class Reopening:
    """A delivery to be sent again, with the message id that it gets, if that is another one."""

    delivery_id: str
    new_message_id: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Addition:
    """A delivery of a message that was stored without it."""

    id: str
    message_id: str
    subject_id: str
    recipient: str
    new_message_id: str | None = None

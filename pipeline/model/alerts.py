"""Alerts: what an operator is told of a destination that fails, and of its recovery."""

from datetime import datetime

from pipeline.model.states import MessageType
from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be told of a destination, not told yet."""

    type: MessageType
    because: str
    """Why, in a sentence."""
    delivery_id: str | None = None
    """The delivery that brought it about; None where no single one did."""


@record(frozen=True, slots=True, kw_only=True)
class AlertDue:
    """What is to be told of a destination, as the store holds it."""

    destination: str
    kind: str
    """The destination's kind."""
    wanted: Wanted
    wanted_at: datetime
    """When it came about first, since it was last told."""
    told_at: datetime | None
    """When the same was last told of this destination; None where it never was."""


@record(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """What an alert owes to the outside."""

    id: str
    subject_id: str
    """The alert's own id."""
    type: MessageType
    destination: str
    kind: str
    because: str
    delivery_id: str | None
    at: datetime
    """When what it tells of came about."""
    ended_at: datetime
    """When it came to be owed: later than `at` where the same was told of the destination not long before."""

    @property
    def traceparent(self) -> None:
        """Return None: it belongs to nobody's trace."""
        return

"""What is remembered of a destination between its attempts, and over restarts."""

from datetime import datetime

from pipeline.model.alerts import Wanted
from pipeline.model.deliveries import LastError
from pipeline.model.states import DeliveryReason
from pipeline.records import record


@record(frozen=True, slots=True, kw_only=True)
class Health:
    """How a destination fares. One that does well has the defaults: it has failed in nothing since its last success."""

    failures: int = 0
    """Attempts that failed in a row."""
    deliveries: tuple[str, ...] = ()
    """The deliveries that these were of, by id: the first ones, as many as its breaker asks for."""
    failing_since: datetime | None = None
    """When the first of these failed."""
    last: DeliveryReason | None = None
    """The class of the last of these."""
    last_status: int | None = None
    """What the last of these was answered with; None where it was not answered."""
    opened_at: datetime | None = None
    """Since when its breaker is open; None where it is closed."""
    probe_at: datetime | None = None
    """Until when an open breaker lets nothing through; from then on it lets through one attempt at a time."""
    probes: int = 0
    """Attempts that failed since the breaker opened."""
    disabled_at: datetime | None = None
    """Since when it takes nothing, until an operator resumes it; None where it does."""
    disabled_because: str = ""
    """Why, in a sentence."""

    @property
    def last_said(self) -> str:
        """Return what became of the last failure, in words."""
        return f"{self.last}" if self.last_status is None else f"{self.last} (answered {self.last_status})"


HEALTHY = Health()


@record(frozen=True, slots=True, kw_only=True)
class Holding:
    """Which destinations take deliveries: by it what is stored as open is shown as held."""

    configured: frozenset[str]
    """All that there are: what is owed to any other is held, whatever is stored of it."""
    stopped: frozenset[str]
    """Those that are paused or disabled: what waits for them is held, and what is being sent ends as it began."""
    unbegun: frozenset[str] = frozenset()
    """Deliveries that are stored as being sent and still wait for a slot: they are shown as pending."""


@record(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """The last attempt at a destination that failed."""

    at: datetime
    """When it had failed."""
    delivery_id: str
    error: LastError


@record(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """What is stored of a destination between restarts."""

    name: str
    kind: str
    last_success_at: datetime | None
    paused_at: datetime | None = None
    """Since when it is paused by an operator; None where it is not."""
    not_before: datetime | None = None
    """Until when its receiver wants nothing, as it said last."""
    last_failure: LastFailure | None = None
    health: Health = HEALTHY


@record(frozen=True, slots=True, kw_only=True)
class DestinationNote:
    """What an attempt tells of its destination; None where it tells nothing new."""

    succeeded_at: datetime | None = None
    not_before: datetime | None = None
    failure: LastFailure | None = None
    health: Health | None = None
    wanted: tuple[Wanted, ...] = ()
    """What an operator is to be told of it."""

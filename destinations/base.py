"""What a destination is: something that brings one message to one receiver, once, and says what happened.

The service decides about retry, records, masks and wakes up; a destination never sees the store, and asks no clock.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pipeline.config.settings import RetrySpec
from pipeline.model import AnyMessage, BatchState, JobState, MessageType, Outcome
from pipeline.records import record

KEPT_BODY = 16 * 1024
KEPT_HEADERS = 8 * 1024
"""The most that is kept of an answer's headers: those that were heeded, then the first that fit."""
PATIENCE_S = 60.0
"""The shortest wait after a timeout, and after a 429 that does not say how long."""


async def _no_event() -> bytes:
    return b"null"


def _plain(link: str) -> str:
    return link


@record(frozen=True, slots=True, kw_only=True)
class Sending:
    """One attempt, as the service hands it over."""

    delivery_id: str
    destination: str
    recipient: str
    attempt: int
    """From 1; counts within the delivery."""
    max_attempts: int
    message: AnyMessage
    base_url: str
    """Where the service's own pages are reached, without a trailing slash: links in bodies start with it."""
    started_at: datetime
    """When the attempt began: signatures carry it, and dates in answers are held against it."""
    link: Callable[[str], str] = _plain
    """Makes of the link to a job, to its result, or to a batch's results one that the receiver can follow: where keys
    are asked for, it signs it.
    """
    read_event: Callable[[], Awaitable[bytes]] = _no_event
    """Reads the event that the job's function was called with, as JSON; for the few bodies that repeat it."""


class CommonSettings(Protocol):
    """The settings that the service itself reads from every kind of destination.

    Three more it reads from those that have them, as a webhook has them: `rate`, attempts in a second as a float or
    None; `breaker`, a BreakerSpec or None; `disable_after`, seconds as a float or None. No kind has one of the five
    names for anything else: `destinations.common` refuses such settings.
    """

    @property
    def concurrency(self) -> int:
        """Attempts in flight at once."""
        ...

    @property
    def retry(self) -> RetrySpec:
        """The policy of retries."""
        ...


class Destination(Protocol):
    """One configured destination. Made by its kind, opened once, used by many tasks at a time, closed once."""

    async def open(self) -> None:
        """Acquire what sending needs, such as a connection pool."""
        ...

    async def close(self) -> None:
        """Give it back; attempts under way may fail."""
        ...

    async def send(self, sending: Sending) -> Outcome:
        """Try once and say what happened; raises nothing for what receivers and networks do. Cancelled at shutdown.

        Once: the receiver is asked one time, and gets the message one time. The outcome is no larger than what is kept
        of it (`destinations.plugins.outcomes`), and disables nothing that may take the next message.
        """
        ...

    def recipients(self) -> tuple[str, ...]:
        """Return the recipients that each get a delivery of their own; `("",)` for a kind that has none."""
        ...


End = JobState | BatchState | MessageType
"""How a job or a batch that a message tells of has ended; or the type of an alert, which stands for all of them."""
Concern = tuple[str, str]
"""The option that it speaks of, and a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """What receivers verify with, such as `whpk_...`."""

    text: str
    until: datetime | None
    """When it signs no more; None: that is not settled."""


def _no_public_keys(_settings: Any) -> Iterable[PublicKey]:
    return ()


def _no_concerns(_settings: Any, _ends: frozenset[End]) -> Iterable[Concern]:
    return ()


@record(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of destination, as the registry holds it."""

    kind: str
    """The `type` in the YAML."""
    schema: Mapping[str, Any]
    """The JSON Schema of its settings, without `type`; may refer to `#/$defs/` of the configuration's schema."""
    settings: Callable[[Mapping[str, Any]], CommonSettings]
    """Turns validated, unit-free options into the kind's frozen settings; ValueError for what no schema can say."""
    make: Callable[[str, Any], Destination]
    """Makes one destination from its name and settings; does no I/O."""
    warn: Callable[[Any, frozenset[End]], Iterable[Concern]] = _no_concerns
    """Tells what of settings is allowed, and cannot work, given the ends that messages tell of there."""
    has_receiver: bool = True
    """Whether somebody receives who can fail as a whole: only then do failures open a breaker, and disable it."""
    refusal_by: Callable[[Any], Callable[[str], str | None]] | None = None
    """Given settings, what says why a URL may not be called that a caller of a function names; None: callers name none.

    Each delivery then has the URL as its recipient, and its query is shown to nobody. One such destination at the most
    is configured. Not for plug-ins.
    """
    public_keys: Callable[[Any], Iterable[PublicKey]] = _no_public_keys
    """Tells the public keys that belong to settings, for all the world to see."""

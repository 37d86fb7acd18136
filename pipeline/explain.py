"""Why a delivery is where it is, and what happens next, or why a destination does not take all: in plain sentences,
from what is stored of it, how its destination stands, and the clock. Pure.
"""

from datetime import datetime
from typing import assert_never

from pipeline.config.units import plain
from pipeline.model import HEALTHY, Attempt, Delivery, DeliveryReason, DeliveryState, Health
from pipeline.records import record
from pipeline.shapes import rfc3339


@record(frozen=True, slots=True, kw_only=True)
class Turn:
    """The turn of a delivery where only so many a second are sent to its destination."""

    at: datetime
    """About when it comes, if nobody comes between."""
    ahead: int
    """So many go before it."""
    rate: float
    """A second."""


@record(frozen=True, slots=True, kw_only=True)
class Situation:
    """How the destination of a delivery stands."""

    held: DeliveryReason | None = None
    """Why it takes nothing, None where it does."""
    paused_at: datetime | None = None
    deferred_until: datetime | None = None
    """Until when it is left alone, as it asked."""
    probe_at: datetime | None = None
    """Until when it is left alone, as its breaker is open."""
    is_probing: bool = False
    """Whether it is tried with one attempt at a time: its breaker is half-open."""
    health: Health = HEALTHY
    in_flight: int = 0
    due: int = 0
    concurrency: int | None = None
    shared: int | None = None
    """How many slots all destinations share, where it is one of these that is lacking."""
    turn: Turn | None = None
    """Of the delivery that is asked about."""

    @property
    def not_before(self) -> datetime | None:
        """Return until when it is left alone, for whatever reason."""
        return max(filter(None, (self.deferred_until, self.probe_at)), default=None)


def reason_of(there: Situation) -> tuple[str | None, datetime | None]:
    """Return why a destination takes nothing, or only single attempts, and since when; None for what nobody knows, and
    where it takes all.
    """
    match there.held:
        case DeliveryReason.UNCONFIGURED:
            return "it is not in the configuration any more", None
        case DeliveryReason.DISABLED:
            return there.health.disabled_because or None, there.health.disabled_at
        case None if there.health.opened_at is None:
            return None, None
        case None:
            return _failures(there.health), there.health.opened_at
        case _:
            return "an operator paused it", there.paused_at


def _failures(health: Health) -> str:
    if health.failures == 1:
        return f"an attempt at it failed with {health.last_said}"
    return f"{health.failures} attempts at it in a row failed, the last one with {health.last_said}"


def next_attempt_at(delivery: Delivery, there: Situation) -> datetime | None:
    """Return when a delivery is sent next, None where nothing leads there by itself, or it is being sent."""
    if there.held or delivery.state not in (DeliveryState.PENDING, DeliveryState.RETRYING):
        return None
    turn_at = delivery.due_at if there.turn is None else there.turn.at
    return max(delivery.due_at, there.not_before or delivery.due_at, turn_at)


def explain(delivery: Delivery, last: Attempt | None, there: Situation, now: datetime) -> str:
    """Return why a delivery is where it is; `last` is its last attempt, if it has any."""
    return " ".join(filter(None, (_place(delivery, last, there, now), _lost(delivery))))


def _lost(delivery: Delivery) -> str:
    """Return what is to be known of sendings that nobody saw the end of; empty where there were none."""
    if not delivery.lost or delivery.reason is DeliveryReason.LOST:
        return ""
    if delivery.lost == 1:
        return "One sending was lost with its service, and spent no attempt: it may have arrived all the same."
    return f"{delivery.lost} sendings were lost with their service, and spent no attempt: they may have arrived."


def _place(delivery: Delivery, last: Attempt | None, there: Situation, now: datetime) -> str:
    if there.held is not None and delivery.state.is_open:
        return " ".join(filter(None, (_failure(delivery, last), _held(delivery, there))))
    again = f"`sendoff replay {delivery.id}` sends it again{_once_taken(delivery.destination, there)}."
    match delivery.state:
        case DeliveryState.PENDING | DeliveryState.RETRYING:
            return " ".join(filter(None, (_failure(delivery, last), _waiting(delivery, last, there, now))))
        case DeliveryState.SENDING:
            return f"Attempt {delivery.attempt} of {delivery.max_attempts} is under way."
        case DeliveryState.DELIVERED:
            at = "" if delivery.delivered_at is None else f" at {rfc3339(delivery.delivered_at)}"
            return f"Delivered{at}, by attempt {delivery.attempt} of {delivery.max_attempts}."
        case DeliveryState.DEAD:
            return f"{_failure(delivery, last)} It is dead: {_death(delivery, last)}. {again}".strip()
        case DeliveryState.SKIPPED:
            return f"It was never sent: the filter (`when`) for {delivery.destination} did not match the result."
        case DeliveryState.CANCELLED:
            return f"It was cancelled by an operator, and is not sent. {again}"
        case DeliveryState.HELD:
            raise ValueError("held is shown, and never stored")
        case never:
            assert_never(never)


def _once_taken(name: str, there: Situation) -> str:
    match there.held:
        case None:
            return ""
        case DeliveryReason.UNCONFIGURED:
            return f" once {name} is in the configuration again"
        case why:
            return f" once {name}, which is {why}, takes deliveries again (`sendoff destinations resume {name}`)"


def _failure(delivery: Delivery, last: Attempt | None) -> str:
    """Return how the last attempt failed, empty where there was none since the last replay, or it went well."""
    if last is None or last.outcome.reason is None or delivery.attempt <= delivery.spent:
        return ""
    said = f": {last.outcome.message}" if last.outcome.message else ""
    return f"Attempt {last.number} of {delivery.max_attempts} failed with {last.outcome.reason}{said}."


def _held(delivery: Delivery, there: Situation) -> str:
    name, health = delivery.destination, there.health
    match there.held:
        case DeliveryReason.UNCONFIGURED:
            gone = f"It is held: {name} is not in the configuration any more."
            return f"{gone} It goes on when {name} is back; `sendoff cancel {delivery.id}` gives it up."
        case DeliveryReason.DISABLED:
            why = f": {health.disabled_because}" if health.disabled_because else ""
            said = f"disabled{_since(health.disabled_at)}{why}"
        case _:
            said = f"paused by an operator{_since(there.paused_at)}"
    due = "" if delivery.state is DeliveryState.PENDING else f", not before {rfc3339(delivery.due_at)}"
    return f"It is held: {name} is {said}. `sendoff destinations resume {name}` has it sent{due}."


def _since(at: datetime | None) -> str:
    return "" if at is None else f" since {rfc3339(at)}"


def _waiting(delivery: Delivery, last: Attempt | None, there: Situation, now: datetime) -> str:
    due = next_attempt_at(delivery, there) or delivery.due_at
    number = f"Attempt {delivery.attempt + 1} of {delivery.max_attempts}"
    if there.not_before is not None and there.not_before > max(now, delivery.due_at):
        return f"{number} is made at {_about(due, there)}: {_left_alone(delivery.destination, there)}."
    if there.turn is not None and due > max(now, delivery.due_at):
        return f"{number} is made at {_about(due, there)}: {_ahead(there.turn)}{_and_slot(there)}."
    if due > now:
        why = f": {last.why.partition('; ')[2] or last.why}" if last is not None and last.next_attempt_at else ""
        return f"{number} is made at {rfc3339(due)}{why}."
    return f"{number} is due now, and waits for {_turn(delivery.destination, there)}."


def _about(due: datetime, there: Situation) -> str:
    """Return a moment, and whether it is one among others."""
    if there.turn is not None and due == there.turn.at != there.not_before:
        return f"about {rfc3339(due)}"
    # Where its breaker is open, it is another delivery that may be the one that is tried then.
    is_probe = there.probe_at is not None and there.probe_at == there.not_before
    return f"{rfc3339(due)}, or after that" if is_probe else rfc3339(due)


def _left_alone(name: str, there: Situation) -> str:
    if there.probe_at is not None and there.probe_at == there.not_before:
        return (
            f"the breaker of {name} is open{_since(there.health.opened_at)}, as {_failures(there.health)}; one attempt "
            "is made then, and when it succeeds all go on"
        )
    if there.turn is not None and there.not_before is not None and there.turn.at > there.not_before:
        until = rfc3339(there.not_before)
        return f"{name} asked to be left alone until {until}, which costs no attempt; then {_ahead(there.turn)}"
    return f"{name} asked to be left alone until then, which costs no attempt"


def _ahead(turn: Turn) -> str:
    if not turn.ahead:
        return f"its turn is the next, at {_pace(turn.rate)}"
    return f"{turn.ahead} {'goes' if turn.ahead == 1 else 'go'} before it, at {_pace(turn.rate)}"


def _pace(rate: float) -> str:
    """Return a rate in the unit that makes it a number of at least one."""
    for seconds, unit in ((1, "a second"), (60, "a minute")):
        if rate * seconds >= 1:
            return f"{plain(rate * seconds, 4)} {unit}"
    return f"{plain(rate * 3600, 4)} an hour"


def _and_slot(there: Situation) -> str:
    """Return what to add where the slots may keep it for longer."""
    if there.concurrency is None or there.in_flight < there.concurrency:
        return ""
    return f", and later where none of the {there.concurrency} slots is free then"


def _turn(name: str, there: Situation) -> str:
    if there.is_probing:
        return f"its turn: {name} failed, and is tried with one attempt at a time; when one succeeds all go on"
    size = "" if there.concurrency is None else f" of {there.concurrency}"
    if there.shared is not None and there.in_flight < (there.concurrency or 0):
        size = f" of the {there.shared} that all destinations share"
    return f"a free slot{size}: {_are(there.in_flight)} being sent to {name}, {_are(there.due)} due, the oldest first"


def _are(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'}"


def _death(delivery: Delivery, last: Attempt | None) -> str:
    if delivery.reason is DeliveryReason.LOST:
        return "its sendings were lost with the service, again and again"
    if last is None or last.next_attempt_at is not None or delivery.attempt <= delivery.spent:
        return f"the breaker of {delivery.destination} was open, and it waited for longer than `max_age` allows"
    return last.why

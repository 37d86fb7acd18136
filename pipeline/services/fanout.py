"""Fanning out: which message a job's end owes, and to which destinations. Pure but for ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from referencing import Registry

from destinations.base import Destination
from pipeline.config.settings import FunctionsSettings, Target
from pipeline.ids import IdSource
from pipeline.lifecycle import JobStep
from pipeline.model import DeliveryDraft, Job, Lease, Message, MessageType, Result, RunOutcome
from pipeline.retry import Policy
from pipeline.store.deliveries import Ending
from pipeline.values import value_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One configured destination, ready to be sent to."""

    name: str
    kind: str
    destination: Destination
    concurrency: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    """One destination of a function's messages; without filters everything goes there, else what one of them
    matches.
    """

    route: Route
    recipients: tuple[str, ...]
    filters: tuple[Draft202012Validator, ...]

    def is_filtered(self, result: Result | None) -> bool:
        """Tell whether no filter matches the result's value. What cannot be evaluated is sent."""
        if not self.filters or result is None:
            return False
        try:
            value = orjson.loads(value_json(result))
            return not any(each.is_valid(value) for each in self.filters)
        except Exception:  # a schema is the operator's: whatever is wrong with it must not swallow a message
            return False


class FanOut:
    """Makes the ending of a job: its message, and a delivery for each destination and recipient."""

    def __init__(self, functions: FunctionsSettings, routes: Mapping[str, Route], ids: IdSource) -> None:
        self._functions = functions
        self._routes = routes
        self._ids = ids
        self._goals: dict[tuple[str, MessageType], tuple[_Goal, ...]] = {}

    def ending(
        self, job: Job, step: JobStep, outcome: RunOutcome | None, now: datetime, offer: Callable[[str], Lease | None]
    ) -> Ending | None:
        """Return what the job's end owes, or None where the step ends nothing; `outcome` is None where no run ended it.

        `offer` returns a lease for a delivery that could be sent to a destination at once, or None.
        """
        if step.message is None:
            return None
        drafts = self._drafts(job.function, step.message, outcome.result if outcome else None)
        leases = tuple(None if draft.is_filtered else offer(draft.destination) for draft in drafts)
        return Ending(message=self._message(job, step, outcome, now), deliveries=drafts, leases=leases)

    def _drafts(self, function: str, message: MessageType, result: Result | None) -> tuple[DeliveryDraft, ...]:
        if (goals := self._goals.get((function, message))) is None:
            goals = self._goals[function, message] = self._goals_of(function, message)
        return tuple(
            [
                DeliveryDraft(
                    id=self._ids.new(),
                    destination=goal.route.name,
                    kind=goal.route.kind,
                    max_attempts=goal.route.policy.max_attempts,
                    recipient=recipient,
                    is_filtered=goal.is_filtered(result),
                )
                for goal in goals
                for recipient in goal.recipients
            ]
        )

    def _goals_of(self, function: str, message: MessageType) -> tuple[_Goal, ...]:
        """Return where a function's messages of this type go; a destination named twice gets one delivery."""
        settings = self._functions.of(function)
        targets = settings.on_success if message is MessageType.JOB_SUCCEEDED else settings.on_failure
        names = dict.fromkeys(target.to for target in targets)
        return tuple(self._goal(name, [target for target in targets if target.to == name]) for name in names)

    def _goal(self, name: str, targets: list[Target]) -> _Goal:
        route = self._routes[name]
        filters = () if any(target.when is None for target in targets) else tuple(map(_validator, targets))
        return _Goal(route=route, recipients=route.destination.recipients(), filters=filters)

    def _message(self, job: Job, step: JobStep, outcome: RunOutcome | None, now: datetime) -> Message:
        assert step.message is not None
        return Message(
            id=self._ids.message_id(),
            type=step.message,
            job_id=job.id,
            function=job.function,
            state=step.state,
            reason=step.reason,
            attempt=step.attempt,
            created_at=job.created_at,
            started_at=(outcome.started_at if outcome else None) or job.started_at,
            ended_at=now,
            tags=job.tags,
            batch_id=job.batch_id,
            parent_id=job.parent_id,
            depth=job.depth,
            error=step.error,
            result=outcome.result if outcome else None,
            traceparent=job.origin.traceparent,
        )


def _validator(target: Target) -> Draft202012Validator:
    nothing: Registry[Any] = Registry()  # so that no `$ref` is ever fetched (finding 20)
    return Draft202012Validator(dict(target.when or {}), registry=nothing)

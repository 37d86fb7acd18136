"""Fanning out: which message a job's end owes, and to which destinations. Pure but for ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from destinations.base import Destination
from pipeline.config.settings import FunctionsSettings
from pipeline.ids import IdSource
from pipeline.lifecycle import JobStep
from pipeline.model import DeliveryDraft, Job, Lease, Message, MessageType, RunOutcome
from pipeline.retry import Policy
from pipeline.store.deliveries import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One configured destination, ready to be sent to."""

    name: str
    kind: str
    destination: Destination
    concurrency: int
    policy: Policy


class FanOut:
    """Makes the ending of a job: its message, and a delivery for each destination and recipient."""

    def __init__(self, functions: FunctionsSettings, routes: Mapping[str, Route], ids: IdSource) -> None:
        self._functions = functions
        self._routes = routes
        self._ids = ids
        self._targets: dict[tuple[str, MessageType], tuple[tuple[Route, str], ...]] = {}

    def ending(
        self, job: Job, step: JobStep, outcome: RunOutcome, now: datetime, offer: Callable[[str], Lease | None]
    ) -> Ending | None:
        """Return what the job's end owes, or None where the step ends nothing.

        `offer` returns a lease for a delivery that could be sent to a destination at once, or None.
        """
        if step.message is None:
            return None
        drafts = self._drafts(job.function, step.message)
        leases = tuple(offer(draft.destination) for draft in drafts)
        return Ending(message=self._message(job, step, outcome, now), deliveries=drafts, leases=leases)

    def _drafts(self, function: str, message: MessageType) -> tuple[DeliveryDraft, ...]:
        if (targets := self._targets.get((function, message))) is None:
            targets = self._targets[function, message] = self._targets_of(function, message)
        return tuple(
            [
                DeliveryDraft(
                    id=self._ids.new(),
                    destination=route.name,
                    kind=route.kind,
                    max_attempts=route.policy.max_attempts,
                    recipient=recipient,
                )
                for route, recipient in targets
            ]
        )

    def _targets_of(self, function: str, message: MessageType) -> tuple[tuple[Route, str], ...]:
        """Return where a function's messages of this type go; a destination named twice gets one delivery."""
        settings = self._functions.of(function)
        named = settings.on_success if message is MessageType.JOB_SUCCEEDED else settings.on_failure
        routes = [self._routes[name] for name in dict.fromkeys(target.to for target in named)]
        return tuple((route, recipient) for route in routes for recipient in route.destination.recipients())

    def _message(self, job: Job, step: JobStep, outcome: RunOutcome, now: datetime) -> Message:
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
            started_at=outcome.started_at or job.started_at,
            ended_at=now,
            tags=job.tags,
            batch_id=job.batch_id,
            parent_id=job.parent_id,
            depth=job.depth,
            error=step.error,
            result=outcome.result,
        )

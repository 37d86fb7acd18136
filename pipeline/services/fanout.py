"""Fanning out: which message a job's end owes, and to which destinations. Pure but for ids."""

from collections.abc import Callable
from datetime import datetime

from pipeline.ids import IdSource
from pipeline.lifecycle import JobStep
from pipeline.model import DeliveryDraft, Job, Lease, Message, Result, RunOutcome
from pipeline.services.routes import Goal, Goals
from pipeline.store.deliveries import Ending


class FanOut:
    """Makes the ending of a job: its message, and a delivery for each destination and recipient."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids

    def ending(
        self,
        goals: Goals,
        job: Job,
        step: JobStep,
        outcome: RunOutcome | None,
        now: datetime,
        offer: Callable[[str], Lease | None],
    ) -> Ending | None:
        """Return what the job's end owes, or None where the step ends nothing; `outcome` is None where no run ended it.

        `offer` returns a lease for a delivery that could be sent to a destination at once, or None.
        """
        if step.message is None:
            return None
        result = outcome.result if outcome else None
        drafts = self._drafts(goals.get((job.function, step.message), ()), result)
        leases = tuple(None if draft.is_filtered else offer(draft.destination) for draft in drafts)
        return Ending(message=self._message(job, step, outcome, now), deliveries=drafts, leases=leases)

    def _drafts(self, goals: tuple[Goal, ...], result: Result | None) -> tuple[DeliveryDraft, ...]:
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

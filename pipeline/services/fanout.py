"""Fanning out: which message the end of a job or a batch, or an alert, owes, and to which destinations. Pure but for
ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import orjson

from pipeline.config.settings import RetrySpec
from pipeline.ids import IdSource
from pipeline.lifecycle import JobStep
from pipeline.model import (
    AlertMessage,
    Batch,
    BatchLine,
    BatchMessage,
    DeliveryDraft,
    Job,
    Lease,
    Message,
    MessageType,
    Origin,
    RunOutcome,
    message_of,
)
from pipeline.retry import policy
from pipeline.services.routes import Goal, Goals, Route
from pipeline.store.transactions.deliveries import Ending
from pipeline.values import value_json

_CALLBACK = "callback"
_POLICY = policy(RetrySpec(name="default"))


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
        *,
        callback: Route | None,
    ) -> Ending | None:
        """Return what the job's end owes, or None where the step ends nothing; `outcome` is None where no run ended it.

        `callback` is the destination for URLs that callers named, None where there is none any more. `offer` returns a
        lease for a delivery that could be sent to a destination at once, or None.
        """
        if step.message is None:
            return None
        result = outcome.result if outcome else None
        value_of = None if result is None else partial(value_json, result)
        drafts = self._drafts(goals.get((job.function, step.message), ()), value_of)
        if job.origin.callback is not None:
            drafts += (self._called_back(job.origin, job.origin.callback, callback),)
        return Ending(message=self._message(job, step, outcome, now), deliveries=drafts, leases=_leases(drafts, offer))

    def ending_of_batch(
        self,
        goals: Goals,
        batch: Batch,
        failures: Sequence[BatchLine],
        offer: Callable[[str], Lease | None],
        *,
        callback: Route | None,
    ) -> Ending:
        """Return what the end of a batch owes; `batch` is as it ended, and filters see its counts."""
        origin, batch = batch, replace(batch, callback=None, callback_to=None)  # nobody else's business
        assert batch.ended_at is not None
        drafts = self._drafts(
            goals.get((batch.function, MessageType.BATCH_COMPLETED), ()), partial(orjson.dumps, batch)
        )
        if origin.callback is not None:
            drafts += (self._called_back(origin, origin.callback, callback),)
        message = BatchMessage(
            id=self._ids.message_id(), batch=batch, ended_at=batch.ended_at, failures=tuple(failures)
        )
        return Ending(message=message, deliveries=drafts, leases=_leases(drafts, offer))

    def ending_of_alert(
        self, goals: Sequence[Goal], message: AlertMessage, offer: Callable[[str], Lease | None]
    ) -> Ending:
        """Return what an alert owes: its deliveries to all goals."""
        drafts = self._drafts(tuple(goals), None)
        return Ending(message=message, deliveries=drafts, leases=_leases(drafts, offer))

    def _drafts(self, goals: tuple[Goal, ...], value_of: Callable[[], bytes] | None) -> tuple[DeliveryDraft, ...]:
        return tuple(
            [
                DeliveryDraft(
                    id=self._ids.new(),
                    destination=goal.route.name,
                    kind=goal.route.kind,
                    max_attempts=goal.route.policy.max_attempts,
                    recipient=recipient,
                    is_filtered=goal.is_filtered(value_of),
                )
                for goal in goals
                for recipient in goal.recipients
            ]
        )

    def _called_back(self, origin: Origin | Batch, url: str, route: Route | None) -> DeliveryDraft:
        """Return the delivery to a caller's own URL. Where no destination is there for that, it is held until one of
        the name is there again that was when the URL was accepted.
        """
        return DeliveryDraft(
            id=self._ids.new(),
            destination=route.name if route else origin.callback_to or _CALLBACK,
            kind=route.kind if route else _CALLBACK,
            max_attempts=(route.policy if route else _POLICY).max_attempts,
            recipient=url,
        )

    def _message(self, job: Job, step: JobStep, outcome: RunOutcome | None, now: datetime) -> Message:
        assert step.message is not None
        return message_of(
            job,
            step,
            message_id=self._ids.message_id(),
            message_type=step.message,
            started_at=(outcome.started_at if outcome else None) or job.started_at,
            ended_at=now,
            result=outcome.result if outcome else None,
        )


def _leases(drafts: Sequence[DeliveryDraft], offer: Callable[[str], Lease | None]) -> tuple[Lease | None, ...]:
    return tuple(None if draft.is_filtered else offer(draft.destination) for draft in drafts)

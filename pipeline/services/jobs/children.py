"""Children: what a delivery to a function becomes, or why it cannot become a job now."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from pipeline.clock import Clock
from pipeline.counts import count
from pipeline.functions import wire
from pipeline.ids import IdSource
from pipeline.model import ChildDraft, DeliveryReason, JobDraft, Origin, Outcome, Verdict
from pipeline.services.jobs.worker import Worker
from pipeline.services.moments import NextMoment
from pipeline.services.setup import Current
from pipeline.store import Store
from pipeline.store.transactions.ownership import Subject
from pipeline.telemetry import Telemetry

DEEPEST = 16
"""So many steps a chain of functions may have; the job that a caller made is step 0."""
_LARGE = 256 * 1024


class Children:
    """Makes the job that a function destination asks for."""

    def __init__(
        self,
        *,
        store: Store,
        worker: Callable[[], Worker],
        next_expiry: NextMoment,
        clock: Clock,
        ids: IdSource,
        current: Current,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._worker = worker
        self._next_expiry = next_expiry
        self._clock = clock
        self._ids = ids
        self._current = current
        self._telemetry = telemetry

    def begin(self, draft: JobDraft) -> None:
        """Note that a job which `settle` gave is stored and waits."""
        self._telemetry.emit("job.accepted", job_id=draft.id, function=draft.function, jobs=1)
        self._worker().lanes.add({draft.function: 1})
        if draft.max_age_s is not None:
            self._next_expiry.expect(self._clock.now() + timedelta(seconds=draft.max_age_s))

    async def settle(self, outcome: Outcome) -> tuple[Outcome, JobDraft | None]:
        """Return the outcome with the job to be stored with it; a refused one is an outcome without a job.

        Raises UnknownFunctionError where the function has gone.
        """
        child = outcome.child
        if child is None:
            return outcome, None
        if child.depth > DEEPEST:
            return _refused(Verdict.PERMANENT, DeliveryReason.TOO_DEEP, f"a chain has at most {DEEPEST} steps"), None
        setup = self._current.setup
        setup.catalog.get(child.function)
        backlog = self._worker().lanes[child.function].backlog
        if backlog >= setup.config.service.queue_limit:
            message = f"the queue of {child.function} holds {count(backlog, 'job')}, as many as it may"
            return replace(_refused(Verdict.TEMPORARY, DeliveryReason.HTTP_ERROR, message), status=429), None
        draft = await self._draft(child)
        location = (("location", f"/v1/jobs/{draft.id}"), ("x-job-id", draft.id))
        return replace(outcome, status=202, headers=location), draft

    async def _draft(self, child: ChildDraft) -> JobDraft:
        job_id = self._ids.new()
        is_large = len(child.body) > _LARGE
        event = await asyncio.to_thread(self._event, child, job_id) if is_large else self._event(child, job_id)
        owner = await self._owner(child) if self._current.setup.config.keys else None
        origin = Origin(owner=owner, traceparent=child.traceparent)
        return self._worker().draft(
            job_id, child.function, event, parent_id=child.parent_id, depth=child.depth, origin=origin
        )

    async def _owner(self, child: ChildDraft) -> str | None:
        """Return whose parent it has: whoever may see the one may see the other."""
        subject = Subject.BATCH if child.parent_id is None else Subject.JOB
        parent = await self._store.find_owner(subject, child.subject_id)
        return parent.owner if parent else None

    def _event(self, child: ChildDraft, job_id: str) -> bytes:
        path = f"/.netlify/functions/{child.function}"
        trace = [] if child.traceparent is None else [("traceparent", child.traceparent)]
        return wire.event_json(
            method="POST",
            path=path,
            raw_query="",
            raw_url=self._current.setup.base_url + path,
            headers=[("content-type", child.content_type), ("x-sendoff-parent", child.subject_id), *trace],
            body=child.body,
            request_id=job_id,
            client_ip="127.0.0.1",
            body_limit=sys.maxsize,
        )


def _refused(verdict: Verdict, reason: DeliveryReason, message: str) -> Outcome:
    return Outcome(verdict=verdict, reason=reason, message=message)

"""The half of the machine of jobs in which services act: jobs are stored, claimed, run, lost, and end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from pipeline.config.settings import RetrySpec
from pipeline.lifecycle import after_expiry, after_run
from pipeline.model import (
    ClaimedJob,
    DeliveryDraft,
    Job,
    JobReason,
    JobState,
    MessageType,
    Progress,
    RunOutcome,
    RunState,
)
from pipeline.retry import policy
from pipeline.store.transactions.deliveries import Ending
from pipeline.store.transactions.idempotency import IdempotencyKey
from tests.property.machine import MOST, OWNERS, StoreMachine, of_the, some_of_the
from tests.property.model_of_jobs import ModelOfJobs
from tests.property.model_of_usage import MEMORY_MB
from tests.support import samples
from tests.support.samples import ERROR, RESULT

FUNCTIONS = ("extract", "sum")
RULE = policy(RetrySpec(waits=(60.0, 120.0)))
OWED = ("a@example.com", "b@example.com")
"""To each of these every end of a job of `extract` is told; those of `sum` owe nothing."""

functions = st.sampled_from(FUNCTIONS)
owners = st.sampled_from(OWNERS)
KEEPS_IT = "has it in hand"
OUTCOMES = {
    "succeeded": {"state": RunState.SUCCEEDED, "result": RESULT},
    "failed": {"state": RunState.FAILED, "reason": JobReason.ERROR, "error": ERROR},
    "rejected": {"state": RunState.FAILED, "reason": JobReason.REJECTED, "error": ERROR, "is_final": True},
    "returned": {"state": RunState.RETURNED},
    "cancelled": {"state": RunState.CANCELLED},
    "lost": {"state": RunState.LOST},
}
outcomes = st.sampled_from(["succeeded", "succeeded", "failed", *OUTCOMES])
facts = st.fixed_dictionaries(
    {"priority": st.sampled_from([0, 5]), "max_age_s": st.sampled_from([None, None, 30.0, 600.0])},
    optional={"delay_s": st.sampled_from([20.0, 100.0])},
)
new_jobs = st.lists(st.tuples(functions, st.none() | st.none() | owners, facts), min_size=2, max_size=5)
"""Of each its function, who would run it at once, and what else is asked for."""


def running(machine: "RunningMachine") -> list[str]:
    return sorted(machine.model.leases)


def outrun(machine: "RunningMachine") -> list[ClaimedJob]:
    """Return what somebody ran once under a lease that is held no more: where it runs anew, for somebody else."""
    return [each for each in machine.stale if each.job.id in machine.model.leases] or machine.stale


def waited_for(machine: "RunningMachine") -> list[str]:
    """Return the functions that have jobs in their queue."""
    return sorted({each.function for each in machine.model.queued()})


def has(*states: JobState) -> Callable[["RunningMachine"], bool]:
    """Return the precondition that a job stands in one of these states."""
    return lambda machine: any(each.state in states for each in machine.model.jobs.values())


class RunningMachine(StoreMachine):
    """Jobs are stored and run."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelOfJobs()
        self.stale: list[ClaimedJob] = []
        """What somebody was running, and is not any more."""

    def compare(self) -> None:
        """Compare all that the store shows with the model."""

    # Storing

    @initialize(jobs=new_jobs)
    def some_are_stored_already(self, jobs: list[tuple[str, str | None, dict[str, Any]]]) -> None:
        self.jobs_are_stored(jobs)

    @rule(jobs=new_jobs)
    def jobs_are_stored(self, jobs: list[tuple[str, str | None, dict[str, Any]]]) -> None:
        for function, owner, asked in jobs:
            lease = None if owner is None or "delay_s" in asked else self.lease(owner)
            draft = self.draft(function, **asked)
            stored = self.do(self.store.insert_job(draft, now=self.now, lease=lease))
            assert stored == self.model.insert(draft, self.now, lease)

    def draft(self, function: str, delay_s: float | None = None, **asked: Any) -> Any:
        """Return a job that is asked for."""
        job_id = self.new("job")
        run_at = None if delay_s is None else self.later(delay_s)
        return samples.draft(id=job_id, function=function, event=job_id.encode(), run_at=run_at, **asked)

    @rule(fingerprint=st.sampled_from([b"1", b"2"]), function=functions)
    def a_job_is_stored_with_a_key(self, fingerprint: bytes, function: str) -> None:
        key = IdempotencyKey(owner="", scope="job", key="order-7", fingerprint=fingerprint)
        draft = self.draft(function)
        assert self.do(self.store.insert_job_once(draft, key, now=self.now)) == self.model.insert_once(
            draft, key, self.now
        )
        for now in (self.now, self.later(86_399), self.later(86_400)):
            assert self.do(self.store.find_earlier(key, now=now)) == self.model.find_earlier(key, now)

    # Running

    @precondition(waited_for)
    @rule(
        function=of_the(waited_for),
        most=st.integers(1, 4),
        by=st.sampled_from([OWNERS[:1], OWNERS]),
        after_s=st.sampled_from([0, 0, 40]),
    )
    def some_are_claimed(self, function: str, most: int, by: tuple[str, ...], after_s: int = 0) -> None:
        """By one owner, or by two at once; perhaps after a while in which nobody looked for what has expired."""
        self.now = self.later(after_s)
        leases = [self.lease(owner) for owner in by]
        claims = [
            lambda lease=lease: self.store.claim_jobs(function, most, now=self.now, lease=lease) for lease in leases
        ]
        assert self.do_at_once(claims) == [self.model.claim(function, most, self.now, lease) for lease in leases]

    @precondition(running)
    @rule(ids=some_of_the(running), said=outcomes)
    def runs_end(self, ids: list[str], said: str) -> None:
        ended = [(claimed, *self.end_of(claimed, said)) for claimed in map(self.model.running, ids)]
        writes = [
            lambda claimed=claimed, step=step, outcome=outcome, ending=ending: self.store.finish_run(
                claimed.job, claimed.token, step, outcome, now=self.now, ending=ending, memory_mb=MEMORY_MB
            )
            for claimed, step, outcome, ending in ended
        ]
        assert self.do_at_once(writes) == [
            self.model.finish(claimed, step, outcome, self.now, ending) for claimed, step, outcome, ending in ended
        ]
        self.stale += [claimed for claimed, *_ in ended]

    def end_of(self, claimed: ClaimedJob, said: str) -> tuple[Any, RunOutcome, Ending | None]:
        """Return what follows from a run's end, and what that owes."""
        job = claimed.job
        began = {} if said in {"returned", "lost"} else {"started_at": job.started_at, "ended_at": self.now}
        outcome = RunOutcome(**OUTCOMES[said], **began)
        step = after_run(job, outcome, RULE, self.now)
        return step, outcome, None if step.message is None else self.ending(job, step.message)

    def ending(self, job: Job, message: MessageType) -> Ending:
        """Return what a job's end owes."""
        recipients = OWED if job.function == "extract" else ()
        drafts = [
            DeliveryDraft(
                id=self.new("delivery"), destination="archive", kind="email", max_attempts=3, recipient=recipient
            )
            for recipient in recipients
        ]
        return samples.ending(job, *drafts, id=self.new("msg_"), type=message, ended_at=self.now)

    @rule(turns=st.lists(st.tuples(functions, st.integers(1, 3), outcomes | st.just(KEEPS_IT)), min_size=1, max_size=5))
    def a_service_takes_turns(self, turns: list[tuple[str, int, str]]) -> None:
        """Each claims what waits for a function, and goes on with that in one way."""
        for function, most, said in turns:
            if function in waited_for(self):
                before = set(self.model.leases)
                self.some_are_claimed(function, most, OWNERS[:1])
                self.compare()
                mine = sorted(set(self.model.leases) - before)
                if mine and said != KEEPS_IT:
                    self.runs_end(mine, said)

    @precondition(lambda self: self.stale)
    @rule(claimed=of_the(outrun), said=outcomes)
    def a_stale_lease_changes_nothing(self, claimed: ClaimedJob, said: str) -> None:
        step, outcome, ending = self.end_of(claimed, said)
        before = self.rig.dump()
        late = self.store.finish_run(claimed.job, claimed.token, step, outcome, now=self.now, ending=ending)
        assert self.do(late) is None
        self.do(self.store.note_progress([(claimed.job.id, claimed.token, Progress(done=99.0))]))
        assert self.rig.dump() == before

    @precondition(running)
    @rule(ids=some_of_the(running), done=st.integers(1, 9), owner=owners)
    def runs_say_how_far_they_are_and_leases_are_renewed(self, ids: list[str], done: int, owner: str) -> None:
        said = [(self.model.running(job_id), Progress(done=float(done))) for job_id in ids]
        self.do(self.store.note_progress([(claimed.job.id, claimed.token, far) for claimed, far in said]))
        for each in said:
            self.model.note_progress(*each)
        expires_at = self.now + timedelta(seconds=30)
        assert self.do(self.store.renew_leases(owner, expires_at=expires_at)) == self.model.renew(owner, expires_at)

    # Time

    def look_after_what_is_open(self) -> None:
        """Promote what is due, rescue what was lost, and end what was not started in time."""
        assert self.do(self.store.promote_due_jobs(MOST, now=self.now)) == self.model.promote(self.now)
        self.compare()
        expired = self.do(self.store.expired_jobs(now=self.now))
        assert set(expired) == self.model.expired(self.now)
        self.runs_end([job.id for job, _ in expired], "lost")
        self.compare()
        overdue, later = self.do(self.store.overdue_jobs(MOST, now=self.now))
        assert (set(overdue), later) == self.model.overdue(self.now)
        for job in overdue:
            self.expire(job)

    def expire(self, job: Job) -> None:
        """End a job if it was not started in time: once, however often that is tried."""
        for _ in range(2):
            step, ending = after_expiry(job), self.ending(job, MessageType.JOB_FAILED)
            ended = self.do(self.store.expire_job(job, step, now=self.now, ending=ending))
            assert ended == self.model.expire(job.id, step, self.now, ending)

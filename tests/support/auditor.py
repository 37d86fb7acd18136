"""The auditor: holds what a service says against what the outside saw, once all faults are over and all is settled.

Each check is one invariant and yields a sentence for every breach; `audit` yields those of all. No check trusts a
counter that it can count itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.books import Books, Facts
from tests.support.history import History, Look
from tests.support.hooks import SECRET, Hook
from tests.support.serving import FINAL

WAL_CAP = 64 * 1024 * 1024
_SPARE_THREADS = 32
"""The most threads that the loop's own executor may have grown by; it never gives one back."""

Owed = Mapping[tuple[str, str], frozenset[str]]
"""The destinations that a function's messages go to, by function and type of message; none where it is not named."""


def audit(history: History, books: Books, owed: Owed) -> list[str]:
    """Return every breach of every invariant."""
    return [
        *every_202_is_final(history, books),
        *nothing_was_not_submitted(history, books),
        *one_final_state(history, books),
        *one_delivery_each(books, owed),
        *all_delivered_was_received(history, books),
        *all_signatures_hold(history, books),
        *no_more_starts_than_tries(history, books),
        *counters_are_counts(books),
        *nothing_is_left_over(books),
    ]


def every_202_is_final(history: History, books: Books) -> Iterator[str]:
    """I1: what got a 202 is in a final state."""
    for job_id in history.accepted:
        state = books.jobs[job_id]["state"] if job_id in books.jobs else "gone"
        if state not in FINAL:
            yield f"I1: job {job_id} got a 202 and is {state}"


def nothing_was_not_submitted(history: History, books: Books) -> Iterator[str]:
    """I2: there is no job that nobody submitted; one without a 202 must have a request whose answer was lost."""
    accepted = history.accepted
    ref_of = {step.job_id: step.ref for step in history.steps}
    unanswered = Counter(post.ref for post in history.posts if post.status is None)
    for job_id in books.jobs.keys() - accepted.keys():
        ref = ref_of.get(job_id, "")
        unanswered[ref] -= 1
        if unanswered[ref] < 0:
            yield f"I2: job {job_id} was never submitted"
    for job_id in ref_of.keys() - books.jobs.keys():
        yield f"I2: job {job_id} ran and is not there"
    for job_id in {hook.job_id for hook in history.hooks} - books.jobs.keys():
        yield f"I2: a webhook tells of job {job_id}, which is not there"


def one_final_state(history: History, books: Books) -> Iterator[str]:
    """I3: a job has one final state a round and does not leave it; its runs are numbered, and one at most succeeded."""
    looks: defaultdict[str, list[Look]] = defaultdict(list)
    for look in history.looks:
        looks[look.job_id].append(look)
    for job_id, job in books.jobs.items():
        last = Look(job_id=job_id, round=job["round"], run=job["run"], state=job["state"])
        yield from _moves([*looks[job_id], last])
        yield from _runs(job, books.runs.get(job_id, []))


def _moves(looks: list[Look]) -> Iterator[str]:
    for before, after in pairwise(looks):
        if (after.round, after.run) < (before.round, before.run):
            yield f"I3: job {after.job_id} went back from run {before.run} to run {after.run}"
        if after.round == before.round and before.state in FINAL and after.state != before.state:
            yield f"I3: job {after.job_id} was {before.state} and then {after.state}"


def _runs(job: Facts, runs: list[Facts]) -> Iterator[str]:
    if [run["run"] for run in runs] != list(range(1, job["run"] + 1)):
        yield f"I3: job {job['id']} has runs {[run['run'] for run in runs]}, but says {job['run']}"
    succeeded = Counter(run["round"] for run in runs if run["state"] == "succeeded")
    if any(count > 1 for count in succeeded.values()):
        yield f"I3: job {job['id']} succeeded more than once"
    if (job["state"] == "succeeded") != bool(succeeded[job["round"]]):
        yield f"I3: job {job['id']} is {job['state']}, with {succeeded[job['round']]} runs that succeeded"
    if job["state"] in FINAL and any(run["state"] == "running" for run in runs):
        yield f"I3: job {job['id']} is {job['state']}, with a run that is running"


def one_delivery_each(books: Books, owed: Owed) -> Iterator[str]:
    """I4: a job's end owes one message, which has one delivery for each destination; attempts have no gaps."""
    for job_id, job in books.jobs.items():
        deliveries = books.deliveries.get(job_id, [])
        ends = job["round"] if job["state"] in ("succeeded", "failed") else job["round"] - 1
        if (count := books.stored.messages.get(job_id, 0)) != ends:
            yield f"I4: job {job_id} has {count} messages for {ends} ends"
        wanted = owed.get((job["function"], f"job.{job['state']}"), frozenset())
        last = [delivery for delivery in deliveries if delivery["type"] == f"job.{job['state']}"]
        if missing := wanted - {delivery["destination"] for delivery in last}:
            yield f"I4: job {job_id} has no delivery to {', '.join(sorted(missing))}"
        keys = Counter((one["message_id"], one["destination"], one["recipient"]) for one in deliveries)
        yield from (f"I4: job {job_id} has {count} deliveries {key}" for key, count in keys.items() if count > 1)
        for delivery in deliveries:
            yield from _attempts(delivery)


def _attempts(delivery: Facts) -> Iterator[str]:
    numbers = [attempt["number"] for attempt in delivery["attempts"]]
    if numbers != list(range(1, delivery["attempt"] + 1)):
        yield f"I4: delivery {delivery['id']} has attempts {numbers}, but says {delivery['attempt']}"
    if delivery["state"] == "delivered" and not _answered(delivery["attempts"][-1:]):
        yield f"I4: delivery {delivery['id']} is delivered without an answer that says so"


def _answered(attempts: list[Facts]) -> int:
    return sum(attempt["status"] is not None and 200 <= attempt["status"] <= 299 for attempt in attempts)


def all_delivered_was_received(history: History, books: Books) -> Iterator[str]:
    """I5: what is delivered was received, and once more only for a sending whose answer the service did not live to
    record.
    """
    came: defaultdict[tuple[str, str], list[Hook]] = defaultdict(list)
    for hook in history.hooks:
        came[hook.id, hook.headers.get("x-sendoff-destination", "")].append(hook)
    for delivery in (one for deliveries in books.deliveries.values() for one in deliveries):
        hooks = came.pop((delivery["message_id"], delivery["destination"]), [])
        if delivery["state"] == "delivered" and not any(_is_taken(hook) for hook in hooks):
            yield f"I5: delivery {delivery['id']} of job {delivery['job_id']} is delivered and never came"
        most = len(delivery["attempts"]) + books.stored.lost_sendings.get(delivery["id"], 0)
        if len(hooks) > most:
            yield f"I5: delivery {delivery['id']} came {len(hooks)} times, with {most} attempts and losses"
        if any(hook.job_id != delivery["job_id"] for hook in hooks):
            yield f"I5: delivery {delivery['id']} came in the name of another job"
    for (message_id, destination), hooks in came.items():
        yield f"I5: {len(hooks)} webhooks {message_id!r} came to {destination!r}, where nothing was to be delivered"


def _is_taken(hook: Hook) -> bool:
    return hook.status is not None and 200 <= hook.status <= 299


def all_signatures_hold(history: History, books: Books) -> Iterator[str]:
    """I6: every webhook is signed over the bytes that came and tells of the job that it names; each end has one id."""
    verifier = Webhook(SECRET)
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for hook in history.hooks:
        try:
            message = verifier.verify(hook.body, hook.headers)
        except WebhookVerificationError as error:
            yield f"I6: webhook {hook.id!r} of job {hook.job_id} is not signed: {error}"
            continue
        if message["data"]["job"]["id"] != hook.job_id:
            yield f"I6: webhook {hook.id!r} names job {hook.job_id} and tells of {message['data']['job']['id']}"
        ids[hook.job_id].add(hook.id)
    for job_id, some in ids.items():
        if job_id in books.jobs and len(some) > books.jobs[job_id]["round"]:
            yield f"I6: job {job_id} has ids {sorted(some)} for one message"


def no_more_starts_than_tries(history: History, books: Books) -> Iterator[str]:
    """I7: a job started no more often than it may, besides the runs that were lost or returned; success has an end."""
    starts = Counter(step.job_id for step in history.steps if step.what == "start")
    ends = Counter(step.job_id for step in history.steps if step.what == "end")
    for job_id, job in books.jobs.items():
        free = sum(run["state"] in ("lost", "returned") for run in books.runs.get(job_id, []))
        most = job["max_attempts"] * job["round"] + free
        if starts[job_id] > most:
            yield f"I7: job {job_id} started {starts[job_id]} times, {most} were allowed"
        if job["state"] == "succeeded" and not ends[job_id]:
            yield f"I7: job {job_id} succeeded and its function never came to its end"


def counters_are_counts(books: Books) -> Iterator[str]:
    """I8: what a job says of its deliveries is what they are."""
    for job_id, job in books.jobs.items():
        counted = Counter(delivery["state"] for delivery in books.deliveries.get(job_id, []))
        said = {state: count for state, count in job["deliveries"].items() if count}
        if said != dict(counted):
            yield f"I8: job {job_id} says {said} of its deliveries, which are {dict(counted)}"


def nothing_is_left_over(books: Books) -> Iterator[str]:
    """I9: the database is whole, its log bounded, and the service holds no more than it did."""
    if books.stored.integrity != "ok":
        yield f"I9: integrity_check says {books.stored.integrity}"
    if books.stored.wal_bytes > WAL_CAP:
        yield f"I9: the write-ahead log has {books.stored.wal_bytes} bytes"
    before, after = books.before, books.after
    if before is None or after is None:
        return
    if after.descriptors > before.descriptors:
        yield f"I9: {after.descriptors} descriptors, {before.descriptors} before"
    if after.threads > before.threads + _SPARE_THREADS:
        yield f"I9: {after.threads} threads, {before.threads} before"
    if after.strays > before.strays:
        yield f"I9: {after.strays} stray processes, {before.strays} before"

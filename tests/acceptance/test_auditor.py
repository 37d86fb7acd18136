"""The auditor itself: it finds nothing in a history that is right, and each bug that is planted in one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tests.support.auditor import WAL_CAP, audit
from tests.support.books import Books, Footprint, Stored
from tests.support.history import History, Look, Post, Step
from tests.support.hooks import SECRET, Hook

JOB, OTHER = "01960000-0000-7000-8000-00000000000a", "01960000-0000-7000-8000-00000000000b"
MESSAGE, DELIVERY = "msg_01960000-0000-7000-8000-00000000000c", "01960000-0000-7000-8000-00000000000d"
OWED = {("work-background", "job.succeeded"): frozenset({"hook"})}
STATES = ("pending", "sending", "retrying", "held", "delivered", "dead", "skipped", "cancelled")


def hook(job_id: str = JOB, message_id: str = MESSAGE, status: int = 200) -> Hook:
    body = f'{{"type":"job.succeeded","data":{{"job":{{"id":"{job_id}"}}}}}}'
    now = datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, now, body),
        "x-sendoff-job-id": job_id,
        "x-sendoff-destination": "hook",
    }
    return Hook(path="/hook", headers=headers, body=body.encode(), status=status)


def step(what: str, job_id: str = JOB) -> Step:
    return Step(job_id=job_id, ref="r1", what=what, at=1.0, pid=2)


def world() -> tuple[History, Books]:
    """Return one job that was lost once, succeeded at its second run, and whose webhook came at once."""
    history = History(
        posts=[Post(ref="r1", status=None), Post(ref="r1", status=202, job_id=JOB)],
        steps=[step("start"), step("start"), step("end")],
        hooks=[hook()],
        looks=[Look(job_id=JOB, round=1, run=1, state="running"), Look(job_id=JOB, round=1, run=2, state="succeeded")],
    )
    job = {"id": JOB, "function": "work-background", "state": "succeeded", "run": 2, "round": 1, "max_attempts": 1}
    delivery = {
        "id": DELIVERY,
        "message_id": MESSAGE,
        "type": "job.succeeded",
        "job_id": JOB,
        "destination": "hook",
        "recipient": "",
        "state": "delivered",
        "attempt": 1,
        "attempts": [{"number": 1, "status": 200}],
    }
    runs = [{"run": 1, "round": 1, "state": "lost"}, {"run": 2, "round": 1, "state": "succeeded"}]
    books = Books(
        jobs={JOB: job | {"deliveries": dict.fromkeys(STATES, 0) | {"delivered": 1}}},
        runs={JOB: runs},
        deliveries={JOB: [delivery]},
        stored=Stored(messages={JOB: 1}),
        before=Footprint(descriptors=20, threads=4, strays=0),
        after=Footprint(descriptors=20, threads=8, strays=0),
    )
    return history, books


def test_a_history_that_is_right_has_no_breach() -> None:
    assert audit(*world(), OWED) == []


def test_a_sending_that_was_lost_with_its_service_may_come_twice() -> None:
    history, books = world()
    history.hooks.append(hook())
    books.stored = replace(books.stored, lost_sendings={DELIVERY: 1})
    assert audit(history, books, OWED) == []


def _job(books: Books) -> dict[str, object]:
    return books.jobs[JOB]


def _delivery(books: Books) -> dict[str, object]:
    return books.deliveries[JOB][0]


def lost_202(_: History, books: Books) -> None:
    for table in (books.jobs, books.runs, books.deliveries):
        table.clear()


def not_final(_: History, books: Books) -> None:
    _job(books)["state"] = "running"


def never_submitted(history: History, _: Books) -> None:
    history.posts.clear()


def doubled_by_a_retried_post(history: History, books: Books) -> None:
    history.steps += [step("start", job_id) for job_id in (OTHER, "third")]
    for job_id in (OTHER, "third"):
        books.jobs[job_id] = _job(books) | {"id": job_id}


def ran_and_is_gone(history: History, _: Books) -> None:
    history.steps.append(step("start", OTHER))


def webhook_of_no_job(history: History, _: Books) -> None:
    history.hooks.append(hook(OTHER, "msg_other"))


def two_final_states(history: History, _: Books) -> None:
    history.looks.append(Look(job_id=JOB, round=1, run=2, state="failed"))


def final_and_running_again(history: History, _: Books) -> None:
    history.looks.append(Look(job_id=JOB, round=1, run=2, state="running"))


def run_number_used_again(history: History, _: Books) -> None:
    history.looks.insert(0, Look(job_id=JOB, round=1, run=3, state="running"))


def run_without_a_row(_: History, books: Books) -> None:
    del books.runs[JOB][0]


def two_runs_succeeded(_: History, books: Books) -> None:
    books.runs[JOB][0]["state"] = "succeeded"


def final_with_a_run_running(_: History, books: Books) -> None:
    books.runs[JOB][0]["state"] = "running"


def failed_with_a_success(_: History, books: Books) -> None:
    _job(books)["state"] = "failed"


def two_messages_for_one_end(_: History, books: Books) -> None:
    books.stored = replace(books.stored, messages={JOB: 2})


def message_without_its_delivery(history: History, books: Books) -> None:
    books.deliveries[JOB].clear()
    history.hooks.clear()


def two_deliveries_for_one_message(_: History, books: Books) -> None:
    books.deliveries[JOB].append(_delivery(books) | {"id": OTHER})


def attempt_not_recorded(_: History, books: Books) -> None:
    _delivery(books)["attempt"] = 2


def delivered_on_an_error(_: History, books: Books) -> None:
    _delivery(books)["attempts"] = [{"number": 1, "status": 500}]


def lost_webhook(history: History, _: Books) -> None:
    history.hooks.clear()


def refused_and_called_delivered(history: History, _: Books) -> None:
    history.hooks[0].status = 500


def doubled_webhook(history: History, _: Books) -> None:
    history.hooks.append(hook())


def second_id_for_one_message(history: History, books: Books) -> None:
    history.hooks.append(hook(message_id="msg_second"))
    books.deliveries[JOB].append(_delivery(books) | {"id": OTHER, "message_id": "msg_second"})


def unsigned_webhook(history: History, _: Books) -> None:
    del history.hooks[0].headers["webhook-signature"]


def changed_on_the_way(history: History, _: Books) -> None:
    history.hooks[0].body += b" "


def started_too_often(history: History, _: Books) -> None:
    history.steps.append(step("start"))


def succeeded_without_an_end(history: History, _: Books) -> None:
    del history.steps[-1]


def counter_that_is_wrong(_: History, books: Books) -> None:
    _job(books)["deliveries"] = {"pending": 1, "delivered": 1}


def corrupt_database(_: History, books: Books) -> None:
    books.stored = replace(books.stored, integrity="row 3 missing from index job_queued")


def endless_log(_: History, books: Books) -> None:
    books.stored = replace(books.stored, wal_bytes=WAL_CAP + 1)


def leaked_descriptor(_: History, books: Books) -> None:
    books.after = Footprint(descriptors=21, threads=4, strays=0)


def leaked_process(_: History, books: Books) -> None:
    books.after = Footprint(descriptors=20, threads=4, strays=1)


PLANTED: tuple[tuple[Callable[[History, Books], None], str], ...] = (
    (lost_202, "I1"),
    (not_final, "I1"),
    (never_submitted, "I2"),
    (doubled_by_a_retried_post, "I2"),
    (ran_and_is_gone, "I2"),
    (webhook_of_no_job, "I2"),
    (two_final_states, "I3"),
    (final_and_running_again, "I3"),
    (run_number_used_again, "I3"),
    (run_without_a_row, "I3"),
    (two_runs_succeeded, "I3"),
    (final_with_a_run_running, "I3"),
    (failed_with_a_success, "I3"),
    (two_messages_for_one_end, "I4"),
    (message_without_its_delivery, "I4"),
    (two_deliveries_for_one_message, "I4"),
    (attempt_not_recorded, "I4"),
    (delivered_on_an_error, "I4"),
    (lost_webhook, "I5"),
    (refused_and_called_delivered, "I5"),
    (doubled_webhook, "I5"),
    (second_id_for_one_message, "I6"),
    (unsigned_webhook, "I6"),
    (changed_on_the_way, "I6"),
    (started_too_often, "I7"),
    (succeeded_without_an_end, "I7"),
    (counter_that_is_wrong, "I8"),
    (corrupt_database, "I9"),
    (endless_log, "I9"),
    (leaked_descriptor, "I9"),
    (leaked_process, "I9"),
)


@pytest.mark.parametrize(("plant", "invariant"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_found(plant: Callable[[History, Books], None], invariant: str) -> None:
    history, books = world()
    plant(history, books)
    assert invariant in {breach[:2] for breach in audit(history, books, OWED)}

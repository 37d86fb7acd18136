"""What happens next to a job, and when, in sentences; and the commands that change it. Pure: `now` comes in."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line

_HELD = {
    "paused": "is paused: `sendoff destinations resume {destination}` sends it",
    "disabled": "is disabled: `sendoff destinations resume {destination}` sends it",
    "unconfigured": "is not configured any more: put it back to have it sent, or give it up: `sendoff cancel {id}`",
}
_ENDED = {
    "succeeded": "The job is done; its result is kept.",
    "expired": "The job was not started in time, and does not run any more.",
    "cancelled": "The job was cancelled, and does not run any more.",
}
_MOST = 5
_MARGIN = timedelta(seconds=1)


def next_steps(job: Any, deliveries: Sequence[Any], now: datetime, *, is_missing: bool = False) -> list[str]:
    """Return what will happen, what comes first before what comes later.

    `is_missing` says that the service does not have the job's function any more.
    """
    steps = [_of_job(job, now, is_missing=is_missing)]
    if job["state"] not in words.FINAL:
        return steps
    owed = [delivery for delivery in deliveries if delivery["state"] in (*words.OPEN_DELIVERIES, "held")]
    owed.sort(key=lambda delivery: (delivery["state"] == "held", delivery["next_attempt_at"] or ""))
    steps += [_of_delivery(delivery, now) for delivery in owed[:_MOST]]
    if len(owed) > _MOST:
        steps.append(f"... and {words.count(len(owed) - _MOST, 'more delivery', 'more deliveries')}.")
    dead = [each for each in deliveries if each["state"] == "dead"]
    if not owed:
        steps.append(_of_the_end(job))
    elif dead:
        steps.append(f"{words.count(_count_of(job, dead), 'delivery is', 'deliveries are')} dead.")
    if dead:
        steps.append(_again(dead, _count_of(job, dead)))
    return steps


def _of_job(job: Any, now: datetime, *, is_missing: bool) -> str:
    attempt, most = job["attempt"], job["max_attempts"]
    match job["state"]:
        case _ if is_missing and job["state"] not in words.FINAL:
            return f"The service has no function {job['function']} any more: the job waits until it is there again."
        case "scheduled":
            return f"It starts {_at(job['run_at'], now)}."
        case "queued":
            which = "its first attempt" if attempt == 0 else f"attempt {attempt + 1} of {most}"
            return f"{which.capitalize()} begins as soon as a worker of {job['function']} is free."
        case "running":
            after = f"if it fails, attempt {attempt + 1} follows" if attempt < most else "it is the last one"
            return f"Attempt {attempt} of {most} has run for {words.took(job['started_at'], None, now)}; {after}."
        case "retrying":
            last = ", the last one," if attempt + 1 == most else ""
            return f"Attempt {attempt + 1} of {most}{last} begins {_at(job['next_attempt_at'], now)}."
        case "failed":
            return f"The job failed for good after {words.count(attempt, 'attempt')}: it does not run again by itself."
        case state:
            return _ENDED[state]


def _of_delivery(delivery: Any, now: datetime) -> str:
    name = clean_line(f"{delivery['destination']} {delivery['recipient']}".strip())
    next_attempt = delivery["attempt"] + 1
    match delivery["state"]:
        case "held":
            why = _HELD.get(delivery["reason"], "takes nothing now").format_map(delivery)
            return f"The delivery to {name} is held: the destination {why}."
        case "sending":
            return f"Attempt {delivery['attempt']} of {delivery['max_attempts']} to {name} is under way."
        case "pending":
            attempt = f"Attempt {next_attempt} of {delivery['max_attempts']} to {name}"
            # A pending one of the future waits for its destination: it asked for that, its breaker is open, or only so
            # many go at a time.
            until = words.moment(delivery["next_attempt_at"])
            if until is None or (until - now).total_seconds() < 1:
                return f"{attempt} is due now."
            why = f"{clean_line(delivery['destination'])} is left alone until then, or takes only so many at a time"
            return f"{attempt} is made {words.when(until, now)}, or after that: {why}."
        case _:
            at = _at(delivery["next_attempt_at"], now)
            return f"Attempt {next_attempt} of {delivery['max_attempts']} to {name} is made {at}."


def _count_of(job: Any, dead: Sequence[Any]) -> int:
    # The job counts all of its deliveries, of which these may be some; they may also have died since it was looked at.
    return max(int(job["deliveries"]["dead"]), len(dead))


def _again(dead: Sequence[Any], number: int) -> str:
    one = f"`sendoff replay {dead[0]['id']}` sends"
    if number == 1:
        return f"{one} it again."
    oldest = min(datetime.fromisoformat(each["created_at"]) for each in dead)
    # Replays go by the moment within ids, which may be a little before that of the row.
    since = f"{(oldest - _MARGIN).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    names = sorted({clean_line(each["destination"]) for each in dead})
    name, of = (names[0], f"of {names[0]} since then") if len(names) == 1 else ("NAME", "of a destination since then")
    among = "" if len(names) == 1 else f" ({', '.join(names[:_MOST])}{' and others' if len(names) > _MOST else ''})"
    every = f"`sendoff destinations replay {name} --since {since}` sends all that is dead {of}, of other jobs, too"
    return f"{one} one of them again; {every}{among}."


def _of_the_end(job: Any) -> str:
    counts = job["deliveries"]
    if counts["dead"]:
        return f"{words.count(counts['dead'], 'delivery is', 'deliveries are')} dead: nothing more is sent by itself."
    if counts["delivered"]:
        return "Every delivery has arrived: nothing more happens."
    return "Nothing is owed to any destination: nothing more happens."


def _at(text: str | None, now: datetime) -> str:
    at = words.moment(text)
    return "soon" if at is None else words.when(at, now)


def commands(job: Any) -> Iterator[tuple[str, str]]:
    """Yield the commands that fit now, each with what it does."""
    job_id = job["id"]
    if job["state"] in words.FINAL:
        if job["state"] == "succeeded":
            yield f"sendoff result {job_id}", "prints what it returned"
        else:
            yield f"sendoff retry {job_id}", "has it run again, in a new round"
        yield f"sendoff replay {job_id}", "makes a new job of the same call"
    else:
        yield f"sendoff wait {job_id}", "follows it to its end"
        yield f"sendoff cancel {job_id}", "ends it"

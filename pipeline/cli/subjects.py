"""What an id may name, a job or a batch: to be found, acted on, told of. Ids do not say which they are."""

from typing import Any, Literal, NamedTuple

from rich.text import Text

from pipeline.cli.client import Client
from pipeline.cli.failures import RefusedError
from pipeline.cli.screen import console, words
from pipeline.cli.screen.batch_live import ended
from pipeline.cli.screen.clean import json_text
from pipeline.cli.screen.console import styled_state

Kind = Literal["job", "batch"]


class Subject(NamedTuple):
    """A job or a batch as the API shows it."""

    kind: Kind
    shown: Any


async def find(client: Client, subject_id: str) -> Subject:
    """Return what the id names; RefusedError where it is neither."""
    return await _either(client, "GET", subject_id, "", "")


async def act(client: Client, subject_id: str, *, job: str, batch: str | None) -> Subject:
    """Have the service do this with a job, or that with a batch; return what it answered."""
    return await _either(client, "POST", subject_id, f"/{job}", None if batch is None else f"/{batch}")


async def _either(client: Client, method: str, subject_id: str, of_job: str, of_batch: str | None) -> Subject:
    ask = client.get if method == "GET" else client.post
    try:
        return Subject("job", await ask(f"/v1/jobs/{subject_id}{of_job}"))
    except RefusedError as error:
        if error.status != 404 or of_batch is None:
            raise
        no_job = error
    try:
        return Subject("batch", await ask(f"/v1/batches/{subject_id}{of_batch}"))
    except RefusedError as error:
        if error.status != 404:
            raise
        # Where it is neither, what was said of the job is said: mostly that is what was meant.
        raise no_job from None


def tell(subject: Subject, *, is_json: bool, then: str = "") -> None:
    """Print what has become of it in a line, and on stderr what to do next; or the answer as JSON."""
    if is_json:
        print(json_text(subject.shown))
        return
    shown = subject.shown
    parts: list[str | Text] = [f"{subject.kind} {shown['id']}  {shown['function']}  ", styled_state(words.state(shown))]
    if subject.kind == "batch":
        parts.append(f"  {progress(shown)}")
    console.out().print(Text.assemble(*parts))
    if then:
        console.err().print(then)


def progress(batch: Any) -> str:
    """Return how far a batch is: `512 of 10,000 ended, 3 failed`."""
    counts = [f"{batch[state]:,} {state}" for state in ("failed", "cancelled", "expired") if batch[state]]
    return ", ".join([f"{ended(batch):,} of {words.count(batch['total'], 'job')} ended", *counts])

"""What an id may name, a job, a batch, a delivery or a replay, and beside ids the name of a destination: to be found,
acted on, told of. Ids do not say which they are.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rich.text import Text

from pipeline.cli.client import Client
from pipeline.cli.failures import RefusedError
from pipeline.cli.refusals import is_nothing, listed_by
from pipeline.cli.screen import console, words
from pipeline.cli.screen.batch_live import ended
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.console import styled_state

Kind = Literal["job", "batch", "delivery", "destination", "replay"]
_PLACES: dict[Kind, str] = {
    "job": "jobs",
    "batch": "batches",
    "delivery": "deliveries",
    "destination": "destinations",
    "replay": "replays",
}
_NOT_FOUND, _GONE = 404, 410


class Subject(NamedTuple):
    """What an id names as the API shows it."""

    kind: Kind
    shown: Any

    @property
    def path(self) -> str:
        """Return where the API has it."""
        name = self.shown["name"] if self.kind == "destination" else self.shown["id"]
        return f"/v1/{_PLACES[self.kind]}/{name}"


async def find(client: Client, subject_id: str) -> Subject:
    """Return the job or the batch that the id names; RefusedError where it is neither."""
    return await _first(client.get, subject_id, {"job": "", "batch": ""})


async def find_any(client: Client, subject_id: str) -> Subject:
    """Return whatever the id names, or the destination of this name; RefusedError where there is none."""
    return await _first(client.get, subject_id, dict.fromkeys(_PLACES, ""))


async def act(client: Client, subject_id: str, **verbs: str) -> Subject:
    """Have the service do what `verbs` say for each kind of subject that it may be; return what it answered."""
    return await _first(client.post, subject_id, {kind: f"/{verbs[kind]}" for kind in _PLACES if kind in verbs})


async def _first(ask: Callable[[str], Awaitable[Any]], subject_id: str, paths: Mapping[Kind, str]) -> Subject:
    refused: list[RefusedError] = []
    for kind, path in paths.items():
        try:
            return Subject(kind, await ask(f"/v1/{_PLACES[kind]}/{subject_id}{path}"))
        except RefusedError as error:
            # A 404 may also come from something else than the service, or from a wrong path before /v1.
            if error.status != _GONE and not is_nothing(error):
                raise
            refused.append(error)
    raise _neither(subject_id, list(paths), refused)


def _neither(subject_id: str, kinds: Sequence[Kind], refused: Sequence[RefusedError]) -> RefusedError:
    """Return what is to be said of an id that is nothing: of all that it might have been."""
    if len(refused) == 1:
        return refused[0]
    if any(error.status == _GONE for error in refused):
        return RefusedError(_GONE, f"nothing is left of {subject_id}: it is older than the retention")
    *most, last = kinds
    return RefusedError(_NOT_FOUND, f"there is no {', '.join(most)} or {last} {subject_id}", listed_by(kinds))


def tell(subject: Subject, *, is_json: bool, then: str = "") -> None:
    """Print what has become of it in a line, and on stderr what to do next; or the answer as JSON."""
    if is_json:
        print(json_text(subject.shown))
        return
    shown = subject.shown
    name = clean_line(shown["destination" if subject.kind in ("delivery", "replay") else "function"])
    parts: list[str | Text] = [f"{subject.kind} {shown['id']}  {name}  ", styled_state(words.state(shown))]
    if subject.kind == "batch":
        parts.append(f"  {progress(shown)}")
    console.out().print(Text.assemble(*parts))
    if then:
        console.err().print(then)


def progress(batch: Any) -> str:
    """Return how far a batch is: `512 of 10,000 ended, 3 failed`."""
    counts = [f"{batch[state]:,} {state}" for state in ("failed", "cancelled", "expired") if batch[state]]
    return ", ".join([f"{ended(batch):,} of {words.count(batch['total'], 'job')} ended", *counts])

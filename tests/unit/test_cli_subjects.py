"""What is said of an id that is nothing, and what is not mistaken for that."""

from typing import Any

import pytest

from pipeline.cli import subjects
from pipeline.cli.failures import RefusedError

FOUND = {"id": "1"}


class Asked:
    """Answers as a client does; what is not named is not there."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.paths: list[str] = []

    async def get(self, path: str) -> Any:
        self.paths.append(path)
        _, _, place, found = path.split("/")
        answer = self._answers.get(place, RefusedError(404, f"there is no {place.removesuffix('s')} {found}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


async def told(find: Any, **answers: Any) -> RefusedError:
    with pytest.raises(RefusedError) as raised:
        await find(Asked(**answers), "1")
    return raised.value


async def test_what_is_nothing_is_told_of_all_that_it_might_have_been() -> None:
    deliveries = RefusedError(404, "there is no delivery 1")
    batches = RefusedError(404, "there is no batch 1")
    every = await told(subjects.find_any, deliveries=deliveries, batches=batches)
    assert (every.status, str(every)) == (404, "there is no job, batch, delivery, destination or replay 1")
    assert every.advice.startswith("`sendoff jobs`, `sendoff batches`, ")
    two = await told(subjects.find, batches=batches)
    assert (str(two), two.advice) == (
        "there is no job or batch 1",
        "`sendoff jobs` and `sendoff batches` list what there is.",
    )


GONE = RefusedError(410, "delivery 1 is older than the retention")


async def test_an_old_id_is_looked_for_everywhere_before_it_is_said_to_be_gone() -> None:
    replay = await subjects.find_any(Asked(jobs=GONE, batches=GONE, deliveries=GONE, replays=FOUND), "1")  # type: ignore[arg-type]
    assert (replay.kind, replay.shown, replay.path) == ("replay", FOUND, "/v1/replays/1")
    nothing = await told(subjects.find, jobs=GONE, batches=GONE)
    assert (nothing.status, str(nothing)) == (410, "nothing is left of 1: it is older than the retention")


@pytest.mark.parametrize(
    "error",
    [
        RefusedError(404, "the service at http://here does not know this: nothing is at /v1/jobs/1"),
        RefusedError(404, "http://here answered 404 with text/html, which is not Sendoff's answer"),
        RefusedError(403, "the key lacks read"),
    ],
)
async def test_any_other_answer_is_told_as_it_is(error: RefusedError) -> None:
    assert await told(subjects.find_any, jobs=error, batches=FOUND) is error

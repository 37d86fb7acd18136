"""What the state machines share: a store over a real file, a clock that only rules turn, and the ways to leave a store.

A rule asks the store's verb and the model's, and compares the two answers; the invariants then compare all that the
store shows with all that the model holds.
"""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pipeline.model import Lease
from pipeline.store import Store
from pipeline.store.engine.backup import back_up
from tests.support.fake_clock import START
from tests.support.stores import Rig

T = TypeVar("T")

# Drawn anew on each machine, and always the same where CI=true is set (Hypothesis's own profile for it).
SETTINGS = settings(
    max_examples=50,
    stateful_step_count=50,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
OWNERS = ("one", "two")
"""Two services, as they follow each other on one file: each must leave alone what the other holds."""
LEASE = timedelta(seconds=30)
MOST = 1000
"""More than there ever are."""
MEMORY = Path("/dev/shm")
"""Real files whose commits wait for no disk: so many more steps in the same time."""


def of_the(pick: Callable[[Any], Sequence[T]]) -> st.SearchStrategy[T]:
    """Draw one of what a machine has at that moment; for rules whose precondition says that there are any."""
    return st.runner().flatmap(lambda machine: st.sampled_from(pick(machine)))


def some_of_the(pick: Callable[[Any], Sequence[T]]) -> st.SearchStrategy[list[T]]:
    """Draw a few, each once."""
    return st.runner().flatmap(lambda machine: st.lists(st.sampled_from(pick(machine)), min_size=1, unique=True))


def of_each_state(pick: Callable[[Any], Iterable[Any]]) -> st.SearchStrategy[str]:
    """Draw the id of a row, each state as likely as any other, however few rows stand there."""

    def draw(machine: Any) -> st.SearchStrategy[str]:
        ids: dict[str, list[str]] = {}
        for row in pick(machine):
            ids.setdefault(row.state, []).append(row.id)
        return st.sampled_from(sorted(ids)).flatmap(lambda state: st.sampled_from(ids[state]))

    return st.runner().flatmap(draw)


class StoreMachine(RuleBasedStateMachine):
    """A store that is asked one verb after another, or several at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._folder = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self._numbers = count(1)
        self._path = self._new_path()
        self._path.write_bytes(_without_rows())
        self.rig = self._opened()

    @property
    def store(self) -> Store:
        """The store that is open now."""
        return self.rig.store

    def do(self, verb: Awaitable[T]) -> T:
        """Return what a verb answers."""
        return self._runner.get_loop().run_until_complete(verb)

    def do_at_once(self, verbs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Return what verbs answer that are asked in one go, so that the store may commit them together."""

        async def ask() -> list[T]:
            return list(await asyncio.gather(*[verb() for verb in verbs]))

        return self.do(ask())

    def new(self, what: str) -> str:
        """Return an id, greater as text than all before of its kind."""
        return f"{what}{next(self._numbers):04}"

    def lease(self, owner: str) -> Lease:
        """Return a lease that begins now, under a token of its own."""
        return Lease(owner=owner, token=next(self._numbers), expires_at=self.now + LEASE)

    def later(self, seconds: float) -> datetime:
        """Return a moment after now."""
        return self.now + timedelta(seconds=seconds)

    # What happens to every store

    @rule(
        seconds=st.sampled_from([5, 25, 25, 130, 3_600, 86_400, 8 * 86_400]),
        is_looked_after=st.sampled_from([True, True, False]),
    )
    def time_passes(self, seconds: int, is_looked_after: bool) -> None:
        """With services that look after what was lost or has come due, or with nobody there."""
        self.now = self.later(seconds)
        if is_looked_after:
            self.look_after_what_is_open()

    def look_after_what_is_open(self) -> None:
        """Do what services do as time passes."""

    @rule(is_killed=st.booleans())
    def another_service_opens_the_store(self, is_killed: bool) -> None:
        """After the first has closed it, or as a kill left it: what was answered is on the disk."""
        if is_killed:
            path, self._path = self._path, self._new_path()
            for suffix in ("", "-wal"):
                if (left := path.with_name(path.name + suffix)).exists():
                    shutil.copy(left, self._path.with_name(self._path.name + suffix))
        self.do(self.store.close())
        self.rig = self._opened()

    def teardown(self) -> None:
        """Leave nothing behind; where all went well, first see that nothing is stuck."""
        try:
            if sys.exc_info()[0] is None:
                self.see_that_nothing_is_stuck()
        finally:
            self.do(self.store.close())
            self._runner.close()
            self._folder.cleanup()

    def see_that_nothing_is_stuck(self) -> None:
        """Let time go on, and the services do what they do."""

    def _new_path(self) -> Path:
        return Path(self._folder.name) / f"{self.new('store')}.db"

    def _opened(self) -> Rig:
        async def open_it() -> Rig:
            return Rig(self._path)

        return self.do(open_it())


@cache
def _without_rows() -> bytes:
    """Return a database without rows: to make one for each example would take most of the time."""

    async def make(path: Path) -> None:
        await Rig(path).store.close()

    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        made, copy = Path(folder) / "made.db", Path(folder) / "copy.db"
        runner.run(make(made))
        back_up(made, copy)
        return copy.read_bytes()

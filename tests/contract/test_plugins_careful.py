"""What a plug-in does wrong at run time: it is told, it ends in time, and nothing else waits for it."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from destinations.base import Destination, Kind, Sending
from destinations.plugins import apart, careful
from destinations.plugins.apart import BrokenOffError
from pipeline.config.settings import RetrySpec
from pipeline.model import ChildDraft, DeliveryReason, Outcome, Verdict
from tests.support.webhooks import sending

DELIVERED = Outcome(verdict=Verdict.DELIVERED)
Send = Callable[[Sending], Awaitable[Any]]


@dataclass(frozen=True)
class Settings:
    concurrency: int = 2
    timeout: float = 5.0
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(waits=()))


class Box:
    """A destination that does what a test says."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.threads: list[str] = []

    async def open(self) -> None:
        self.threads.append(threading.current_thread().name)

    async def close(self) -> None:
        self.threads.append(threading.current_thread().name)

    def recipients(self) -> tuple[str, ...]:
        return ("",)


def wrapped(inner: Any, settings: Any = None) -> Destination:
    kind = Kind(kind="box", schema={}, settings=lambda _: settings, make=lambda *_: inner)
    return careful.careful(kind, "box-destination 1.0").make("here", settings or Settings())


@contextlib.asynccontextmanager
async def opened(send: Send, settings: Any = None) -> AsyncIterator[Destination]:
    destination = wrapped(Box(send), settings)
    await destination.open()
    try:
        yield destination
    finally:
        await destination.close()


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("destination-")}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(careful, "limit_s", lambda _: 0.2)
    monkeypatch.setattr(careful, "OPEN_S", 0.2)
    monkeypatch.setattr(careful, "CLOSE_S", 0.2)
    monkeypatch.setattr(apart, "GRACE_S", 0.2)


async def test_it_runs_in_a_thread_of_its_own_that_ends_with_it() -> None:
    inner = Box(lambda _: _says(DELIVERED))
    destination = wrapped(inner)
    await destination.open()
    assert threads() == {"destination-here"}
    assert await destination.send(sending()) == DELIVERED
    await destination.close()
    await destination.close()
    assert inner.threads == ["destination-here", "destination-here"]
    assert threads() == set()


async def _says(value: Any) -> Any:
    return value


FAILED = Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message="no")
CHILD = ChildDraft(function="f", body=b"", content_type="", subject_id="", parent_id=None, depth=1)
WRONG = {
    "an Outcome, got NoneType": None,
    "an Outcome, got bool": True,
    "whose verdict is a Verdict, got str": Outcome(verdict="delivered"),  # type: ignore[arg-type]
    "whose reason is a DeliveryReason or None, got str": replace(FAILED, reason="full"),  # type: ignore[arg-type]
    "whose reason says why it failed, got None": replace(FAILED, reason=None),
    "whose message is text, got NoneType": replace(FAILED, message=None),  # type: ignore[arg-type]
    "whose status is an integer or None, got str": replace(FAILED, status="200"),  # type: ignore[arg-type]
    "whose headers is a tuple of pairs of texts, got dict": replace(FAILED, headers={}),  # type: ignore[arg-type]
    "whose body is bytes, got str": replace(FAILED, body="ok"),  # type: ignore[arg-type]
    "whose remote_address is text or None, got int": replace(FAILED, remote_address=1),  # type: ignore[arg-type]
    "whose retry_after_s is seconds or None, got float": replace(FAILED, retry_after_s=float("nan")),
    "whose patience_s is seconds or None, got bool": replace(FAILED, patience_s=True),
    "whose pause_s is seconds or None, got int": replace(FAILED, pause_s=-1),
    "whose disables is text, got bool": replace(FAILED, disables=True),  # type: ignore[arg-type]
    "whose child is None, as only functions make jobs, got ChildDraft": Outcome(verdict=Verdict.DELIVERED, child=CHILD),
}


@pytest.mark.parametrize("fault", WRONG)
async def test_what_is_no_outcome_is_a_failed_attempt_that_says_so(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(lambda _: _says(WRONG[fault])) as destination:
        outcome = await destination.send(sending())
    assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.ABORTED)
    assert outcome.message == f"box-destination 1.0 answered wrongly: expected an Outcome {fault}".replace(
        "an Outcome an", "an"
    )
    assert "the destination here of the plug-in box-destination 1.0 answered wrongly" in caplog.text


async def test_an_outcome_is_kept_within_bounds() -> None:
    said = Outcome(
        verdict=Verdict.TEMPORARY,
        reason=DeliveryReason.ABORTED,
        message="\udcff" + "x" * 1000,
        status=2**40,
        headers=(("a", "b\udcff"), ("long", "x" * 100_000)),
        body=b"x" * 100_000,
        retry_after_s=10**12,
        patience_s=10**12,
        pause_s=10**12,
        disables="\udcff" + "x" * 1000,
    )
    async with opened(lambda _: _says(said)) as destination:
        outcome = await destination.send(sending())
    assert outcome.message == outcome.disables == "?" + "x" * 499
    assert (outcome.status, outcome.headers, len(outcome.body)) == (None, (("a", "b?"),), 16 * 1024)
    assert (outcome.retry_after_s, outcome.patience_s, outcome.pause_s) == (86_400.0, 86_400.0, 86_400.0)


async def _raise(error: BaseException) -> None:
    raise error


async def test_what_it_raises_goes_on() -> None:
    async with opened(lambda _: _raise(KeyError("x"))) as destination:
        with pytest.raises(KeyError):
            await destination.send(sending())


async def test_what_is_no_coroutine_is_an_error() -> None:
    async with opened(lambda _: DELIVERED) as destination:  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError):
            await destination.send(sending())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
async def test_it_ends_neither_the_program_nor_the_task_of_the_service(error: BaseException) -> None:
    async with opened(lambda _: _raise(error)) as destination:
        for _ in range(2):
            with pytest.raises(BrokenOffError, match=f"it ended by {type(error).__name__}"):
                await destination.send(sending())


async def test_a_task_of_its_own_ends_its_own_loop_at_most() -> None:
    async def send(_: Sending) -> Outcome:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.Event().wait()
        return DELIVERED

    async with opened(send) as destination:
        for said in ("it ended by CancelledError", "its loop has ended", "its loop has ended"):
            with pytest.raises(BrokenOffError, match=said):
                await destination.send(sending())


async def test_one_that_hangs_is_stopped() -> None:
    seen = []

    async def send(_: Sending) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async with opened(send) as destination:
        outcome = await destination.send(sending())
        assert (outcome.verdict, outcome.reason) == (Verdict.TEMPORARY, DeliveryReason.TIMEOUT)
        assert outcome.message == "box-destination 1.0 took more than 0.2 s, and was stopped"
        assert seen == ["cancelled"]


async def test_one_that_ignores_its_end_is_given_up_and_not_asked_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    free, begun = threading.Event(), []

    async def send(_: Sending) -> Outcome:
        begun.append(1)
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return DELIVERED

    async with opened(send) as destination:
        outcomes = await asyncio.gather(*(destination.send(sending()) for _ in range(2)))
        assert {outcome.reason for outcome in outcomes} == {DeliveryReason.TIMEOUT}
        outcome = await destination.send(sending())
        assert outcome.reason is DeliveryReason.ABORTED
        assert outcome.message.startswith("2 attempts before this one were stopped and have not ended")
        assert len(begun) == 2
        free.set()
        while (await destination.send(sending())).verdict is not Verdict.DELIVERED:
            await asyncio.sleep(0.01)
    assert caplog.text == ""


async def test_one_that_blocks_blocks_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    free, begun = threading.Event(), []

    async def send(_: Sending) -> Outcome:
        begun.append(1)
        free.wait()
        return DELIVERED

    async with opened(send) as destination, opened(lambda _: _says(DELIVERED)) as other:
        stuck = asyncio.create_task(destination.send(sending()))
        while not begun:
            await asyncio.sleep(0)
        assert await other.send(sending()) == DELIVERED
        assert (await stuck).reason is DeliveryReason.TIMEOUT
        assert (await destination.send(sending())).reason is DeliveryReason.TIMEOUT
        assert len(begun) == 1
        await destination.close()
    assert "could not be closed: TooLongError" in caplog.text
    assert "does not end; its thread is left behind" in caplog.text
    free.set()
    while threads():
        await asyncio.sleep(0.01)
    assert len(begun) == 1, "what was given up before it began must not begin later"


async def test_threads_that_hang_do_not_keep_the_program_from_ending() -> None:
    free = threading.Event()

    async def send(_: Sending) -> None:
        await asyncio.to_thread(free.wait)

    before = set(threading.enumerate())
    async with opened(send) as destination:
        assert (await destination.send(sending())).reason is DeliveryReason.TIMEOUT
    left = set(threading.enumerate()) - before
    assert left
    assert all(each.daemon for each in left)
    free.set()
    for each in left:
        each.join()


async def test_cancelling_passes_through_when_it_has_ended() -> None:
    begun, ended = threading.Event(), []

    async def send(_: Sending) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(1)

    async with opened(send) as destination:
        task = asyncio.create_task(destination.send(sending()))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]


async def test_the_event_is_read_where_the_service_reads_it() -> None:
    async def read() -> bytes:
        return threading.current_thread().name.encode()

    async def send(given: Sending) -> Outcome:
        return Outcome(verdict=Verdict.DELIVERED, body=await given.read_event())

    async with opened(send) as destination:
        outcome = await destination.send(replace(sending(), read_event=read))
    assert outcome.body == threading.current_thread().name.encode()


async def test_one_that_cannot_be_opened_says_so_and_leaves_no_thread() -> None:
    class Shut(Box):
        async def open(self) -> None:
            raise KeyError("x")

    class Slow(Box):
        async def open(self) -> None:
            await asyncio.Event().wait()

    for inner, said in ((Shut, "box-destination 1.0 raised KeyError: 'x'"), (Slow, "took more than 0.2 s")):
        with pytest.raises((RuntimeError, TimeoutError), match=said):
            await wrapped(inner(lambda _: _says(DELIVERED))).open()
    assert threads() == set()


async def test_one_that_cannot_be_closed_is_closed_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Jammed(Box):
        async def close(self) -> None:
            raise OSError(5, "jammed")

    destination = wrapped(Jammed(lambda _: _says(DELIVERED)))
    await destination.open()
    with caplog.at_level(logging.WARNING):
        await destination.close()
    assert "could not be closed: OSError: [Errno 5] jammed" in caplog.text
    assert threads() == set()
    with pytest.raises(RuntimeError, match="closed"):
        await destination.send(sending())


def test_the_limit_is_well_over_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert careful.limit_s(Settings(timeout=30.0)) == 70.0
    assert careful.limit_s(object()) == 3600.0
    assert careful.limit_s(Settings(timeout=0)) == 3600.0

"""Kinds that are broken, each in one place: what their destinations and settings do. `self` is the destination."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from destinations.base import Sending
from destinations.conformance import Manner, Receiver
from pipeline.config.secret import Secret
from pipeline.model import BatchMessage, DeliveryReason, Outcome, Verdict
from tests.support.boxes import KIND, Box, Settings, Shelf

DELIVERED = Outcome(verdict=Verdict.DELIVERED)


class Test:
    __test__ = False
    is_over = threading.Event()


async def blocks(self: Box, sending: Sending) -> Outcome:
    self.shelf.waiting += 1
    if self.shelf.manner is Manner.HANG:
        self.shelf.free.wait()
    return DELIVERED


async def raises(self: Box, sending: Sending) -> Outcome:
    if self.shelf.manner is not Manner.WELL:
        raise ConnectionRefusedError(111, "nobody there")
    return await Box.send(self, sending)


async def is_deaf(self: Box) -> None:
    self.shelf.waiting += 1
    while self.shelf.manner is Manner.HANG:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.001)
    self.shelf.waiting -= 1


async def is_deaf_for_ever(self: Box) -> None:
    while not Test.is_over.is_set():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.001)


async def leaves_a_deaf_task(self: Box, sending: Sending) -> Outcome:
    self.task = asyncio.ensure_future(is_deaf_for_ever(self))  # type: ignore[attr-defined]
    return await Box.send(self, sending)


async def swallows(self: Box, sending: Sending) -> Outcome:
    try:
        return await Box.send(self, sending)
    except asyncio.CancelledError:
        return self.failed(Verdict.TEMPORARY, DeliveryReason.ABORTED)


async def never_times_out(self: Box, sending: Sending) -> Outcome:
    await self.wait()
    return await Box.send(self, sending)


async def leaves_a_half(self: Box, sending: Sending) -> Outcome:
    self.shelf.halves.append("a file")
    outcome = await Box.send(self, sending)
    self.shelf.halves.remove("a file")
    return outcome


async def leaves_a_task(self: Box, sending: Sending) -> Outcome:
    self.task = asyncio.ensure_future(asyncio.Event().wait())  # type: ignore[attr-defined]
    return await Box.send(self, sending)


async def leaves_a_connection(self: Box, sending: Sending) -> Outcome:
    self.sock = socket.socket()  # type: ignore[attr-defined]
    return await Box.send(self, sending)


async def leaves_a_file(self: Box, sending: Sending) -> Outcome:
    os.open(__file__, os.O_RDONLY)
    return await Box.send(self, sending)


async def leaves_a_thread(self: Box, sending: Sending) -> Outcome:
    if not hasattr(self, "thread"):
        self.thread = threading.Thread(target=Test.is_over.wait, name="left alone")  # type: ignore[attr-defined]
        self.thread.start()  # type: ignore[attr-defined]
    return await Box.send(self, sending)


async def loses_an_error(self: Box, sending: Sending) -> Outcome:
    asyncio.get_running_loop().call_soon(int, "x")
    return await Box.send(self, sending)


async def forgets_to_await(self: Box, sending: Sending) -> Outcome:
    Box.wait(self)  # type: ignore[unused-coroutine]
    return await Box.send(self, sending)


async def reads_a_file(self: Box, sending: Sending) -> Outcome:
    await asyncio.to_thread(Path(__file__).read_bytes)  # not on the loop: that is right
    Path(__file__).read_bytes()
    return await Box.send(self, sending)


async def looks_a_name_up(self: Box, sending: Sending) -> Outcome:
    socket.getaddrinfo("127.0.0.1", 80)
    return await Box.send(self, sending)


async def connects(self: Box, sending: Sending) -> Outcome:
    with suppress(OSError), socket.socket() as sock:
        sock.connect(("127.0.0.1", 1))
    return await Box.send(self, sending)


async def takes_no_batches(self: Box, sending: Sending) -> Outcome:
    if isinstance(sending.message, BatchMessage):
        return self.failed(Verdict.PERMANENT, DeliveryReason.REJECTED)
    return await Box.send(self, sending)


async def wants_a_result(self: Box, sending: Sending) -> Outcome:
    assert sending.message.result.status  # type: ignore[union-attr]
    return await Box.send(self, sending)


async def answers_wrongly(self: Box, sending: Sending) -> Any:
    await Box.send(self, sending)
    return True


async def forgets_to_send(self: Box, sending: Sending) -> Outcome:
    return DELIVERED


async def sends_twice(self: Box, sending: Sending) -> Outcome:
    outcome = await Box.send(self, sending)
    return await Box.send(self, sending) if outcome.verdict is Verdict.DELIVERED else outcome


async def sends_twice_again(self: Box, sending: Sending) -> Outcome:
    return await (sends_twice if sending.attempt > 1 else Box.send)(self, sending)


async def insists(self: Box, sending: Sending) -> Outcome:
    for _ in range(2):
        outcome = await Box.send(self, sending)
        if outcome.verdict is Verdict.DELIVERED:
            return outcome
    return await Box.send(self, sending)


def says(**facts: Any) -> Callable[[Box, Sending], Coroutine[Any, Any, Outcome]]:
    """Say this with every outcome."""

    async def send(self: Box, sending: Sending) -> Outcome:
        return replace(await Box.send(self, sending), **facts)

    return send


def fails(**facts: Any) -> Callable[[Box, Verdict, DeliveryReason], Outcome]:
    """Say this with every failure."""
    return lambda self, verdict, reason: replace(Box.failed(self, verdict, reason), **facts)


async def shows_its_token(self: Box, sending: Sending) -> Outcome:
    outcome = await Box.send(self, sending)
    assert self.settings.token
    return replace(outcome, message=f"{outcome.message} with {self.settings.token.reveal()}")


async def sends_one_after_the_other(self: Box, sending: Sending) -> Outcome:
    async with self.lock:  # type: ignore[attr-defined]
        return await Box.send(self, sending)


async def opens_a_lock(self: Box) -> None:
    self.lock = asyncio.Lock()  # type: ignore[attr-defined]


async def needs_its_receiver(self: Box) -> None:
    if self.shelf.manner is Manner.ABSENT:
        raise ConnectionRefusedError(111, "nobody there")


async def opens_once(self: Box) -> None:
    assert not hasattr(self, "was_open"), "it was open before"
    self.was_open = True  # type: ignore[attr-defined]


async def closes_once(self: Box) -> None:
    assert not hasattr(self, "was_closed"), "it was closed before"
    self.was_closed = True  # type: ignore[attr-defined]


async def never_closes(self: Box) -> None:
    await asyncio.Event().wait()


async def closes_all(self: Box) -> None:
    Closing.closed = True


class Closing(Box):
    closed = False

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        Closing.closed = False

    close = closes_all  # type: ignore[assignment]

    async def send(self, sending: Sending) -> Outcome:
        assert not Closing.closed, "it is closed"
        return await super().send(sending)


async def waits_for_ever_once_closed(self: Box) -> None:
    self.wait = asyncio.Event().wait  # type: ignore[method-assign, assignment]


async def is_stuck_when_closed(self: Box) -> None:
    self.shelf.waiting += 1
    try:
        while self.shelf.manner is Manner.HANG and not hasattr(self, "closed"):
            await asyncio.sleep(0.001)
        if hasattr(self, "closed"):
            raise RuntimeError("the session is closed")
    finally:
        self.shelf.waiting -= 1


async def says_closed(self: Box) -> None:
    self.closed = True  # type: ignore[attr-defined]


def makes_a_file(self: Box, name: str, settings: Settings) -> None:
    Box.__init__(self, name, settings)
    Path(__file__).read_bytes()


def starts_a_thread(self: Box, name: str, settings: Settings) -> None:
    Box.__init__(self, name, settings)
    threading.Thread(target=Test.is_over.wait, name="made early").start()


def refuses_spaces(self: Box, name: str, settings: Settings) -> None:
    Box.__init__(self, name, settings)
    assert settings.place.strip() or not settings.place


@dataclass(kw_only=True)
class Changeable(Settings.__mro__[1]):  # type: ignore[misc]
    place: str
    token: Secret | None = None
    timeout: float = 5.0
    concurrency: int = 4
    retry: Any = Settings(place="").retry


class Unequal(Settings):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True, kw_only=True)
class Impatient(Settings):
    timeout: float = 6.0


@dataclass(frozen=True, kw_only=True)
class Sampled(Settings):
    """Takes names of the service's for something else."""

    rate: Any = "44100"
    breaker: Any = None
    disable_after: Any = None


@dataclass(frozen=True, kw_only=True)
class Plain(Settings):
    token: Any = None


@contextmanager
def without_a_token() -> Iterator[Receiver]:
    class Anonymous(Shelf):
        @property
        def options(self) -> Mapping[str, Any]:
            return {"place": self.name}

    receiver = Anonymous()
    Shelf.ALL[receiver.name] = receiver
    yield receiver
    del Shelf.ALL[receiver.name]


def settings(make: Callable[..., Any]) -> Any:
    return replace(KIND, settings=make)


def refuse(sentence: str) -> Callable[..., Any]:
    def settings_of(options: Mapping[str, Any]) -> Settings:
        if not options["place"].startswith("shelf"):
            raise ValueError(sentence)
        return Settings(**options)

    return settings_of


def by_name(options: Mapping[str, Any]) -> Settings:
    """Break on what the schema lets pass."""
    assert Shelf.ALL[options["place"]]
    return Settings(**options)


def plain(options: Mapping[str, Any]) -> Settings:
    token = options.get("token")
    return Plain(**{**options, "token": token and token.reveal()})

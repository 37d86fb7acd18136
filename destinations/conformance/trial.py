"""One destination at its receiver, on a loop of its own: what the checks do with it, and what they share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from destinations.base import Destination, Kind, Sending
from destinations.conformance.living import Living
from destinations.conformance.loading import NAME, Loaded, load
from destinations.conformance.receiver import Manner, Receiver
from destinations.conformance.samples import Samples
from destinations.plugins.outcomes import excess_of, fault_of_outcome
from pipeline.clock import SystemClock
from pipeline.model import Outcome, Verdict

_LOOK_S = 0.01


def expect(condition: object, sentence: str) -> None:
    """Raise AssertionError with a sentence where the condition does not hold: pytest explains asserts only where it
    looks for tests.
    """
    if not condition:
        raise AssertionError(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One destination, to be used within its loop."""

    destination: Destination
    receiver: Receiver
    samples: Samples
    patience_s: float

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return its recipients; those that callers name, where it has none of its own."""
        return self.destination.recipients() or self.receiver.named()

    def sending(self, message: Any = None, **changes: Any) -> Sending:
        """Return the first sending of a message to the first recipient."""
        return self.samples.sending(message, **({"recipient": self.recipients[0]} | changes))

    async def ended(self, what: str, act: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `act` returns; AssertionError where it raises, or does not end."""
        task = asyncio.ensure_future(_awaited(act))
        await asyncio.wait({task}, timeout=self.patience_s)
        if not task.done():
            task.cancel()
            raise AssertionError(f"{what} has not ended after {self.patience_s:g} s")
        if task.cancelled():
            raise AssertionError(f"{what} was cancelled, which nobody had asked for")
        if (error := task.exception()) is not None:
            raise AssertionError(f"{what} raised {type(error).__name__}: {error}") from error
        return task.result()

    async def open(self) -> None:
        """Open the destination."""
        await self.ended("open()", self.destination.open)

    async def close(self) -> None:
        """Close the destination."""
        await self.ended("close()", self.destination.close)

    def begin(self, sending: Sending) -> "asyncio.Task[Outcome]":
        """Begin to send; whoever asks looks after the end."""
        return asyncio.ensure_future(self.destination.send(sending))

    async def send(self, sending: Sending) -> Outcome:
        """Send, and return an outcome that is one."""
        return await self._outcome(partial(self.destination.send, sending))

    async def outcome_of(self, task: "asyncio.Task[Outcome]") -> Outcome:
        """Return the outcome of what was begun."""
        return await self._outcome(lambda: task)

    async def _outcome(self, act: Callable[[], Awaitable[Outcome]]) -> Outcome:
        outcome: Outcome = await self.ended("send()", act)
        # A job is made by the built-in kind `function` alone; whether a plug-in asks for one is told at its schema.
        fault = fault_of_outcome(replace(outcome, child=None) if isinstance(outcome, Outcome) else outcome)
        expect(fault is None, f"send() answered wrongly: {fault}")
        excess = excess_of(outcome)
        expect(excess is None, f"send() answered at length: {excess}")
        # No manner of a receiver means that it wants nothing any more.
        said = f"expected an outcome that disables nothing, as another message may be taken, got {outcome.disables}"
        expect(not outcome.disables, said)
        if outcome.verdict is not Verdict.DELIVERED:
            expect(outcome.message.strip(), f"an outcome that is {outcome.verdict} says why in a sentence, got none")
        self.receiver.note(outcome)
        return outcome

    async def deliver(self, sending: Sending, what: str = "a message") -> None:
        """Send to a receiver that takes it."""
        outcome = await self.send(sending)
        said = f"{outcome.verdict}, {outcome.reason}: {outcome.message}"
        expect(outcome.verdict is Verdict.DELIVERED, f"{what}: expected it to be delivered, got {said}")

    async def deliver_once(self, sending: Sending, what: str) -> None:
        """Send to a receiver that takes it, and has it one time then."""
        before = len(self.receiver.ids())
        await self.deliver(sending, what)
        came = len(self.receiver.ids()) - before
        expect(came == 1, f"{what}: expected it to be sent once in one attempt, got {came} messages at the receiver")

    async def hanging(self, count: int) -> None:
        """Wait until so many sendings wait at the receiver."""
        clock = SystemClock()
        until = clock.monotonic() + self.patience_s
        while (found := self.receiver.hanging()) < count:
            expect(clock.monotonic() < until, f"expected {count} to wait at the receiver at once, got {found}")
            await clock.sleep(_LOOK_S)


async def _awaited(act: Callable[[], Awaitable[Any]]) -> Any:
    return await act()


class Trials:
    """What a kind's author gives, and how a check is carried out."""

    kind: ClassVar[Kind]
    """The kind, as its entry point gives it."""
    bad_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """For settings that the kind refuses by itself, a value that their schema lets pass."""
    patience_s: ClassVar[float] = 10.0
    """So long is waited for what should come at once, before it counts as never."""

    def receiver(self) -> AbstractContextManager[Receiver]:
        """Return a receiver that begins WELL; it is there within the `with`, and nothing of it is left behind it."""
        raise NotImplementedError("receiver() gives a destinations.conformance.Receiver")

    def loaded(self, options: Mapping[str, Any]) -> Loaded:
        """Return options as the service loads them."""
        try:
            return load(self.kind, options)
        except Exception as error:
            raise AssertionError(
                f"settings() raised {type(error).__name__}: {error}, expected ValueError for options that are wrong: "
                f"{dict(options)!r:.300}"
            ) from error

    def settings(self, options: Mapping[str, Any]) -> Any:
        """Return the settings in options that must be good."""
        loaded = self.loaded(options)
        expect(not loaded.faults, f"the receiver's options cannot be used: {loaded.told}")
        return loaded.settings

    def attempt(
        self,
        check: Callable[[Trial], Awaitable[None]],
        *,
        manner: Manner = Manner.WELL,
        is_opened: bool = True,
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Carry a check out with a destination whose options have these changes; afterwards nothing may be left."""
        with self.receiver() as receiver:
            if manner in receiver.cannot:
                return
            can_hang = Manner.HANG not in receiver.cannot
            settings = self.settings({**receiver.options, **changes})
            living = Living(self.patience_s)

            def let_go() -> None:
                if can_hang:
                    receiver.release()

            async def main() -> None:
                receiver.answer(manner)
                trial = Trial(
                    destination=self.kind.make(NAME, settings),
                    receiver=receiver,
                    samples=Samples(NAME),
                    patience_s=self.patience_s,
                )
                if is_opened:
                    await trial.open()
                try:
                    await check(trial)
                finally:
                    let_go()
                    await trial.close()

            living.run(main, let_go)
            left = dict.fromkeys([*living.left, *(f"half done: {each}" for each in receiver.half_done())])
            expect(not left, f"expected nothing to be left behind, got {'; '.join(left)}")

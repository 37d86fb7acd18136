"""Checks of a destination whose receiver refuses, hangs or is not there, and of one that is cancelled."""

import asyncio

from destinations.conformance.receiver import Manner
from destinations.conformance.trial import Trial, Trials, expect
from pipeline.model import DeliveryReason, Outcome, Verdict

_GRACE_S = 2.0
"""So long the service waits for what it has cancelled."""
_SHORT = "300ms"


class OfTrouble(Trials):
    """What holds while not all is well."""

    def test_without_a_receiver_it_opens_and_fails_for_now(self) -> None:
        async def check(trial: Trial) -> None:
            outcome = await trial.send(trial.sending())
            self._expect(outcome, Verdict.TEMPORARY, "a receiver that is not there")

        self.attempt(check, manner=Manner.ABSENT)

    def test_a_receiver_that_refuses_for_now_is_tried_again(self) -> None:
        async def check(trial: Trial) -> None:
            sending = trial.sending()
            self._expect(await trial.send(sending), Verdict.TEMPORARY, "a receiver that refuses for now")
            _was_asked_once(trial)
            trial.receiver.answer(Manner.WELL)
            await trial.deliver(sending, "after a failure")

        self.attempt(check, manner=Manner.TEMPORARY)

    def test_a_receiver_that_refuses_for_good_is_not_tried_again(self) -> None:
        async def check(trial: Trial) -> None:
            self._expect(await trial.send(trial.sending()), Verdict.PERMANENT, "a receiver that refuses for good")
            _was_asked_once(trial)
            trial.receiver.answer(Manner.WELL)
            await trial.deliver(trial.sending(), "after a message that was refused for good")

        self.attempt(check, manner=Manner.PERMANENT)

    def test_a_receiver_that_hangs_is_left_at_the_timeout(self) -> None:
        async def check(trial: Trial) -> None:
            outcome = await trial.send(trial.sending())
            self._expect(outcome, Verdict.TEMPORARY, "a receiver that hangs")
            expect(outcome.reason is DeliveryReason.TIMEOUT, f"expected the reason timeout, got {outcome.reason}")
            trial.receiver.release()
            await trial.deliver(trial.sending(), "after a timeout")

        with self.receiver() as receiver:
            can_hang = Manner.HANG not in receiver.cannot
        has_timeout = "timeout" in self.kind.schema["properties"]
        expect(has_timeout or not can_hang, "expected the setting timeout, as the receiver can hang")
        self.attempt(check, manner=Manner.HANG, changes={"timeout": _SHORT} if has_timeout else {})

    def test_cancelled_in_the_middle_it_leaves_nothing_behind(self) -> None:
        async def check(trial: Trial) -> None:
            sending = trial.sending()
            task = trial.begin(sending)
            await trial.hanging(1)
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
            expect(task.done(), f"expected send() to end within {_GRACE_S:g} s when it is cancelled; it goes on")
            expect(task.cancelled(), "expected cancellation to pass through send(), got an end of another kind")
            trial.receiver.release()
            await trial.deliver(sending, "the same again, after it was cancelled")

        self.attempt(check, manner=Manner.HANG)

    def test_closed_in_the_middle_it_ends(self) -> None:
        async def check(trial: Trial) -> None:
            task = trial.begin(trial.sending())
            await trial.hanging(1)
            await trial.close()
            trial.receiver.release()
            await trial.outcome_of(task)

        self.attempt(check, manner=Manner.HANG)

    def test_secrets_are_not_shown_in_outcomes(self) -> None:
        for manner in (Manner.WELL, Manner.TEMPORARY, Manner.PERMANENT, Manner.ABSENT):
            with self.receiver() as receiver:
                secrets = self.loaded(receiver.options).secrets

            async def check(trial: Trial, manner: Manner = manner, secrets: frozenset[str] = secrets) -> None:
                outcome = await trial.send(trial.sending())
                is_hidden = not any(secret in repr(outcome) for secret in secrets)
                expect(is_hidden, f"expected no secret in the outcome of a receiver that is {manner}, got one")

            self.attempt(check, manner=manner)

    def _expect(self, outcome: Outcome, verdict: Verdict, what: str) -> None:
        said = f"{outcome.verdict}, {outcome.reason}: {outcome.message}"
        expect(outcome.verdict is verdict, f"{what}: expected a failure that is {verdict}, got {said}")


def _was_asked_once(trial: Trial) -> None:
    count = trial.receiver.refused()
    expect(count == 1, f"expected one try in one attempt, got {count} that the receiver refused")

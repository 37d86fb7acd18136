"""Checks of a destination whose receiver takes what comes: its life, what it sends, and many at once."""

import asyncio
from dataclasses import replace

from destinations.conformance.receiver import Manner
from destinations.conformance.trial import Trial, Trials, expect
from destinations.conformance.watching import watched
from pipeline.counts import count as counted

_AT_ONCE = 4


class OfSending(Trials):
    """What holds while all is well."""

    def may_refuse(self, form: str) -> bool:
        """Tell whether the kind may refuse a message of this form (a key of `Samples.forms`), where its receiver is
        well; by default it must deliver every one.
        """
        return False

    def test_each_form_of_message_is_delivered(self) -> None:
        async def check(trial: Trial) -> None:
            for form, message in trial.samples.forms().items():
                for recipient in trial.recipients:
                    sending = trial.sending(message, recipient=recipient)
                    if self.may_refuse(form):
                        await trial.send(sending)
                    else:
                        await trial.deliver_once(sending, form)

        self.attempt(check)

    def test_it_opens_and_closes_again_and_again(self) -> None:
        async def check(trial: Trial) -> None:
            for _ in range(3):
                await trial.open()
                await trial.deliver(trial.sending(), "after open()")
                await trial.close()

        self.attempt(check, is_opened=False)

    def test_closing_twice_does_no_harm(self) -> None:
        async def check(trial: Trial) -> None:
            await trial.close()  # it was never opened: another destination may have stopped the service's start
            await trial.open()
            await trial.close()
            await trial.close()

        self.attempt(check, is_opened=False)

    def test_two_of_a_kind_do_not_know_each_other(self) -> None:
        async def check(trial: Trial) -> None:
            with self.receiver() as receiver:
                other = replace(
                    trial, destination=self.kind.make("other", self.settings(receiver.options)), receiver=receiver
                )
                await other.open()
                await other.deliver(other.sending(), "the second of two")
                await other.close()
                await trial.deliver(trial.sending(), "after the second of two was closed")

        self.attempt(check)

    def test_the_recipients_stay_the_same(self) -> None:
        async def check(trial: Trial) -> None:
            before = trial.recipients
            is_right = isinstance(before, tuple) and all(isinstance(each, str) for each in before)
            is_right = is_right and 0 < len(before) == len(set(before))
            expect(is_right, f"expected a tuple of different texts as recipients, got {before!r}")
            await trial.open()
            after = trial.recipients
            expect(after == before, f"expected the recipients {before!r} once it is open, got {after!r}")

        self.attempt(check, is_opened=False)

    def test_a_delivery_that_is_sent_again_is_known_by_its_id(self) -> None:
        async def check(trial: Trial) -> None:
            sending = trial.sending()
            await trial.deliver(sending)
            await trial.deliver(replace(sending, attempt=2, started_at=trial.samples.later()))
            came = trial.receiver.ids()
            same = set(came)
            expect(len(same) == 1, f"expected one id of a delivery that was sent twice, got {sorted(same)}")
            expect(len(came) <= 2, f"expected a delivery that was sent twice to come twice, got {len(came)}")
            await trial.deliver(trial.sending())
            different = set(trial.receiver.ids())
            expect(len(different) == 2, f"expected another id of another message, got {sorted(different)}")

        self.attempt(check)

    def test_as_many_are_sent_at_once_as_its_concurrency_says(self) -> None:
        async def check(trial: Trial) -> None:
            tasks = [trial.begin(trial.sending()) for _ in range(count)]
            await trial.hanging(count)
            trial.receiver.release()
            for task in tasks:
                await trial.outcome_of(task)
            _are_so_many(trial, count)

        async def at_once(trial: Trial) -> None:
            await asyncio.gather(*(trial.deliver(trial.sending()) for _ in range(count)))
            _are_so_many(trial, count)

        schema = self.kind.schema["properties"].get("concurrency", {})
        count = min(_AT_ONCE, schema.get("maximum", _AT_ONCE))
        self.attempt(at_once, changes={"concurrency": count})
        self.attempt(check, manner=Manner.HANG, changes={"concurrency": count})

    def test_it_waits_for_no_file_and_no_name_on_the_event_loop(self) -> None:
        async def check(trial: Trial) -> None:
            await trial.deliver(trial.sending())  # what is loaded late is loaded now
            with watched(only_waiting=True) as done:
                for form, message in trial.samples.forms().items():
                    await trial.send(trial.sending(message))
                    expect(not done, f"{form}: it waits on the event loop for {', '.join(done)}")

        self.attempt(check)


def _are_so_many(trial: Trial, count: int) -> None:
    found = trial.receiver.ids()
    expect(len(found) == len(set(found)) == count, f"expected {counted(count, 'message')}, got {sorted(found)}")

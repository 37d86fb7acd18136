"""The conformance suite finds what is wrong: for each of its checks there are kinds that fail that check."""

import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from destinations.conformance import DestinationConformance, Manner, Receiver
from destinations.conformance.vocabulary import OWN
from pipeline.model import DeliveryReason, Outcome, Verdict
from tests.support.boxes import KIND, SCHEMA, Settings, Shelf, box, changed, setting, suite_of
from tests.support.broken_kinds import (
    DELIVERED,
    Changeable,
    Closing,
    Impatient,
    Sampled,
    Test,
    Unequal,
    answers_wrongly,
    blocks,
    by_name,
    closes_once,
    connects,
    fails,
    forgets_to_await,
    forgets_to_send,
    insists,
    is_deaf,
    is_deaf_for_ever,
    is_stuck_when_closed,
    leaves_a_connection,
    leaves_a_deaf_task,
    leaves_a_file,
    leaves_a_half,
    leaves_a_task,
    leaves_a_thread,
    looks_a_name_up,
    loses_an_error,
    makes_a_file,
    needs_its_receiver,
    never_closes,
    never_times_out,
    opens_a_lock,
    opens_once,
    plain,
    raises,
    reads_a_file,
    refuse,
    refuses_spaces,
    says,
    says_closed,
    sends_one_after_the_other,
    sends_twice,
    sends_twice_again,
    settings,
    shows_its_token,
    starts_a_thread,
    swallows,
    takes_no_batches,
    wants_a_result,
    without_a_token,
)

CHECKS = sorted(name for name in dir(DestinationConformance) if name.startswith("test_"))
ROOT = Path(__file__).parents[2]
PATIENCE_S = 2.0
"""With those that are broken: some take all of it."""


@pytest.mark.parametrize("check", CHECKS)
def test_a_kind_without_fault_passes(check: str) -> None:
    getattr(suite_of(KIND, bad_options={"place": 5}), check)()


@pytest.fixture(autouse=True)
def over() -> Iterator[None]:
    """Tell threads that a test leaves behind when it is over."""
    Test.is_over = threading.Event()
    yield
    Test.is_over.set()


SAMPLES = {"description": "Of samples.", "type": "string", "default": "44100"}
OPEN_ENDED = {
    "description": "A mapping.",
    "type": "object",
    "properties": {"x": {"description": "An x."}},
    "default": {},
}
FAULTS: Mapping[str, list[tuple[Any, str]]] = {
    "test_the_kind_can_stand_beside_the_built_in_ones": [
        (replace(KIND, schema={**SCHEMA, "type": "objekt"}), "its schema is no JSON Schema"),
        (replace(KIND, make=None), "its make is not callable"),
        (changed("place", **{"$ref": "#/$defs/nothing"}), "which is neither its own nor the configuration's"),
        (setting(rate=SAMPLES), "its schema has rate for something else than the attempts in a time"),
        (setting(breaker=SAMPLES), "its schema has breaker for something else than"),
        (setting(disable_after=SAMPLES), "its schema has disable_after for something else than"),
    ],
    "test_the_schema_has_only_keywords_that_are_known": [
        (changed("place", minLenght=1), "got minLenght at place"),
        (changed("token", **{"x-secrt": True}), "got x-secrt at token"),
    ],
    "test_the_schema_takes_no_setting_that_it_does_not_name": [
        (replace(KIND, schema={**SCHEMA, "additionalProperties": True}), "additionalProperties: false at the top"),
        (setting(more=OPEN_ENDED), "additionalProperties: false at more"),
    ],
    "test_every_setting_is_described": [
        (changed("place", description=None), "expected a description of place"),
        (changed("place", description=" "), "expected a description of place"),
    ],
    "test_what_the_service_reads_is_there_and_is_what_it_expects": [
        (setting(retry=None), "expected the settings concurrency and retry in the schema"),
        (
            settings(lambda options: Settings(**{**options, "concurrency": 0})),
            "the receiver's options: expected settings whose concurrency is a whole number from 1 to 1,000,000, got 0",
        ),
        (settings(lambda options: Settings(**{**options, "retry": [1.0]})), "retry is a RetrySpec, .*, got list"),
        (
            setting(concurrency={"description": "How many.", "type": "integer", "minimum": 1, "default": 4}),
            "concurrency: 1180591620717411303424: expected settings whose concurrency is a whole number",
        ),
        (settings(lambda options: Sampled(**options)), "rate is attempts in a second, .*, or None, got str"),
        (settings(lambda options: Sampled(**options, rate=0)), "whose rate is .*, got 0"),
        (settings(lambda options: Sampled(**options, rate=None, breaker=True)), "breaker is a BreakerSpec.* got bool"),
        (
            settings(lambda options: Sampled(**options, rate=None, disable_after="never")),
            "disable_after is seconds, .*, or None, got str",
        ),
        (
            setting(rate={"description": "How fast.", "$ref": "#/$defs/rate", "default": "1/s"}),
            "expected settings with rate, as it is in the schema, got none",
        ),
    ],
    "test_what_is_left_out_has_the_default_of_the_schema": [
        (
            settings(lambda options: Impatient(**options)),
            'timeout left out to be the same as its default "5s"',
        ),
        (changed("timeout", default="soon"), "expected the default of timeout to be one"),
        (setting(due={"description": "When.", "type": "string"}), "expected a default of due in the schema"),
    ],
    "test_the_same_options_give_equal_settings": [(settings(lambda options: Unequal(**options)), "expected equal")],
    "test_the_settings_cannot_be_changed": [
        (settings(lambda options: Changeable(**options)), "expected frozen settings, got some whose concurrency can be")
    ],
    "test_what_cannot_be_used_is_refused_by_the_name_of_its_setting": [
        (suite_of(KIND, bad_options={"place": "nowhere"}), "expected place: 'nowhere' to be refused, got settings"),
        (
            suite_of(settings(refuse("no such shelf")), bad_options={"place": "nowhere"}),
            'expected "place: expected ...", got "no such shelf" at destinations.trial',
        ),
        (
            suite_of(settings(refuse("token: expected another")), bad_options={"place": "nowhere"}),
            "at destinations.trial.token",
        ),
    ],
    "test_whatever_the_schema_lets_pass_is_taken_or_refused": [
        (settings(by_name), r"settings\(\) raised KeyError: '', expected ValueError"),
        (settings(refuse("no such shelf")), 'expected "SETTING: what is wrong", got "no such shelf"'),
        (box(__init__=refuses_spaces), r"settings\(\) took it, and make\(\) raised AssertionError"),
    ],
    "test_making_one_touches_nothing": [
        (box(__init__=makes_a_file), r"expected make\(\) to do no I/O, got open '.*broken_kinds.py'"),
        (box(__init__=starts_a_thread), r"expected make\(\) to do no I/O, got the thread made early"),
    ],
    "test_secrets_are_not_shown_in_a_repr": [
        (settings(plain), "expected the repr of the settings to show no secret"),
        (box(__repr__=lambda self: str(self.settings.token.reveal())), "the repr of the destination to show no secret"),
        (suite_of(KIND, receiver=staticmethod(without_a_token)), "expected a value of the secret token"),
    ],
    "test_each_form_of_message_is_delivered": [
        (box(send=wants_a_result), "raised AttributeError"),
        (box(send=takes_no_batches), "a batch: expected it to be delivered, got permanent, rejected"),
        (box(send=answers_wrongly), r"send\(\) answered wrongly: expected an Outcome, got bool"),
        (box(send=leaves_a_task), "left behind, got .*the task Event.wait"),
        (box(wait=is_deaf_for_ever), r"send\(\) has not ended after 2 s"),
        (box(send=leaves_a_deaf_task), "left behind, got .*a task that ignores that it is cancelled"),
        (box(send=leaves_a_connection), "left behind, got ResourceWarning: unclosed <socket"),
        (box(send=leaves_a_file), "left behind, got the open file .*/broken_kinds.py"),
        (box(send=leaves_a_thread), "left behind, got the thread left alone"),
        (box(send=loses_an_error), "left behind, got .*ValueError: invalid literal"),
        (box(send=forgets_to_await), "left behind, got RuntimeWarning: coroutine .* was never awaited"),
        (box(send=lambda *_: DELIVERED), r"send\(\) raised TypeError"),
        (box(send=sends_twice), "a job with a result in JSON: expected it to be sent once in one attempt, got 2 mess"),
        (box(send=forgets_to_send), "expected it to be sent once in one attempt, got 0 messages at the receiver"),
        (box(send=says(body=b"x" * 16_385)), "answered at length: expected an Outcome whose body is at most 16384 b"),
        (box(send=says(headers=(("a", "x" * 8192),))), "whose headers is UTF-8 of at most 8192 characters in all"),
        (box(send=says(message="x" * 501)), "whose message is UTF-8 of at most 500 characters"),
        (box(send=says(message="\udcff")), "whose message is UTF-8"),
        (box(send=says(status=-1)), "whose status is an integer from 0 to 2147483647, or None"),
        (box(send=says(remote_address="x" * 101)), "whose remote_address is UTF-8 of at most 100 characters"),
        (box(send=says(disables="it was full")), "expected an outcome that disables nothing, .*, got it was full"),
    ],
    "test_it_opens_and_closes_again_and_again": [
        (box(open=opens_once), r"open\(\) raised AssertionError: it was open before"),
    ],
    "test_closing_twice_does_no_harm": [
        (box(close=closes_once), r"close\(\) raised AssertionError: it was closed before"),
        (box(close=never_closes), r"close\(\) has not ended after 2 s"),
    ],
    "test_two_of_a_kind_do_not_know_each_other": [
        (replace(KIND, make=Closing), r"send\(\) raised AssertionError: it is closed"),
    ],
    "test_the_recipients_stay_the_same": [
        (box(recipients=lambda _: ["a"]), "expected a tuple of different texts as recipients"),
        (box(recipients=lambda _: ("a", "a")), "expected a tuple of different texts as recipients"),
        (box(recipients=lambda self: (str(hasattr(self, "lock")),), open=opens_a_lock), "once it is open, got"),
    ],
    "test_a_delivery_that_is_sent_again_is_known_by_its_id": [
        (box(id_of=lambda _, sending: f"{sending.message.id} {sending.attempt}"), "expected one id of a delivery that"),
        (box(id_of=lambda *_: "always"), "expected another id of another message"),
        (box(send=sends_twice_again), "expected a delivery that was sent twice to come twice, got 3"),
    ],
    "test_as_many_are_sent_at_once_as_its_concurrency_says": [
        (
            box(open=opens_a_lock, send=sends_one_after_the_other),
            "expected 4 to wait at the receiver at once, got 1",
        ),
        (box(id_of=lambda *_: "always"), "expected 4 messages"),
        (box(send=sends_twice), "expected 4 messages"),
    ],
    "test_it_waits_for_no_file_and_no_name_on_the_event_loop": [
        (box(send=reads_a_file), "it waits on the event loop for open '.*broken_kinds.py'$"),
        (box(send=looks_a_name_up), "it waits on the event loop for socket.getaddrinfo '127.0.0.1'"),
        (box(send=connects), "it waits on the event loop for socket.connect"),
    ],
    "test_without_a_receiver_it_opens_and_fails_for_now": [
        (box(open=needs_its_receiver), r"open\(\) raised ConnectionRefusedError"),
        (box(send=raises), r"send\(\) raised ConnectionRefusedError"),
        (
            box(failed=lambda _, __, reason: Outcome(verdict=Verdict.PERMANENT, reason=reason, message="no")),
            "a receiver that is not there: expected a failure that is temporary, got permanent",
        ),
    ],
    "test_a_receiver_that_refuses_for_now_is_tried_again": [
        (box(failed=lambda *_: DELIVERED), "expected a failure that is temporary, got delivered"),
        (
            box(failed=lambda _, verdict, reason: Outcome(verdict=verdict, reason=reason)),
            "an outcome that is temporary says why in a sentence, got none",
        ),
        (box(failed=lambda _, verdict, __: Outcome(verdict=verdict, message="no")), "whose reason says why it failed"),
        (box(send=insists), "expected one try in one attempt, got 3 that the receiver refused"),
        (box(failed=fails(retry_after_s=2_592_000.0)), "whose retry_after_s is at most 86400 seconds, or None"),
        (box(failed=fails(patience_s=2_592_000.0)), "whose patience_s is at most 86400 seconds, or None"),
        (box(failed=fails(pause_s=2_592_000.0)), "whose pause_s is at most 86400 seconds, or None"),
        (box(failed=fails(disables="it answered 500")), "expected an outcome that disables nothing, .*, got it answer"),
    ],
    "test_a_receiver_that_refuses_for_good_is_not_tried_again": [
        (
            box(failed=lambda _, __, reason: Outcome(verdict=Verdict.TEMPORARY, reason=reason, message="no")),
            "refuses for good: expected a failure that is permanent, got temporary",
        ),
        (box(send=insists), "expected one try in one attempt, got 3 that the receiver refused"),
    ],
    "test_a_receiver_that_hangs_is_left_at_the_timeout": [
        (box(send=never_times_out), r"send\(\) has not ended after 2 s"),
        (setting(timeout=None), "expected the setting timeout, as the receiver can hang"),
        (
            box(failed=lambda *_: Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.ABORTED, message="no")),
            "expected the reason timeout, got aborted",
        ),
    ],
    "test_cancelled_in_the_middle_it_leaves_nothing_behind": [
        (box(wait=is_deaf), r"expected send\(\) to end within 2 s when it is cancelled; it goes on"),
        (box(send=swallows), r"expected cancellation to pass through send\(\)"),
        (box(send=leaves_a_half), "left behind, got half done: a file"),
        (box(send=blocks), r"it blocks the event loop, at .*threading.py:\d+ wait"),
    ],
    "test_closed_in_the_middle_it_ends": [
        (box(wait=is_stuck_when_closed, close=says_closed), r"send\(\) raised RuntimeError: the session is closed"),
    ],
    "test_secrets_are_not_shown_in_outcomes": [
        (box(send=shows_its_token), "expected no secret in the outcome of a receiver that is well"),
    ],
}


def test_each_check_can_fail() -> None:
    assert sorted(FAULTS) == CHECKS


@pytest.mark.parametrize(
    ("check", "broken", "said"),
    [
        pytest.param(check, broken, said, id=f"{check}-{number}")
        for check, faults in FAULTS.items()
        for number, (broken, said) in enumerate(faults, 1)
    ],
)
def test_what_is_broken_fails_its_check(check: str, broken: Any, said: str) -> None:
    suite = broken if isinstance(broken, DestinationConformance) else suite_of(broken, patience_s=PATIENCE_S)
    with pytest.raises(AssertionError) as caught:
        getattr(suite, check)()
    assert re.search(said, str(caught.value), re.DOTALL), caught.value


def test_what_a_receiver_cannot_do_is_not_asked_for() -> None:
    class Calm(Shelf):
        cannot = MappingProxyType({Manner.HANG: "a shelf stands still"})

        def hanging(self) -> int:
            raise AssertionError("it was asked for")

    @contextmanager
    def calm() -> Iterator[Receiver]:
        receiver = Calm()
        Shelf.ALL[receiver.name] = receiver
        yield receiver
        del Shelf.ALL[receiver.name]

    suite = suite_of(setting(timeout=None), receiver=staticmethod(calm))
    suite.test_a_receiver_that_hangs_is_left_at_the_timeout()
    suite.test_cancelled_in_the_middle_it_leaves_nothing_behind()
    suite.test_as_many_are_sent_at_once_as_its_concurrency_says()


def test_a_kind_may_say_what_it_refuses() -> None:
    suite = suite_of(box(send=takes_no_batches), may_refuse=lambda _, form: form.startswith("a batch"))
    suite.test_each_form_of_message_is_delivered()


def test_what_tells_cases_apart_is_no_object_of_settings() -> None:
    cases = [{"if": {"properties": {"place": {"const": "attic"}}}, "then": {"required": ["token"]}}]
    suite = suite_of(replace(KIND, schema={**SCHEMA, "allOf": cases}))
    suite.test_the_schema_takes_no_setting_that_it_does_not_name()
    suite.test_every_setting_is_described()
    suite.test_the_schema_has_only_keywords_that_are_known()


def test_the_keywords_of_our_own_are_those_that_the_configuration_reads() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "pipeline" / "config").glob("*.py")]
    assert {found for source in sources for found in re.findall(r"\"(x-[a-z-]+)\"", source)} == OWN


def test_the_suite_needs_no_pytest() -> None:
    program = """
        import sys, unittest
        from tests.support.boxes import KIND, suite_of
        case = type("TestBox", (type(suite_of(KIND)), unittest.TestCase), {})
        ended = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
        print(ended.wasSuccessful(), ended.testsRun, "pytest" in sys.modules)
        """
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.stdout == f"True {len(CHECKS)} False\n", said.stderr

"""What is held, told with why and what helps."""

import pytest

from pipeline.cli.screen.held import of_deliveries, of_destination


@pytest.mark.parametrize(
    ("state", "number", "said"),
    [
        (
            "paused", 1,
            "1 delivery is held, as hook is paused: `sendoff destinations resume hook` has it sent.",
        ),
        (
            "disabled", 2,
            "2 deliveries are held, as hook is disabled: `sendoff destinations resume hook` has them sent.",
        ),
        (
            "unconfigured", 1,
            ("1 delivery is held until hook is in the configuration again; `sendoff cancel ID` gives one up, and "
            "`sendoff deliveries --destination hook --state held` lists what is."),
        ),
        (
            "active", 3,
            "3 deliveries are held; `sendoff deliveries --destination hook --state held` lists what is.",
        ),
    ],
)  # fmt: skip
def test_every_state_has_its_sentence(state: str, number: int, said: str) -> None:
    assert of_destination("hook", state, number) == said


def test_what_is_held_is_counted_by_destination_and_nothing_else_is() -> None:
    owed = [
        {"destination": name, "state": state, "reason": reason}
        for name, state, reason in (
            ("hook", "held", "paused"),
            ("mail", "delivered", None),
            ("hook", "held", "paused"),
            ("mail", "held", "disabled"),
        )
    ]
    assert [each.partition(":")[0] for each in of_deliveries(owed)] == [
        "2 deliveries are held, as hook is paused",
        "1 delivery is held, as mail is disabled",
    ]

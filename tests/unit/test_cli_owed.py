"""Which deliveries are shown of many, and what is said of the others."""

from typing import Any

import pytest

from pipeline.cli.owed import SHOWN, first_ones
from pipeline.cli.subjects import Kind, Subject
from pipeline.model import DeliveryState


def owed(*states: str) -> list[dict[str, Any]]:
    return [{"id": str(number), "state": state} for number, state in enumerate(states)]


def test_what_needs_somebody_goes_first_and_each_state_stays_newest_first() -> None:
    found = owed("delivered", "pending", "dead", "held", "dead", "retrying")
    shown, others, left_out = first_ones(Subject("job", {"id": "ID"}), found, has_more=False)
    assert [each["id"] for each in shown] == ["2", "4", "3", "5", "1", "0"]
    assert (others, left_out) == ([], "")


def test_every_state_has_its_place() -> None:
    found = owed(*map(str, DeliveryState))
    assert len(first_ones(Subject("job", {"id": "ID"}), found, has_more=False).shown) == len(DeliveryState)


@pytest.mark.parametrize(
    ("kind", "has_more", "said"),
    [
        ("job", False, "... and 3 more: 1 dead, 2 delivered; `sendoff deliveries --job ID --limit 23` lists them"),
        ("batch", False, "... and 3 more: 1 dead, 2 delivered; `sendoff explain ID --json` lists them"),
        (
            "job", True,
            ("... and 3 more: 1 dead, 2 delivered, and older ones, which were not looked at; "
             "`sendoff explain ID --json` lists them"),
        ),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted_and_listed(kind: Kind, has_more: bool, said: str) -> None:
    found = owed("delivered", *["dead"] * (SHOWN + 1), "delivered")
    assert first_ones(Subject(kind, {"id": "ID"}), found, has_more=has_more).left_out == said

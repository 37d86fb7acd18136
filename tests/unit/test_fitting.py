"""What of a body does not fit is told in few words, whatever was sent."""

from typing import Any

import pytest

from pipeline.web.fitting import misfits

LONG = "1" * 1_000_000
KNOWN = "expected a known key (body, body_base64, headers, tags, key), got "


@pytest.mark.parametrize(
    ("item", "path", "pointer", "detail"),
    [
        ({LONG: 1}, "", "", f'{KNOWN}"{LONG[:59]}...'),
        ({"headers": {LONG: "x"}}, "headers", "/headers", f'expected the name of a header, got "{LONG[:59]}...'),
        ({"tags": [f"{LONG}\n"]}, "tags[0]", "/tags/0", None),
        ({"k" * 100: 1}, "k" * 100, "/" + "k" * 100, f'{KNOWN}"{"k" * 59}...'),
    ],
)
def test_what_is_very_long_is_told_shortly(item: Any, path: str, pointer: str, detail: str | None) -> None:
    (found,) = misfits("batch-item", item, most=1)
    assert (found.path, found.pointer) == (path, pointer)
    assert detail in (None, found.detail)
    assert len(found.detail) <= 500


def test_a_span_of_very_many_digits_is_refused_as_any_other() -> None:
    (found,) = misfits("replay-request", {"since": "1h", "rate": f"{LONG}\n"})
    assert found.detail == f'expected a rate such as 50/s, got "{LONG[:59]}...'


def test_of_very_many_wrong_states_the_first_are_told() -> None:
    states = [state for number in range(30_000) for state in (number, str(number))]
    found = misfits("replay-request", {"since": "1h", "states": states})
    assert [each.path for each in found] == [f"states[{index}]" for index in range(10)]

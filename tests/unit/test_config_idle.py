"""What a configuration says to no effect: secrets that never sign, limits that leave nothing to be limited."""

from pathlib import Path

import pytest

from tests.support.command import sendoff


def warned(folder: Path) -> list[str]:
    """Return what `check` warns of, each with its place."""
    lines = sendoff(folder, "check").stdout.splitlines()
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


OF_OLD = "[{secret: 'raw:old_secret_of_ours', until: 2999-01-01T00:00:00Z}"
OF_OLDER = "{secret: 'raw:older_secret_of_ours', until: 2998-01-01T00:00:00Z}"


@pytest.mark.parametrize(
    ("layout", "secrets", "idle"),
    [
        ("github", "['raw:new_secret_of_ours', 'raw:old_secret_of_ours']", ["secrets[1]"]),
        (
            "github",
            "['raw:new_secret_of_ours', {secret: 'raw:old_secret_of_ours', until: 2999-01-01T00:00:00Z}]",
            ["secrets[1].secret"],
        ),
        ("github", f"{OF_OLD}, 'raw:new_secret_of_ours']", []),
        (
            "github",
            f"{OF_OLD}, {{secret: 'raw:older_secret_of_ours', until: 2998-01-01T00:00:00Z}}]",
            ["secrets[1].secret"],
        ),
        ("github", "['raw:only_secret_of_ours']", []),
        ("stripe", "['raw:new_secret_of_ours', 'raw:old_secret_of_ours']", []),
        ("standard", "['raw:new_secret_of_ours', 'raw:old_secret_of_ours']", []),
    ],
)
def test_a_secret_that_never_signs_is_a_warning(tmp_path: Path, layout: str, secrets: str, idle: list[str]) -> None:
    text = f"destinations: {{h: {{type: webhook, url: 'https://h/', signature: {layout}, secrets: {secrets}}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(text)
    said = [line.partition(": ")[2].partition(": ") for line in warned(tmp_path)]
    assert [place for place, _, _ in said] == [f"destinations.h.{each}" for each in idle]
    for _, _, sentence in said:
        assert sentence.startswith("never signs: signature: github has room for one signature, that of the first")
        assert sentence.endswith("to rotate, put the old secret first, with `until`, and the new one behind it")


RETRIES = """\
functions:
  settings:
    a-background: {retry: {waits: [1m, 2m], max_age: 60s}}
    b-background: {retry: {waits: [1m, 2m], max_age: 61s}}
    c-background: {retry: {waits: [], max_age: 1s}}
destinations:
  named: {type: webhook, url: "https://h/", retry: {name: default, max_age: 2s}}
  grown: {type: email, smtp: smtp://h, from: a@b.c, to: [a@b.c], retry: {exponential: {base: 10m}, max_age: 5m}}
  quick: {type: function, function: a-background, retry: {waits: [0s, 1h], max_age: 1s}}
  plain: {type: webhook, url: "https://h/", retry: [1h]}
"""


def test_a_max_age_that_leaves_no_retry_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text(RETRIES)
    said = [line.partition(": ")[2].split(".retry.max_age: ") for line in warned(tmp_path)]
    told = {
        place: sentence.partition("the first retry, which comes ")[2].partition(" after")[0] for place, sentence in said
    }
    assert told == {
        "functions.settings.a-background": "1 m",
        "destinations.named": "5.0 s",
        "destinations.grown": "10 m",
    }

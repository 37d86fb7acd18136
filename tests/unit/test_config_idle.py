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


GROWING = """\
functions:
  settings:
    a-background: {retry: {exponential: {base: 2m, max: 90s}}}
    b-background: {retry: {exponential: {base: 2m, max: 2m}}}
    c-background: {retry: {exponential: {base: 1h}}}
destinations:
  hook: {type: webhook, url: "https://h/", retry: {exponential: {base: 25h}}}
"""


def test_a_longest_wait_below_the_first_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text(GROWING)
    said = [line.partition(": ") for line in warned(tmp_path)]
    assert [(place, sentence) for place, _, sentence in said] == [
        (
            "sendoff.yaml:3:57",
            (
                "functions.settings.a-background.retry.exponential.max: is less than base (2 m), so that every wait is "
                "of 1 m 30 s"
            ),
        ),
        (
            "sendoff.yaml:7:65",
            "destinations.hook.retry.exponential.max: is less than base (1 d 1 h), so that every wait is of 1 d",
        ),
    ]


def test_a_rate_that_lets_hardly_anything_through_is_a_warning(tmp_path: Path) -> None:
    rates = {"a": "0.000001/h", "b": "0.04/h", "c": "0.05/h", "d": "1/h"}
    hooks = (f"{name}: {{type: webhook, url: 'https://h/', rate: {rate}}}" for name, rate in rates.items())
    (tmp_path / "sendoff.yaml").write_text(f"destinations: {{{', '.join(hooks)}}}\n")
    assert [line.partition(": ")[2] for line in warned(tmp_path)] == [
        "destinations.a.rate: lets one attempt through in 41666 d 16 h",
        "destinations.b.rate: lets one attempt through in 1 d 1 h",
    ]


@pytest.mark.parametrize(
    ("url", "is_told"), [("https://h/#secret", True), ("https://h/a?b=c#", True), ("https://h/a%23b", False)]
)
def test_a_fragment_of_a_url_is_a_warning_that_does_not_show_it(tmp_path: Path, url: str, is_told: bool) -> None:
    (tmp_path / "sendoff.yaml").write_text(f"destinations: {{h: {{type: webhook, url: '{url}'}}}}\n")
    expected = (
        "sendoff.yaml:1:40: destinations.h.url: what stands behind its # is never sent: leave it out, or write %23 for "
        "a # of the path or the query"
    )
    assert warned(tmp_path) == [expected] * is_told


KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
ENDING = "{{secret: 'whsec_{}', until: {}-01-01T00:00:00Z}}"


@pytest.mark.parametrize(
    ("layout", "secrets", "again"),
    [
        ("standard", f"['whsec_{KEY}', 'whsec_{KEY}']", [(1, 0)]),
        ("standard", f"['whsec_{KEY}', 'raw:another_secret_of_ours', 'whsec_{KEY.rstrip('=')}']", [(2, 0)]),
        ("standard", f"['raw:01234567890123456789012345678901', 'whsec_{KEY}', 'whsec_{KEY}']", [(1, 0), (2, 0)]),
        ("standard", f"['whsec_{KEY}', 'raw:another_secret_of_ours']", []),
        ("github", f"['whsec_{KEY}', 'whsec_{KEY}']", [(1, 0)]),
        ("stripe", f"['whsec_{KEY}', 'raw:whsec_{KEY}']", [(1, 0)]),
        ("stripe", f"['whsec_{KEY}', 'raw:01234567890123456789012345678901']", []),
    ],
)
def test_a_secret_that_is_listed_again_is_a_warning_that_does_not_show_it(
    tmp_path: Path, layout: str, secrets: str, again: list[tuple[int, int]]
) -> None:
    text = f"destinations: {{h: {{type: webhook, url: 'https://h/', signature: {layout}, secrets: {secrets}}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(text)
    assert [line.partition(": ")[2] for line in warned(tmp_path) if "never signs" not in line] == [
        f"destinations.h.secrets[{number}]: is the secret of secrets[{before}] again: leave it out, or write the other "
        "one that was meant"
        for number, before in again
    ]


def test_a_secret_listed_again_with_an_end_is_told_once(tmp_path: Path) -> None:
    ends = f"{ENDING.format(KEY, 2999)}, {ENDING.format(KEY, 2998)}"
    text = f"destinations: {{h: {{type: webhook, url: 'https://h/', signature: github, secrets: [{ends}]}}}}\n"
    (tmp_path / "sendoff.yaml").write_text(text)
    (said,) = warned(tmp_path)
    assert ": destinations.h.secrets[1].secret: is the secret of secrets[0].secret again" in said

"""An option that a command does not know: its own usage is shown, and not that of all commands."""

import pytest

from pipeline.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        ("secret new --foo", "sendoff secret new"),
        ("jobs --foo", "sendoff jobs"),
        ("destinations --foo", "sendoff destinations"),
        ("destinations test --foo hook", "sendoff destinations test"),
        ("batch work --foo a --new b", "sendoff batch"),
    ],
)
def test_an_unknown_option_is_told_with_the_usage_of_its_command(
    arguments: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {usage} [-h]")
    assert said.endswith(f"{usage}: error: unrecognized arguments: --foo\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("jobs --since -1h", "argument --since: expected a value, got '-1h': leave out the minus, as in --since 1h"),
        (
            "destinations replay hook --since -90m",
            "argument --since: expected a value, got '-90m': leave out the minus, as in --since 90m",
        ),
        (
            "wait ID --timeout -5s",
            "argument --timeout: expected a value, got '-5s': leave out the minus, as in --timeout 5s",
        ),
        ("jobs --tag -x1", "argument --tag: expected a value, got '-x1', which stands for an option: write --tag=-x1"),
        ("jobs --tag --json", "argument --tag: expected one argument"),
        ("jobs --since", "argument --since: expected one argument"),
        ("jobs --since=-1h", "argument --since: expected a duration such as 30s, 10m, 2h or 7d, got '-1h'"),
    ],
)
def test_a_value_that_looks_like_an_option_is_told_with_what_to_write(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip("\n").endswith(said)


def test_an_unknown_option_before_the_command_is_that_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--foo", "jobs"])
    assert capsys.readouterr().err.startswith("usage: sendoff [-h] [--version] COMMAND ...")

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


def test_an_unknown_option_before_the_command_is_that_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--foo", "jobs"])
    assert capsys.readouterr().err.startswith("usage: sendoff [-h] [--version] COMMAND ...")

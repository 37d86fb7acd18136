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


TAG = "argument --tag: expected 1 to 100 characters such as nightly, none that steers a terminal, got "
KEY = (
    "argument --key: expected 1 to 255 printable ASCII characters without spaces, quotes and backslashes, such as "
    "nightly-17, got "
)
DELAY = "argument --delay: expected a duration from now on such as 90, 30s, 2m or 1h, of at most 366d, got "
METHOD = "argument --method: expected a method such as POST or PUT, got "


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--tag", "\udcfc", f"{TAG}'\\udcfc'"),
        ("--tag", "", f"{TAG}''"),
        ("--tag", " ", f"{TAG}' '"),
        ("--tag", "a\nb", f"{TAG}'a\\nb'"),
        ("--tag", "a" * 101, f"{TAG}101 characters"),
        ("--key", "", f"{KEY}''"),
        ("--key", "\u00fc", f"{KEY}'\u00fc'"),
        ("--key", "a b", f"{KEY}'a b'"),
        ("--key", "a" * 256, f"{KEY}256 characters"),
        ("--delay", "-5", f"{DELAY}'-5'"),
        ("--delay", "", f"{DELAY}''"),
        ("--delay", "5x", f"{DELAY}'5x'"),
        ("--delay", "367d", f"{DELAY}'367d'"),
        ("--delay", "9" * 400 + "d", f"{DELAY}401 characters"),
        ("--delay", "-5s", "argument --delay: expected a value, got '-5s': leave out the minus, as in --delay 5s"),
        ("--method", "", f"{METHOD}''"),
        ("--method", "\u00fc", f"{METHOD}'\u00fc'"),
        ("--method", "GET X", f"{METHOD}'GET X'"),
    ],
)
def test_a_value_that_no_service_takes_is_told_with_its_option_before_anything_is_sent(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["invoke", "work", option, value, "--url", "http://127.0.0.1:1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip("\n").endswith(f"sendoff invoke: error: {said}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected a URL that begins with http:// or https://"),
        ("here", "expected a URL that begins with http:// or https://"),
        ("https://a.example/b c", "a URL holds no spaces, control characters or backslashes"),
        ("https://a.example/\u00fc", "a URL holds ASCII only: encode the rest (%xx)"),
    ],
)
def test_a_callback_that_is_no_url_is_told_before_anything_is_sent(
    url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invoke", "work", "--callback", url, "--url", "http://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == f"sendoff: --callback: {said}\n"


def test_an_unknown_option_before_the_command_is_that_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--foo", "jobs"])
    assert capsys.readouterr().err.startswith("usage: sendoff [-h] [--version] COMMAND ...")

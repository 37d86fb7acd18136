"""Where the commands look for the service: the option, the environment, the YAML, the default; and what is no URL."""

from pathlib import Path

import pytest

from pipeline.cli.address import find_address
from pipeline.cli.failures import UsageError


def test_the_option_wins_over_the_environment_and_that_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text("service: {port: 9001}")
    environ = {"SENDOFF_URL": "https://a.example/sendoff/"}
    assert find_address("http://b.example:8080", environ, tmp_path).url == "http://b.example:8080"
    assert find_address(None, environ, tmp_path).url == "https://a.example/sendoff"
    assert find_address(None, {}, tmp_path).url == "http://127.0.0.1:9001"
    assert find_address(None, {}, tmp_path / "elsewhere").url == "http://127.0.0.1:8888"


@pytest.mark.parametrize(
    ("yaml", "url"),
    [
        ("", "http://127.0.0.1:8888"),
        ("service: {}", "http://127.0.0.1:8888"),
        ("service: {host: 0.0.0.0, port: 80}", "http://127.0.0.1:80"),
        ("service: {host: '::'}", "http://[::1]:8888"),
        ("service: {host: '::1'}", "http://[::1]:8888"),
        ("service: {host: 10.0.0.7}", "http://10.0.0.7:8888"),
        ("service: {host: localhost, port: '${PORT}'}", "http://localhost:9002"),
        ("service: {port: '${NOT_SET}'}", "http://127.0.0.1:8888"),
        ("destinations: {a: {type: webhook, secrets: ['${NOT_SET}'], nonsense: 1}}", "http://127.0.0.1:8888"),
        ("service: [1]", "http://127.0.0.1:8888"),
    ],
)
def test_the_yaml_says_where_the_service_listens(yaml: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text(yaml)
    assert find_address(None, {"PORT": "9002"}, tmp_path).url == url


def test_a_yaml_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text("service: [")
    with pytest.raises(UsageError, match=r"sendoff\.yaml cannot be read"):
        find_address(None, {}, tmp_path)
    assert find_address("http://a.example", {}, tmp_path).url == "http://a.example"


@pytest.mark.parametrize(
    "text", ["", "foo", "localhost:8888", "ftp://a.example", "http://", "http://a:b:c", "http://a/?q=1", "http://a:0"]
)
def test_what_is_no_url_is_wrong_usage(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--url: expected a URL"):
        find_address(text, {}, tmp_path)


def test_a_password_does_not_belong_in_a_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SENDOFF_KEY"):
        find_address("http://user:secret@a.example", {}, tmp_path)


def test_the_key_is_not_shown_and_must_be_one(tmp_path: Path) -> None:
    address = find_address(None, {"SENDOFF_KEY": "sk_secret"}, tmp_path)
    assert address.key == "sk_secret"
    assert "secret" not in repr(address)
    with pytest.raises(UsageError, match="SENDOFF_KEY holds"):
        find_address(None, {"SENDOFF_KEY": "a\nb"}, tmp_path)

"""The configuration loaded again: from the same places, and never what a restart is needed for."""

from pathlib import Path

import pytest

from destinations.registry import builtin_kinds
from pipeline.config import Overrides
from pipeline.config.loader import Loader
from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError


def loader(
    folder: Path, path: Path | None = None, environ: dict[str, str] | None = None, **overrides: object
) -> Loader:
    given = Overrides(**overrides)  # type: ignore[arg-type]
    return Loader(path, environ=lambda: environ or {}, kinds=builtin_kinds(), cwd=folder, overrides=given)


def faults(again: Loader, current: Config | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        again.load(current)
    return [str(fault) for fault in raised.value.faults]


def test_the_environment_is_read_anew(tmp_path: Path) -> None:
    environ = {"URL": "http://a.example"}
    (tmp_path / "sendoff.yaml").write_text('destinations: {hook: {type: webhook, url: "${URL}"}}')
    again = loader(tmp_path, environ=environ)
    assert again.load().destinations["hook"].options.url == "http://a.example"
    environ["URL"] = "http://b.example"
    assert again.load().destinations["hook"].options.url == "http://b.example"


def test_a_file_that_was_found_has_to_stay(tmp_path: Path) -> None:
    file = tmp_path / "sendoff.yaml"
    file.write_text("")
    again = loader(tmp_path)
    config = again.load()
    file.unlink()
    assert faults(again, config) == ["sendoff.yaml:1:1: expected a readable file, got: No such file or directory"]


def test_a_file_that_comes_later_is_taken_and_has_to_stay_as_well(tmp_path: Path) -> None:
    again = loader(tmp_path)
    config = again.load()
    assert config.path is None
    file = tmp_path / "sendoff.yaml"
    file.write_text("service: {queue_limit: 7}")
    later = again.load(config)
    assert later.service.queue_limit == 7
    file.unlink()
    assert again.load(config).path is None  # where what came was not taken
    assert faults(again, later) == ["sendoff.yaml:1:1: expected a readable file, got: No such file or directory"]


def test_every_setting_that_needs_a_restart_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("")
    again = loader(tmp_path, Path("other.yaml"))
    default = again.load().store
    file.write_text("service:\n  port: 1\n  queue_limit: 5\n  host: localhost\nstore: sqlite:///x.db\n")
    assert faults(again) == [
        "other.yaml:4:9: service.host: expected 127.0.0.1, as at the start, got localhost, which needs a restart",
        "other.yaml:2:9: service.port: expected 8888, as at the start, got 1, which needs a restart",
        f"other.yaml:5:8: store: expected {default}, as at the start, got {tmp_path}/x.db, which needs a restart",
    ]
    file.write_text("service: {queue_limit: 5}")
    assert again.load().service.queue_limit == 5


def test_a_setting_that_was_taken_out_is_told_where_it_would_stand(tmp_path: Path) -> None:
    file = tmp_path / "sendoff.yaml"
    file.write_text("service: {port: 1}")
    again = loader(tmp_path)
    again.load()
    file.write_text("\nservice: {queue_limit: 5}")
    (fault,) = faults(again)
    assert fault.startswith("sendoff.yaml:2:10: service.port: expected 1, as at the start, got 8888")


@pytest.mark.parametrize("text", ["", "# all is commented out\n# service: {port: 1}\n"])
def test_an_empty_file_is_told_of_as_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sendoff.yaml"
    file.write_text("service: {port: 1}")
    again = loader(tmp_path)
    again.load()
    file.write_text(text)
    assert faults(again) == [
        "sendoff.yaml:1:1: service.port: expected 1, as at the start, got 8888, which needs a restart"
    ]


def test_what_the_command_line_sets_stays(tmp_path: Path) -> None:
    file = tmp_path / "sendoff.yaml"
    file.write_text("")
    again = loader(tmp_path, host="localhost", port=0, store="sqlite:///mine.db")
    again.load()
    file.write_text("service: {port: 1, host: 10.0.0.1}\nstore: sqlite:////other.db\n")
    config = again.load()
    assert (config.service.host, config.service.port, config.store) == ("localhost", 0, tmp_path / "mine.db")

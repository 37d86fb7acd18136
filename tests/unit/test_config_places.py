"""Places: what is wrong with a setting once it is loaded is told where the setting stands."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config import Overrides, load_config
from pipeline.config.settings import Config, FunctionsSettings, ServiceSettings

TEXT = """\
service: {port: 1}
functions:
  settings:
    a-b: {on_success: [x, {to: x}]}
destinations:
  x: {type: box}
"""


def loaded(folder: Path, overrides: Overrides | None = None, path: Path | None = None) -> Config:
    kinds = {"box": SimpleNamespace(schema={"properties": {}}, settings=dict)}
    return load_config(path, environ={}, kinds=kinds, cwd=folder, overrides=overrides)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("service.port", "1:17"),
        ("service.host", "1:10"),
        ("service.retention.dead", "1:10"),
        ("functions.settings.a-b.on_success[1].to", "4:32"),
        ("functions.settings.a-b.on_success[1].when", "4:27"),
        ("functions.settings.a-b.on_failure[0]", "4:10"),
        ("functions.settings.c", "4:5"),
        ("functions.directory", "3:3"),
        ("destinations.x.url", "6:6"),
        ("store", "1:1"),
    ],
)
def test_a_setting_stands_where_it_is_written_or_would_be_added(tmp_path: Path, path: str, place: str) -> None:
    (tmp_path / "sendoff.yaml").write_text(TEXT)
    assert str(loaded(tmp_path).fault(path, "is wrong")) == f"sendoff.yaml:{place}: {path}: is wrong"


def test_what_the_command_line_sets_stands_there(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(TEXT)
    config = loaded(tmp_path, Overrides(port=2, store="sqlite:///x.db"), Path("my.yaml"))
    for path, place in (
        ("service.port", "command line:1:1"),
        ("store", "command line:1:1"),
        ("service", "my.yaml:1:10"),
    ):
        assert str(config.fault(path, "is wrong")) == f"{place}: {path}: is wrong"


@pytest.mark.parametrize("text", ["", "\n", "# only a remark\n\n", "{}\n"])
def test_what_an_empty_file_leaves_out_stands_at_its_beginning(tmp_path: Path, text: str) -> None:
    (tmp_path / "my.yaml").write_text(text)
    config = loaded(tmp_path, path=Path("my.yaml"))
    assert str(config.fault("service.port", "is wrong")) == "my.yaml:1:1: service.port: is wrong"


def test_without_a_file_all_is_the_command_line_s(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert str(config.fault("service.port", "is wrong")) == "command line:1:1: service.port: is wrong"


def test_places_are_no_part_of_what_a_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "sendoff.yaml").write_text("# a remark\n\nservice: {host: '::1'}")
    config = loaded(tmp_path)
    functions = FunctionsSettings(directory=tmp_path / "functions")
    assert config == Config(
        path=tmp_path / "sendoff.yaml", service=ServiceSettings(host="::1"), store=config.store, functions=functions
    )
    assert "places=" not in repr(config)

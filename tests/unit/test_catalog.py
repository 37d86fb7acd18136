"""Which functions a folder holds."""

from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, FunctionsSettings
from pipeline.errors import BadNameError, ConfigurationError, UnknownFunctionError
from pipeline.functions.catalog import Catalog


def catalog(folder: Path, *names: str, content: str = "") -> Catalog:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Catalog.load(FunctionsSettings(directory=folder))


@pytest.mark.parametrize("path", ["hello.py", "hello/hello.py", "hello/index.py"])
def test_three_ways_to_write_a_function(tmp_path: Path, path: str) -> None:
    function = catalog(tmp_path, path).get("hello")
    assert function.path == tmp_path / path
    assert function.folder == function.path.parent
    assert not function.is_background


def test_folder_called_index_is_one_function(tmp_path: Path) -> None:
    assert [function.name for function in catalog(tmp_path, "index/index.py")] == ["index"]


def test_what_is_no_function(tmp_path: Path) -> None:
    names = [
        "_a.py",
        ".b.py",
        "_c/index.py",
        "d/other.py",
        "e.txt",
        "f.PY",
        "g h.py",
        "ä.py",
        f"{'x' * 65}.py",
        "i.j.py",
    ]
    assert len(catalog(tmp_path, *names)) == 0
    (tmp_path / "folder.py").mkdir()
    assert len(catalog(tmp_path)) == 0


def test_names_are_case_sensitive(tmp_path: Path) -> None:
    found = catalog(tmp_path, "Hello.py", f"{'x' * 64}.py")
    assert found.get("Hello").name == "Hello"
    assert found.get("x" * 64)
    with pytest.raises(UnknownFunctionError):
        found.get("hello")


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a\n", "a b", "ä", "a.py", "x" * 65, "\0"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadNameError):
        catalog(tmp_path, "a.py").get(name)


@pytest.mark.parametrize("paths", [("hello.py", "hello/index.py"), ("hello/hello.py", "hello/index.py")])
def test_two_files_for_one_name_are_a_fault_that_names_both(tmp_path: Path, paths: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        catalog(tmp_path, *paths, "other.py", "twice.py", "twice/index.py")
    assert len(caught.value.faults) == 2
    assert all(str(tmp_path / path) in caught.value.faults[0].message for path in paths)
    assert "'hello'" in caught.value.faults[0].message


def test_missing_folder_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a folder of functions, got No such file"):
        catalog(tmp_path / "none")


@pytest.mark.parametrize("path", ["a-background.py", "a-background/index.py", "a-background/a-background.py"])
def test_suffix_makes_background(tmp_path: Path, path: str) -> None:
    assert catalog(tmp_path, path).get("a-background").is_background


@pytest.mark.parametrize(
    ("content", "is_background"),
    [
        ('CONFIG = {"background": True}', True),
        ('CONFIG: dict[str, bool] = {"path": __import__("os").abort(), "background": True}', True),
        ('CONFIG = {"background": False}', False),
        ('CONFIG = {"background": 1}', False),
        ('CONFIG = {**{}, "other": True}', False),
        ('def f():\n    CONFIG = {"background": True}', False),
        ('raise SystemExit\nCONFIG = {"background": True}', True),
    ],
)
def test_config_in_the_file_is_read_without_running_it(tmp_path: Path, content: str, is_background: bool) -> None:
    assert catalog(tmp_path, "a.py", content=content).get("a").is_background is is_background


def test_settings_decide_over_the_file_and_its_name(tmp_path: Path) -> None:
    on, off = FunctionSettings(background=True), FunctionSettings(background=False)
    catalog(tmp_path, "a.py", "b-background.py")
    found = Catalog.load(FunctionsSettings(directory=tmp_path, settings={"a": on, "b-background": off}))
    assert found.get("a").is_background
    assert not found.get("b-background").is_background


def test_syntax_error_is_a_warning_with_its_place(tmp_path: Path) -> None:
    found = catalog(tmp_path, "a-background.py", content="x = 1\ndef f(:\n")
    assert found.get("a-background").is_background
    assert found.warnings == (f"{tmp_path}/a-background.py:2:7: invalid syntax",)


@pytest.mark.parametrize("content", [b"x = '\xff'", b"\0", b"(" * 5000, b"x = '\\d'", b"-" * 100_000 + b"1"])
def test_no_content_stops_the_catalogue(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.py").write_bytes(content)
    assert [function.name for function in catalog(tmp_path)] == ["a"]

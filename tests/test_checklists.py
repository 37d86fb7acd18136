"""What whoever writes a destination is told: each kind meets its checklist, and the guide shows what is there."""

import importlib
import re
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from destinations import egress
from destinations.base import Destination
from destinations.callback.settings import OF_ONE_RECEIVER
from destinations.conformance import DestinationConformance, Manner, Receiver
from destinations.dial import connector, failures
from destinations.plugins.checking import fault_of
from destinations.plugins.finding import GROUP
from destinations.registry import builtin_kinds
from schemas import load_schema
from tests.contract import test_conformance
from tests.support.documents import document, project_files
from tests.support.walkthrough import ROOT

# The checklist of destinations in CONTRIBUTING.md

LEAST = {
    "url": "https://example.com",
    "function": "index-background",
    "smtp": "smtp://localhost",
    "from": "sendoff@example.com",
    "to": ["ops@example.com"],
    "allow_hosts": ["*"],
}
"""Values of the settings that some kind cannot do without."""


@pytest.mark.parametrize("kind", builtin_kinds())
def test_every_kind_of_destination_meets_the_checklist(kind: str) -> None:
    files = project_files()
    assert {f"destinations/{kind}.py", f"destinations/{kind}/destination.py"} & files
    assert f"schemas/{kind}.schema.json" in files
    assert f"tests/contract/test_{kind}.py" in files
    page = f"docs/how-to/configure-{'an' if kind[0] in 'aeiou' else 'a'}-{kind}.md"
    assert page in files
    found = builtin_kinds()[kind]
    settings = found.schema["properties"]
    assert found.schema["additionalProperties"] is False
    assert {"retry", "concurrency"} <= settings.keys()
    assert all("description" in setting for setting in settings.values())
    fixed = OF_ONE_RECEIVER if kind == "callback" else frozenset()
    least = {name: LEAST[name] for name in found.schema.get("required", ())}
    assert {field.name.rstrip("_") for field in fields(found.settings(least))} - fixed == settings.keys()  # type: ignore[arg-type]
    # Those that a callback shares with webhooks stand on the page of these.
    assert load_schema(kind)["properties"].keys() <= set(document(page).spans())
    assert kind in document("CHANGELOG.md").text
    held = [suite.kind.kind for suite in vars(test_conformance).values() if _is_suite(suite)]
    assert held.count(kind) == 1


def _is_suite(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, DestinationConformance) and value is not DestinationConformance


# The checklist of packages in docs/how-to/write-a-destination.md

PLUG_INS = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))


def test_there_is_a_plug_in_to_look_at() -> None:
    assert [path.name for path in PLUG_INS] == ["folder-destination"]


@pytest.mark.parametrize("folder", PLUG_INS, ids=lambda path: path.name)
def test_every_plug_in_meets_the_checklist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    monkeypatch.syspath_prepend(folder)
    for name, target in project["entry-points"][GROUP].items():
        module, _, attribute = target.partition(":")
        kind = getattr(importlib.import_module(module), attribute)
        assert fault_of(kind, name, builtin_kinds()) is None
        readme = document(f"{folder.relative_to(ROOT).as_posix()}/README.md")
        assert kind.schema["properties"].keys() <= set(readme.spans())
        suites = [value for value in vars(importlib.import_module(f"test_{module}")).values() if _is_suite(value)]
        assert [suite.kind for suite in suites] == [kind]
        assert name in document("CHANGELOG.md").text


def test_the_guide_for_destinations_shows_the_example_s_own_code() -> None:
    guide, folder = document("docs/how-to/write-a-destination.md"), ROOT / "examples" / "folder-destination"
    sources = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    for block in guide.blocks("python"):
        assert any(textwrap.indent(block.text, " " * depth) in sources for depth in (0, 4, 8)), block.text
    (shown,) = guide.blocks("toml")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(shown.text)["project"].items() <= project.items()


def test_the_guide_for_destinations_names_the_guard_as_it_is() -> None:
    spans = " ".join(document("docs/how-to/write-a-destination.md").spans())
    told = ((connector, ("connect", "guarded")), (egress, ("OPERATOR",)), (failures, ("reason_of", "sentence_of")))
    for module, names in told:
        assert module.__name__.replace(".", "/") + ".py" in spans
        for name in names:
            assert hasattr(module, name), name
            assert re.search(rf"\b{name}\b", spans), name


def test_the_guide_for_destinations_tells_of_every_manner_and_method_of_receivers() -> None:
    spans = " ".join(document("docs/how-to/write-a-destination.md").spans())
    names = [*Manner.__members__, *(name for name in vars(Receiver) if not name.startswith("_") and name != "note")]
    for name in (*names, *(each for each in vars(Destination) if not each.startswith("_"))):
        assert re.search(rf"\b{name}\b", spans), name

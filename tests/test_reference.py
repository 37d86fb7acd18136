"""The pages of docs/reference: made from the schemas and the route table, and up to date."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from destinations.registry import builtin_kinds
from pipeline.web.routes import ROUTES
from schemas import load_schema, schema_names
from tests.support.documents import document
from tests.support.walkthrough import ROOT

REFERENCE = ROOT / "docs" / "reference"
GENERATOR: dict[str, Any] = runpy.run_path(str(REFERENCE / "generate.py"))
SETTINGS = {"config", *builtin_kinds()}


def test_every_page_is_made_from_the_schemas() -> None:
    assert {path.name for path in REFERENCE.glob("*.md")} == GENERATOR["PAGES"].keys()


@pytest.mark.parametrize("name", GENERATOR["PAGES"])
def test_the_pages_are_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == GENERATOR["PAGES"][name](), "run `make reference`, and commit"


def test_the_generator_writes_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["generate.py", str(tmp_path)])
    runpy.run_path(str(REFERENCE / "generate.py"), run_name="__main__")
    assert (tmp_path / "api.md").read_text() == (REFERENCE / "api.md").read_text()


@pytest.mark.parametrize("name", schema_names())
def test_every_key_of_every_schema_is_told(name: str) -> None:
    page = document("docs/reference/configuration.md" if name in SETTINGS else "docs/reference/api.md")
    cells = {span.rpartition(".")[2] for span in page.spans()}
    missing = {key for key in keys(load_schema(name)) if key not in cells}
    # They are headings: tables of their own stand under them.
    assert missing <= {"service", "functions", "settings", "retention", "destinations"}


def keys(schema: Any) -> set[str]:
    """Return every key that a schema knows, at any depth."""
    if isinstance(schema, list):
        return {key for part in schema for key in keys(part)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for part in schema.values() for key in keys(part)}


def test_every_route_is_told() -> None:
    spans = document("docs/reference/api.md").spans()
    assert {path.replace("{rest:.*}", "{rest}") for _, path, *_ in ROUTES} <= set(spans)

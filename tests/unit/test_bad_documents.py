"""Bad documents with the kinds of destinations that there are, and every fault of each, word for word.

They stand in `tests/golden/bad-documents.txt`: `|` before a document's lines, `!` before its faults.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from destinations.registry import builtin_kinds
from pipeline.config import load_config
from pipeline.errors import ConfigurationError
from schemas import load_schema
from tests.support.walkthrough import ROOT

TEXT = (ROOT / "tests/golden/bad-documents.txt").read_text("utf-8")


def documents() -> list[Any]:
    """Return every document with its faults."""
    found = []
    for block in TEXT.split("\n\n"):
        lines = block.splitlines()
        text = "\n".join(line[2:] for line in lines if line.startswith("| "))
        faults = [line[2:] for line in lines if line.startswith("! ")]
        if text:
            found.append(pytest.param(text, faults, id=faults[0]))
    return found


DOCUMENTS = documents()


@pytest.mark.parametrize(("text", "expected"), DOCUMENTS)
def test_every_fault_word_for_word(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "sendoff.yaml").write_text(f"{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_config(None, environ={"KEY": "hunter2", "EMPTY": ""}, kinds=builtin_kinds(), cwd=tmp_path)
    faults = [str(fault).replace(str(tmp_path), "FOLDER") for fault in caught.value.faults]
    assert [fault.removeprefix("sendoff.yaml:") for fault in faults] == expected
    assert not any("hunter2" in fault for fault in faults)


def test_there_are_many() -> None:
    assert len(DOCUMENTS) >= 140
    assert TEXT.count("\n| ") == sum(document.values[0].count("\n") + 1 for document in DOCUMENTS)


@pytest.mark.parametrize("kind", builtin_kinds())
def test_every_setting_of_every_kind_is_refused_once(kind: str) -> None:
    name = {"webhook": "h", "email": "m", "function": "n", "callback": "c"}[kind]
    refused = set(re.findall(rf"^! [0-9:]+ destinations\.{name}\.(\w+)", TEXT, re.MULTILINE))
    missing = set(re.findall(r"expected the key (\w+)", TEXT))
    assert set(load_schema(kind)["properties"]) <= refused | missing

"""The documents of a batch; its key: what makes it another, and what does not."""

import os
from errno import EACCES
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.documents import Document, documents_in, key_of, key_of_stream
from pipeline.cli.failures import UsageError

HOOK = "https://one.example/hook"
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)
calls = st.tuples(words, st.lists(words, max_size=3).map(tuple), st.none() | words)
DOCUMENT = Document(path=Path("a"), name="a", size=1, modified_ns=1)


def of_files(function: str, tags: tuple[str, ...], callback: str | None) -> str:
    return key_of(function, tags, callback, [DOCUMENT])


def of_lines(function: str, tags: tuple[str, ...], callback: str | None) -> str:
    return key_of_stream(function, tags, callback, BytesIO(b"{}\n"))


def test_the_same_documents_with_another_callback_are_another_batch() -> None:
    for key in (of_files, of_lines):
        keys = {key("work", (), callback) for callback in (None, HOOK, "https://other.example/")}
        assert len(keys) == 3
        assert key("work", (), HOOK) in keys


@given(calls, calls)
def test_a_key_is_the_same_for_the_same_call_alone(first: object, second: object) -> None:
    for key in (of_files, of_lines):
        assert (key(*first) == key(*second)) == (first == second)  # type: ignore[misc]


def test_a_folder_in_it_that_cannot_be_listed_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def guarded(path: str) -> object:  # no mode shuts root out
        if path.endswith("shut"):
            raise PermissionError(EACCES, os.strerror(EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    left_out: list[str] = []
    with pytest.raises(UsageError, match="shut cannot be read: Permission denied"):
        documents_in([str(tmp_path)], left_out.append)

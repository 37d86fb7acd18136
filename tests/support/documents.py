"""The documentation as data: its files, their fenced blocks, links, and what they name in code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from tests.support.walkthrough import ROOT

_IGNORED = {".git", ".venv", "__pycache__", "data", "build", "dist"}
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` says why it is not run, where it is not."""

    language: str
    text: str
    reason: str | None


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path within the project."""
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self, language: str) -> list[Block]:
        """Return the fenced blocks in a language, in order."""
        found = (Block(match["language"], match["text"], match["reason"]) for match in _FENCE.finditer(self.text))
        return [block for block in found if block.language == language]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def links(self) -> list[str]:
        """Return the targets of all links."""
        return [unquote(target) for target in _LINK.findall(self.prose)]

    def spans(self) -> list[str]:
        """Return what stands in backticks within the prose."""
        return _SPAN.findall(self.prose)

    def anchors(self) -> set[str]:
        """Return the anchors of the headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(self.prose)}


@cache
def project_files() -> frozenset[str]:
    """Return all files and folders of the project, but for what is made by building and running it."""
    return frozenset(path.relative_to(ROOT).as_posix() for path in _walk(ROOT))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _IGNORED or path.name.endswith((".egg-info", "_cache")):
            continue
        yield path
        if path.is_dir():
            yield from _walk(path)


@cache
def documents() -> tuple[Document, ...]:
    """Return the whole documentation; the documents of the example are not part of it."""
    names = sorted(name for name in project_files() if name.endswith(".md"))
    wanted = (name for name in names if not name.startswith("examples/documents/documents/"))
    return tuple(Document(ROOT / name, (ROOT / name).read_text("utf-8")) for name in wanted)


def document(name: str) -> Document:
    """Return one file of the documentation."""
    return next(each for each in documents() if each.name == name)

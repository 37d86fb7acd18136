"""The Dockerfile as data: its instructions, stage by stage."""

import json
import re
from dataclasses import dataclass

from tests.support.walkthrough import ROOT


@dataclass(frozen=True)
class Image:
    """Instructions in order: a name, and what stands behind it on one line."""

    steps: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls) -> "Image":
        """Read the project's Dockerfile."""
        text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        steps = [line.partition(" ") for line in lines if line.strip()]
        assert all(re.fullmatch(r"[A-Z]+", name) for name, _, _ in steps), steps
        return cls(tuple((name, rest.strip()) for name, _, rest in steps))

    def all(self, name: str) -> list[str]:
        """Return what stands behind each instruction of this name."""
        return [rest for step, rest in self.steps if step == name]

    def words(self, name: str) -> list[str]:
        """Return the words of the one instruction of this name, which is in exec form."""
        (rest,) = self.all(name)
        words = json.loads(rest[rest.index("[") :])
        assert all(isinstance(word, str) for word in words)
        return list(words)

    def last_stage(self) -> "Image":
        """Return the instructions of the stage that becomes the image."""
        start = max(number for number, (name, _) in enumerate(self.steps) if name == "FROM")
        return Image(self.steps[start:])

    def sources(self) -> set[str]:
        """Return what is copied out of the project."""
        copies = [rest.split() for rest in self.all("COPY") if not rest.startswith("--from=")]
        return {source for *sources, _ in copies for source in sources}

"""Writes what a function answered: bytes as they are to files and pipes, clean text to terminals."""

import sys
from pathlib import Path

from pipeline.cli.failures import CommandError
from pipeline.cli.refusals import Answer
from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_text, is_text


def write_body(answer: Answer, output: Path | None = None) -> None:
    """Write the answer's body to the file, else to stdout; CommandError for what a terminal cannot show."""
    if output is not None:
        try:
            output.write_bytes(answer.body)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}") from error
        return
    sys.stdout.flush()
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(answer.body)
        sys.stdout.buffer.flush()
        return
    packed = answer.headers.get("content-encoding")
    text = None if packed else is_text(answer.body)
    if text is None:
        kind = packed or answer.content_type or "no text"
        size = words.count(len(answer.body), f"byte of {kind} is", f"bytes of {kind} are")
        raise CommandError(f"{size} nothing for a terminal", "Write them to a file: -o FILE")
    text = clean_text(text)
    print(text, end="" if text.endswith("\n") or not text else "\n")

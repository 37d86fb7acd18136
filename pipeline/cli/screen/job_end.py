"""How a job ended, in a line, and below it what went wrong."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line
from pipeline.cli.screen.console import styled_state
from pipeline.spans import span


def print_end(console: Console, job: Any) -> None:
    """Print it."""
    seconds = (datetime.fromisoformat(job["ended_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
    line = Text.assemble((job["function"], "bold"), "  ", styled_state(words.state(job)), f" after {span(seconds)}")
    if job["run"]:
        line.append(f", attempt {job['attempt']} of {job['max_attempts']}")
    if owed := words.deliveries(job["deliveries"]):
        line.append(f"; deliveries: {owed}")
    console.print(line, soft_wrap=True)
    if (error := job["error"]) is not None:
        console.print(
            Text(f"  {clean_line(error['errorType'])}: {clean_line(error['errorMessage'])}", "red"), soft_wrap=True
        )
    if job["state"] != "succeeded":
        console.print(f"  all about it: sendoff job {job['id']}", soft_wrap=True)

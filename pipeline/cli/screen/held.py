"""What is held, in sentences: how much of it, why, and what has it sent. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line


def of_deliveries(deliveries: Iterable[Any]) -> Iterator[str]:
    """Yield a sentence for each destination that holds some of these deliveries."""
    held = Counter((each["destination"], each["reason"]) for each in deliveries if each["state"] == "held")
    return (of_destination(name, reason, number) for (name, reason), number in held.items())


def of_destination(name: str, state: str, number: int) -> str:
    """Return the sentence for so many that are held, as their destination is in this state."""
    shown, are = clean_line(name), words.count(number, "delivery is", "deliveries are")
    listed = f"`sendoff deliveries --destination {shown} --state held` lists what is"
    if state == "unconfigured":
        return (
            f"{are} held until {shown} is in the configuration again; `sendoff cancel ID` gives one up, and {listed}."
        )
    if state in ("paused", "disabled"):
        what = "it" if number == 1 else "them"
        return f"{are} held, as {shown} is {state}: `sendoff destinations resume {shown}` has {what} sent."
    return f"{are} held; {listed}."  # it takes deliveries again by now

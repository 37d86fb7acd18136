"""A kind of destination that keeps its contract, of which tests break one thing at a time; its receiver is a shelf."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from destinations.base import Kind, Sending
from destinations.conformance import DestinationConformance, Manner, Receiver
from pipeline.config.secret import Secret
from pipeline.config.settings import RetrySpec
from pipeline.model import DeliveryReason, Outcome, Verdict

TOKEN = "open-sesame"
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "place": {"description": "Which shelf.", "type": "string"},
        "token": {"description": "Who it is.", "type": ["string", "null"], "x-secret": True, "default": None},
        "timeout": {"description": "How long.", "$ref": "#/$defs/duration", "default": "5s"},
        "concurrency": {"description": "How many.", "type": "integer", "minimum": 1, "maximum": 9, "default": 4},
        "retry": {"description": "When.", "$ref": "#/$defs/retry", "default": "default"},
    },
    "required": ["place"],
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    place: str
    token: Secret | None = None
    timeout: float = 5.0
    concurrency: int = 4
    retry: RetrySpec = field(default_factory=lambda: RetrySpec(name="default"))


class Shelf(Receiver):
    """Takes texts; where it hangs, they wait."""

    ALL: ClassVar[dict[str, "Shelf"]] = {}

    def __init__(self) -> None:
        self.name = f"shelf {id(self)}"
        self.manner = Manner.WELL
        self.waiting = 0
        self.refusals = 0
        self.taken: list[str] = []
        self.halves: list[str] = []
        self.free = threading.Event()

    @property
    def options(self) -> Mapping[str, Any]:
        return {"place": self.name, "token": TOKEN}

    def answer(self, manner: Manner) -> None:
        self.manner = manner

    def ids(self) -> Sequence[str]:
        return self.taken

    def refused(self) -> int:
        return self.refusals

    def hanging(self) -> int:
        return self.waiting

    def release(self) -> None:
        self.manner = Manner.WELL if self.manner is Manner.HANG else self.manner
        self.free.set()

    def half_done(self) -> Sequence[str]:
        return self.halves


@contextmanager
def shelf() -> Iterator[Receiver]:
    """Have a shelf."""
    receiver = Shelf()
    Shelf.ALL[receiver.name] = receiver
    try:
        yield receiver
    finally:
        receiver.release()
        del Shelf.ALL[receiver.name]


class Box:
    """A destination without fault."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings

    @property
    def shelf(self) -> Shelf:
        return Shelf.ALL[self.settings.place]

    def recipients(self) -> tuple[str, ...]:
        return ("",)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def id_of(self, sending: Sending) -> str:
        return sending.message.id

    def failed(self, verdict: Verdict, reason: DeliveryReason) -> Outcome:
        return Outcome(verdict=verdict, reason=reason, message=f"the shelf said {reason}")

    async def send(self, sending: Sending) -> Outcome:
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self.wait()
        except TimeoutError:
            return self.failed(Verdict.TEMPORARY, DeliveryReason.TIMEOUT)
        self.shelf.refusals += self.shelf.manner in (Manner.TEMPORARY, Manner.PERMANENT)
        match self.shelf.manner:
            case Manner.TEMPORARY | Manner.ABSENT:
                return self.failed(Verdict.TEMPORARY, DeliveryReason.CONNECTION_REFUSED)
            case Manner.PERMANENT:
                return self.failed(Verdict.PERMANENT, DeliveryReason.REJECTED)
        self.shelf.taken.append(self.id_of(sending))
        return Outcome(verdict=Verdict.DELIVERED)

    async def wait(self) -> None:
        self.shelf.waiting += 1
        try:
            while self.shelf.manner is Manner.HANG:
                await asyncio.sleep(0.001)
        finally:
            self.shelf.waiting -= 1


KIND = Kind(kind="box", schema=SCHEMA, settings=lambda options: Settings(**options), make=Box)


def suite_of(kind: Kind, **attributes: Any) -> DestinationConformance:
    """Return the suite for a kind whose receiver is a shelf; attributes are those of its class."""
    settings = {"kind": kind, "receiver": staticmethod(shelf), **attributes}
    made: DestinationConformance = type("Conformance", (DestinationConformance,), settings)()
    return made


def box(**methods: Any) -> Kind:
    """Return the kind with other methods of its destinations."""
    return replace(KIND, make=type("Broken", (Box,), methods))


def setting(**changes: Any) -> Kind:
    """Return the kind with properties of its schema changed; None takes one away."""
    properties = {**SCHEMA["properties"], **changes}
    kept = {name: schema for name, schema in properties.items() if schema is not None}
    return replace(KIND, schema={**SCHEMA, "properties": kept})


def changed(name: str, **changes: Any) -> Kind:
    """Return the kind with keywords of one property changed; None takes one away."""
    schema = {**SCHEMA["properties"][name], **changes}
    return setting(**{name: {key: value for key, value in schema.items() if value is not None or key == "default"}})

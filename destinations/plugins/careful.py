"""The kinds of plug-ins, wrapped: what one does wrong stays the trouble of its own destinations.

The built-in kinds are not wrapped, and pay nothing for this. A plug-in's destination opens, sends and closes on a loop
of its own (`apart`), for a limited time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from destinations.base import CommonSettings, Concern, Destination, End, Kind, PublicKey, Sending
from destinations.common import common_of
from destinations.plugins.apart import Apart, TooLongError
from destinations.plugins.outcomes import bounded, fault_of_outcome
from pipeline.model import DeliveryReason, Outcome, Verdict

OPEN_S, CLOSE_S = 30.0, 5.0
LONGEST_S = 3600.0
"""The longest that an attempt may take where the settings have no `timeout`."""

_log = logging.getLogger(__name__)


def limit_s(settings: object) -> float:
    """Return how long an attempt may take before it is stopped from outside: well over the `timeout` of the settings,
    which is the destination's own to keep.
    """
    timeout: Any = getattr(settings, "timeout", None)
    return 2 * timeout + 10.0 if isinstance(timeout, int | float) and timeout > 0 else LONGEST_S


def careful(kind: Kind, package: str) -> Kind:
    """Return a kind of the plug-in `package` that does no harm."""

    def settings_of(options: Mapping[str, Any]) -> CommonSettings:
        try:
            settings = kind.settings(options)
        except ValueError as error:
            raise ValueError(" ".join(str(error).split()) or "type: expected settings that can be used") from error
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"type: expected ValueError for what is wrong, got {said} from {package}") from error
        try:
            common_of(settings)
        except ValueError as error:
            raise ValueError(f"type: {error} from {package}") from error
        except (Exception, SystemExit) as error:
            said = f"some that raise {type(error).__name__}: {error}"
            raise ValueError(f"type: expected settings that can be read, got {said} from {package}") from error
        return settings

    def make(name: str, settings: Any) -> Destination:
        try:
            return _Careful(kind.make(name, settings), name, settings, package)
        except SystemExit as error:
            raise RuntimeError(f"{package} raised SystemExit: {error}") from error

    def warn(settings: Any, ends: frozenset[End]) -> Iterable[Concern]:
        try:
            return [(str(option), str(sentence)) for option, sentence in kind.warn(settings, ends)]
        except (Exception, SystemExit) as error:
            return [("type", f"whether it can work cannot be told: {package} raised {type(error).__name__}: {error}")]

    def public_keys(settings: Any) -> Iterable[PublicKey]:
        try:
            keys = list(kind.public_keys(settings))
        except SystemExit as error:
            raise RuntimeError(f"{package} raised SystemExit: {error}") from error
        if not all(map(_is_public_key, keys)):
            raise TypeError(f"expected PublicKey objects, each with a text and a moment with a zone, from {package}")
        return keys

    return replace(kind, settings=settings_of, make=make, warn=warn, public_keys=public_keys)


class _Careful:
    """One destination of a plug-in."""

    def __init__(self, inner: Destination, name: str, settings: CommonSettings, package: str) -> None:
        self._inner = inner
        self._name = name
        self._package = package
        self._limit_s = limit_s(settings)
        self._most = common_of(settings).concurrency
        self._recipients = _recipients_of(inner, package)
        self._apart: Apart | None = None

    def recipients(self) -> tuple[str, ...]:
        """Return what the plug-in said when it was made."""
        return self._recipients

    async def open(self) -> None:
        """Open it on a loop of its own."""
        apart = Apart(f"destination-{self._name}")
        try:
            await apart.run(self._inner.open, OPEN_S)
        except BaseException as error:
            await apart.end()
            if isinstance(error, TooLongError):
                raise TimeoutError(f"{self._package} took more than {OPEN_S:g} s") from error
            if isinstance(error, Exception):
                raise RuntimeError(f"{self._package} raised {type(error).__name__}: {error}") from error
            raise
        self._apart = apart

    async def close(self) -> None:
        """Close it; whatever goes wrong is logged, and keeps nobody else from being closed."""
        apart, self._apart = self._apart, None
        if apart is None:
            return
        try:
            await apart.run(self._inner.close, CLOSE_S)
        except Exception as error:
            self._complain("could not be closed: %s: %s", type(error).__name__, error)
        if not await apart.end():
            self._complain("does not end; its thread is left behind")

    async def send(self, sending: Sending) -> Outcome:
        """Send, and say what happened; what the plug-in raises goes on, as an Exception."""
        apart = self._apart
        if apart is None:
            raise RuntimeError("the destination is closed")
        if apart.stuck >= self._most:
            return _failed(
                DeliveryReason.ABORTED,
                f"{_stopped(apart.stuck)} not ended: {self._package} blocks, or ignores that it is cancelled",
            )
        here = asyncio.get_running_loop()
        there = replace(sending, read_event=partial(_read_across, here, sending.read_event))
        try:
            said = await apart.run(partial(self._inner.send, there), self._limit_s)
        except TooLongError:
            took = f"{self._package} took more than {self._limit_s:g} s, and was stopped"
            return _failed(DeliveryReason.TIMEOUT, took)
        if fault := fault_of_outcome(said):
            self._complain("answered wrongly: %s", fault)
            return _failed(DeliveryReason.ABORTED, f"{self._package} answered wrongly: {fault}")
        return bounded(said)

    def _complain(self, words: str, *args: object) -> None:
        _log.warning(f"the destination %s of the plug-in %s {words}", self._name, self._package, *args)


def _is_public_key(key: object) -> bool:
    if not isinstance(key, PublicKey) or not isinstance(key.text, str):
        return False
    return key.until is None or (isinstance(key.until, datetime) and key.until.tzinfo is not None)


def _recipients_of(inner: Destination, package: str) -> tuple[str, ...]:
    found: Any = inner.recipients()
    is_right = (
        isinstance(found, tuple) and found and all(isinstance(each, str) and each.isprintable() for each in found)
    )
    if not is_right or len(set(found)) != len(found):
        raise TypeError(f"expected recipients as a tuple of different texts from {package}, got {found!r:.80}")
    return tuple(found)


def _failed(reason: DeliveryReason, message: str) -> Outcome:
    return Outcome(verdict=Verdict.TEMPORARY, reason=reason, message=message[:500])


async def _read_across(here: asyncio.AbstractEventLoop, read: Callable[[], Awaitable[bytes]]) -> bytes:
    """Read the event on the service's loop, for somebody on another."""

    async def reading() -> bytes:
        return await read()

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(reading(), here))


def _stopped(number: int) -> str:
    one = "1 attempt before this one was stopped and has"
    return one if number == 1 else f"{number} attempts before this one were stopped and have"

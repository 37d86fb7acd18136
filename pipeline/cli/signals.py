"""What signals ask of the service: SIGTERM and SIGINT to stop, a second one to hurry, SIGHUP to reload."""

import asyncio
import os
import signal
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signals:
    """Each event is set by its signal."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        """Take the process's signals from now on, and a SIGHUP that was held back; needs a running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        had_terminal = _has_terminal() and not is_nohup
        loop.add_signal_handler(signal.SIGHUP, self._on_hang_up, had_terminal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _on_stop(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()

    def _on_hang_up(self, had_terminal: bool) -> None:
        # A closed terminal hangs up, too: whoever closed it wants no service that lives on unseen.
        (self.stop if had_terminal and not _has_terminal() else self.reload).set()


def hold_back_hang_ups() -> None:
    """Keep SIGHUP, which ends a process by default, waiting until `listen`: a reload may be asked for too early."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

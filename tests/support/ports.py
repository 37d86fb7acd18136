"""Ports for servers that end and begin again: meanwhile no other test may be given them."""

import random
import socket
from contextlib import suppress

_BELOW_EPHEMERAL = range(15_000, 32_000)


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, and that the kernel gives to nobody who asks for any port."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().choice(_BELOW_EPHEMERAL)  # the tests' own seed is the same in every run of them
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)

"""The pulse: how late the event loop comes to what is due, looked at once a second."""

import asyncio

from pipeline.telemetry import Telemetry

PERIOD_S = 1.0


class Pulse:
    """Measures the loop that it runs on. It goes by the loop's own clock, since that is what it measures."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def serve(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD_S
            await _at(due)
            self._telemetry.emit("loop.lagged", lag_s=max(0.0, loop.time() - due))


async def _at(due: float) -> None:
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    timer = loop.call_at(due, woken.set_result, None)
    try:
        await woken
    finally:
        timer.cancel()

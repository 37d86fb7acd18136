"""Pausing: an operator holds what is owed to a destination, and lets it go on."""

import asyncio

from pipeline.services.changes import Changes
from pipeline.services.deliveries.destination_lanes import DestinationLanes
from pipeline.services.deliveries.standing import Standing
from pipeline.telemetry import Telemetry


class Pausing:
    """Pauses destinations, and resumes them."""

    def __init__(self, *, standing: Standing, lanes: DestinationLanes, changes: Changes, telemetry: Telemetry) -> None:
        self._standing = standing
        self._lanes = lanes
        self._changes = changes
        self._telemetry = telemetry

    async def pause(self, destination: str) -> bool:
        """Send nothing to a configured destination from now on; False where it is paused already.

        What is being sent ends as it began; what waits for a slot is held before this returns. What comes due is held,
        however long, and spends no attempt.
        """
        try:
            is_new = await self._standing.pause(destination)
        finally:
            self._lanes.follow_standing()
        if not is_new:
            return False
        if going := self._lanes.unbegun.give_back(destination):
            await asyncio.wait(going)
        self._changes.notify_all()  # what is held counts as settled
        self._telemetry.emit("destination.paused", destination=destination)
        return True

    async def resume(self, destination: str) -> bool:
        """Send to a configured destination again, what was held first and at a steady rate, whatever kept it; False
        where nothing did.
        """
        try:
            is_new = await self._standing.resume(destination)
        finally:
            self._lanes.follow_standing()
        if not is_new:
            return False
        self._lanes.spread(destination)
        self._changes.notify_all()
        self._telemetry.emit("destination.resumed", destination=destination)
        return True

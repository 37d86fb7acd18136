"""Leases: what this service claims rows under. The store says whether one still holds."""

from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import Lease

LEASE_S = 30.0
"""How long a claim holds unless it is renewed."""


class Leases:
    """Makes the leases of one service."""

    def __init__(self, owner: str, clock: Clock, ids: IdSource) -> None:
        self.owner = owner
        self._clock = clock
        self._ids = ids

    def expiry(self) -> datetime:
        """Return when a lease that is made or renewed now runs out."""
        return self._clock.now() + timedelta(seconds=LEASE_S)

    def new(self) -> Lease:
        """Return a new lease, under a token that no other has."""
        return Lease(owner=self.owner, token=self._ids.token(), expires_at=self.expiry())

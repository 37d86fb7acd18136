"""Leases: what this service claims rows under. The store says whether one still holds."""

from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.ids import IdSource
from pipeline.model import Lease

LEASE_S = 30.0
"""How long a claim holds unless it is renewed."""
_SHARED_S = 1.0


class Leases:
    """Makes the leases of one service."""

    def __init__(self, owner: str, clock: Clock, ids: IdSource) -> None:
        self.owner = owner
        self._clock = clock
        self._ids = ids
        self._for_new: Lease | None = None
        self._renew_at = clock.monotonic()

    def expiry(self) -> datetime:
        """Return when a lease that is made or renewed now runs out."""
        return self._clock.now() + timedelta(seconds=LEASE_S)

    def new(self) -> Lease:
        """Return a new lease, under a token that no other has."""
        return Lease(owner=self.owner, token=self._ids.token(), expires_at=self.expiry())

    def for_new_row(self) -> Lease:
        """Return a lease for a row that is about to be inserted, the same for a second.

        A token keeps out who held the row before. A new row was held by nobody.
        """
        now = self._clock.monotonic()
        if self._for_new is None or now >= self._renew_at:
            self._for_new, self._renew_at = self.new(), now + _SHARED_S
        return self._for_new

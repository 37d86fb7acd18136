"""What was read since the last commit: only the writer changes the file, so nothing of it has changed since.

Where many ask for the same job, as those do who poll a status URL, most of them are answered without a query.
"""

from collections.abc import Callable

from pipeline.store.reading import JobView

MOST = 1024
"""So many jobs are remembered."""


class Recent:
    """The jobs that were looked up since the last commit."""

    def __init__(self, transactions: Callable[[], int], look_up: Callable[[str], JobView | None]) -> None:
        """`transactions` counts those of the writer that have ended: each before anybody hears of it."""
        self._transactions = transactions
        self._look_up = look_up
        self._seen_at = -1
        self._views: dict[str, JobView] = {}

    def get(self, job_id: str) -> JobView | None:
        """Return the job as it is now, or None."""
        transactions = self._transactions()  # as counted before the query: what is committed meanwhile may be missing
        if transactions != self._seen_at or len(self._views) >= MOST:
            self._views.clear()
            self._seen_at = transactions
        view = self._views.get(job_id)
        if view is None and (view := self._look_up(job_id)) is not None:
            self._views[job_id] = view
        return view

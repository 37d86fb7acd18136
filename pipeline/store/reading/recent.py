"""What was read since the last transaction: only the writer changes the file, so nothing of it has changed since.

Where many ask for the same job, as those do who poll a status URL, most of them are answered without a query.
"""

from functools import partial

from pipeline.store.engine.reader import Reader
from pipeline.store.engine.writer import Writer
from pipeline.store.reading import jobs as reading
from pipeline.store.reading.jobs import JobView

MOST = 1024
"""So many jobs are remembered."""


class Recent:
    """The jobs that were looked up since the last transaction."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._seen_at = -1
        self._views: dict[str, JobView] = {}

    def get(self, job_id: str) -> JobView | None:
        """Return the job as it is now, or None."""
        transactions = self._writer.transactions  # before the query, which may not see what is committed meanwhile
        if transactions != self._seen_at or len(self._views) >= MOST:
            self._views.clear()
            self._seen_at = transactions
        view = self._views.get(job_id)
        if view is None:
            view = self._reader.look_up(partial(reading.get_job, job_id=job_id))
            if view is not None:
                self._views[job_id] = view
        return view

"""What the service says of itself: every fact, with its fields and its level, and the one place through which they go
to the log and to the metrics. How a line of the log looks is said in `service_log`, what a fact adds to the metrics in
`metrics.meters`.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType

from pipeline.mask import Masker
from pipeline.metrics.meters import Meters
from pipeline.service_log import Fields

_D, _I, _W, _E = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
_N = logging.NOTSET  # counted, and never logged

FACTS: Mapping[str, tuple[int, frozenset[str]]] = MappingProxyType(
    {
        name: (level, frozenset(fields.split()))
        for name, level, fields in (
            ("service.started", _I, "url functions destinations store sqlite"),
            ("service.warning", _W, "detail"),
            ("service.draining", _I, "grace_s"),
            ("service.stopped", _I, ""),
            ("config.reloaded", _I, "added changed removed"),
            ("config.fault", _E, "fault"),
            ("config.refused", _E, "reason"),
            ("batch.ended", _I, "batch_id function state succeeded failed cancelled"),
            ("job.accepted", _D, "job_id batch_id function jobs"),
            ("job.cancelled", _I, "job_id batch_id function jobs"),
            ("job.expired", _W, "job_id function"),
            ("call.ended", _D, "id function state reason duration_s"),
            ("run.succeeded", _D, "job_id run function reason next duration_s waited_s"),
            ("run.failed", _I, "job_id run function reason next duration_s waited_s"),
            ("run.returned", _I, "job_id run function reason next duration_s waited_s"),
            ("run.cancelled", _I, "job_id run function reason next duration_s waited_s"),
            ("run.lost", _W, "job_id run function reason next duration_s waited_s"),
            ("run.rescued", _I, "job_id run function"),
            ("run.dropped", _W, "job_id run function"),
            ("run.stale", _W, "job_id run function"),
            ("delivery.skipped", _D, "delivery_id job_id destination"),
            (
                "delivery.delivered",
                _D,
                "delivery_id job_id destination attempt reason error_class duration_s latency_s",
            ),
            ("delivery.retrying", _I, "delivery_id job_id destination attempt reason error_class duration_s latency_s"),
            ("delivery.dead", _W, "delivery_id job_id destination attempt reason error_class duration_s latency_s"),
            ("delivery.cancelled", _I, "delivery_id job_id destination"),
            ("delivery.replayed", _I, "delivery_id job_id destination"),
            ("delivery.rescued", _I, "delivery_id job_id destination"),
            ("replay.started", _I, "replay_id destination"),
            ("replay.ended", _I, "replay_id destination state done skipped"),
            ("destination.paused", _I, "destination"),
            ("destination.resumed", _I, "destination"),
            ("destination.tested", _I, "destination delivered"),
            ("destination.deferred", _I, "destination until"),
            ("destination.breaker_opened", _W, "destination failures reason until"),
            ("destination.breaker_closed", _I, "destination"),
            ("destination.disabled", _E, "destination reason"),
            ("destination.alerted", _I, "destination alert"),
            ("delivery.stale", _W, "delivery_id job_id destination"),
            ("problem.answered", _D, "status path"),
            ("request.failed", _E, "id path"),
            ("task.failed", _E, "job_id run delivery_id"),
            ("store.pruned", _I, "jobs"),
            ("store.committed", _N, "writes duration_s"),
            ("loop.lagged", _N, "lag_s"),
        )
    }
)
"""Every fact: its level, and the fields that it may carry."""


class Telemetry:
    """Writes facts to the log, one line each, and has them counted."""

    def __init__(self, logger: logging.Logger, mask: Masker | None = None) -> None:
        """Write to `logger`; `mask` is the one that its handlers use, and that everything else of the service does."""
        self._logger = logger
        self.mask = mask or Masker()
        self.meters = Meters()
        self._meters = self.meters.of

    def emit(self, name: str, /, **fields: object) -> None:
        """Count and log a fact of FACTS; fields that are None are left out."""
        if (count := self._meters.get(name)) is not None:
            count(fields)
        level, known = FACTS[name]
        if not self._logger.isEnabledFor(level):
            return
        assert known.issuperset(fields), f"{name} has no field {set(fields) - known}"
        self._logger.log(level, "%s%s", name, Fields(fields))

    def failed(self, name: str, error: BaseException, /, **fields: object) -> None:
        """Count and log a fact that an unforeseen error brought about, with its traceback."""
        self._meters[name](fields)
        self._logger.log(FACTS[name][0], "%s%s", name, Fields(fields), exc_info=error)

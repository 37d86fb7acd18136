"""What the service says of itself: every fact that it can log, with its fields and its level, and the one place that
writes them. How a line of the log looks is said in `service_log`.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType

from pipeline.mask import Masker
from pipeline.service_log import Fields

_D, _I, _W, _E = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

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
            ("job.expired", _W, "job_id"),
            ("run.succeeded", _D, "job_id run function reason next"),
            ("run.failed", _I, "job_id run function reason next"),
            ("run.returned", _I, "job_id run function reason next"),
            ("run.cancelled", _I, "job_id run function reason next"),
            ("run.lost", _W, "job_id run function reason next"),
            ("run.rescued", _I, "job_id run function"),
            ("run.dropped", _W, "job_id run function"),
            ("run.stale", _W, "job_id run function"),
            ("delivery.delivered", _D, "delivery_id job_id destination attempt reason"),
            ("delivery.retrying", _I, "delivery_id job_id destination attempt reason"),
            ("delivery.dead", _W, "delivery_id job_id destination attempt reason"),
            ("delivery.rescued", _I, "delivery_id job_id destination"),
            ("delivery.stale", _W, "delivery_id job_id destination"),
            ("request.failed", _E, "id path"),
            ("task.failed", _E, "job_id run delivery_id"),
            ("store.pruned", _I, "jobs"),
        )
    }
)
"""Every fact: its level, and the fields that it may carry."""


class Telemetry:
    """Writes facts to the log, one line each."""

    def __init__(self, logger: logging.Logger, mask: Masker | None = None) -> None:
        """Write to `logger`; `mask` is the one that its handlers use, and that everything else of the service does."""
        self._logger = logger
        self.mask = mask or Masker()

    def emit(self, name: str, /, **fields: object) -> None:
        """Log a fact of FACTS; fields that are None are left out."""
        level, known = FACTS[name]
        if not self._logger.isEnabledFor(level):
            return
        assert known.issuperset(fields), f"{name} has no field {set(fields) - known}"
        self._logger.log(level, "%s%s", name, Fields(fields))

    def failed(self, name: str, error: BaseException, /, **fields: object) -> None:
        """Log a fact that an unforeseen error brought about, with its traceback."""
        self._logger.log(FACTS[name][0], "%s%s", name, Fields(fields), exc_info=error)

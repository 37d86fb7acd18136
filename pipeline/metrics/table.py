"""Every metric: its kind, its labels, what it says. The reference and the code read this table.

The values of labels are names from the configuration, and words of Sendoff's own: nothing that callers send.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    """Read when it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; `buckets` are a histogram's."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_RUN = (0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 60, 120, 300, 900)
_WAIT = (0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 900, 3600)
_SENDING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DELIVERED = (0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600, 14400, 86400)
_COMMIT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


def _counter(name: str, labels: str, text: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, labels=tuple(labels.split()), help=text)


def _histogram(name: str, labels: str, buckets: tuple[float, ...], text: str) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, labels=tuple(labels.split()), buckets=buckets, help=text)


def _gauge(name: str, labels: str, text: str) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=tuple(labels.split()), help=text)


_METRICS = (
    _counter("sendoff_jobs_accepted_total", "function", "Jobs stored: those of callers, of batches, replays, children"),
    _counter(
        "sendoff_jobs_total",
        "function state reason",
        "Jobs that ended, by their state (succeeded, failed, cancelled, expired) and, if failed, the reason",
    ),
    _counter(
        "sendoff_runs_total",
        "function state reason",
        "Runs that ended, each try a run; returned and lost ones spent no attempt",
    ),
    _histogram("sendoff_run_duration_seconds", "function", _RUN, "How long runs took, from the start of the handler"),
    _histogram(
        "sendoff_run_wait_seconds", "function", _WAIT, "How long runs waited, from when they were due to their start"
    ),
    _counter("sendoff_calls_total", "function state reason", "Synchronous calls that ended, by how the function did"),
    _histogram("sendoff_call_duration_seconds", "function", _RUN, "How long the callers of synchronous calls waited"),
    _counter("sendoff_batches_total", "function state", "Batches that ended"),
    _counter(
        "sendoff_deliveries_total", "destination state", "Deliveries that ended: delivered, dead, skipped by a filter"
    ),
    _counter(
        "sendoff_delivery_attempts_total",
        "destination class",
        "Attempts at deliveries: delivered, or the class of the error",
    ),
    _histogram("sendoff_delivery_attempt_duration_seconds", "destination", _SENDING, "How long attempts took"),
    _histogram(
        "sendoff_result_to_delivered_seconds",
        "destination",
        _DELIVERED,
        "From the end of a job or batch to its message being delivered, all attempts and waits included",
    ),
    _counter("sendoff_problems_total", "status", "Requests answered with a problem, by HTTP status"),
    _counter("sendoff_unforeseen_errors_total", "fact", "Errors that nobody foresaw; the log has their tracebacks"),
    _counter("sendoff_config_reloads_total", "outcome", "Reloads of the configuration: reloaded, refused"),
    _counter("sendoff_jobs_pruned_total", "", "Jobs deleted after their retention"),
    _histogram("sendoff_store_commit_duration_seconds", "", _COMMIT, "How long commits took, with what they wrote"),
    _histogram("sendoff_store_commit_writes", "", _GROUP, "How many writes shared a commit"),
    _histogram(
        "sendoff_event_loop_lag_seconds", "", _LAG, "How late the event loop came to what was due, once a second"
    ),
    _gauge("sendoff_open_jobs", "function state", "Jobs that have not ended: scheduled, queued, running, retrying"),
    _gauge(
        "sendoff_oldest_queued_job_age_seconds",
        "function",
        "Since when the queued job that has waited longest could have run; 0 where none is queued",
    ),
    _gauge("sendoff_open_batches", "function state", "Batches that have not ended: receiving, running"),
    _gauge(
        "sendoff_open_deliveries",
        "destination state",
        "Deliveries that have not ended: pending, sending, retrying; held, where the destination takes none",
    ),
    _gauge(
        "sendoff_oldest_open_delivery_age_seconds",
        "destination",
        "The age of the oldest delivery that has not ended; 0 where there is none",
    ),
    _gauge(
        "sendoff_destination_last_success_timestamp_seconds",
        "destination",
        "When a destination last took a message, to the second",
    ),
    _gauge("sendoff_workers", "function state", "Worker processes: starting, idle, busy, stopping"),
    _gauge("sendoff_slots", "function", "Runs and calls that may be under way at once"),
    _gauge("sendoff_slots_in_use", "function", "Runs and calls that are under way"),
    _gauge("sendoff_slots_awaited", "function", "Calls, and jobs already claimed, that wait for a slot"),
    _gauge("sendoff_store_bytes", "", "The size of the database, without its write-ahead log"),
    _gauge("sendoff_store_wal_bytes", "", "The size of the write-ahead log"),
    _gauge("sendoff_disk_free_bytes", "", "What is free on the disk of the database"),
    _gauge("sendoff_disk_needed_bytes", "", "What must be free there for new work to be taken"),
    _gauge("sendoff_draining", "", "1 while the service takes no new work, because it is going down"),
    _gauge("sendoff_build_info", "version", "1, with the version"),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _METRICS})
"""All metrics by name, in the order in which they are shown."""

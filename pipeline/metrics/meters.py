"""The counters and histograms, and what each fact adds to them. To be used from one thread, the event loop's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

from pipeline.metrics.table import METRICS, Kind
from pipeline.model import JobReason, RunState

Fields = Mapping[str, Any]
Readings = Mapping[str, Iterable[tuple[Sequence[str], float]]]
"""The gauges as they are now: by name the values of the labels, and the value."""

_ENDS = (("succeeded", ""), ("cancelled", ""), ("expired", ""), *(("failed", reason) for reason in JobReason))


class _Resolved(dict[Any, Any]):
    """What is made of a key the first time that it is asked for: to look up a child costs more than to count."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __missing__(self, key: Any) -> Any:
        made = self[key] = self._make(key)
        return made


def _children_of(metric: Counter | Histogram) -> Mapping[Any, Any]:
    """Return the children of a metric by the values of their labels: a text for one label, a tuple for several."""
    return _Resolved(lambda labels: metric.labels(*((labels,) if isinstance(labels, str) else labels)))


class Meters:
    """All counters and histograms of one service, in a registry of its own."""

    def __init__(self) -> None:
        # A third of all lines, and of no use to Prometheus. The library left this one function without types.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._accepted = self._children("sendoff_jobs_accepted_total")
        self._jobs = self._children("sendoff_jobs_total")
        self._runs = self._children("sendoff_runs_total")
        self._run_s = self._children("sendoff_run_duration_seconds")
        self._run_wait_s = self._children("sendoff_run_wait_seconds")
        self._calls = self._children("sendoff_calls_total")
        self._call_s = self._children("sendoff_call_duration_seconds")
        self._batches = self._children("sendoff_batches_total")
        self._deliveries = self._children("sendoff_deliveries_total")
        self._attempts = self._children("sendoff_delivery_attempts_total")
        self._attempt_s = self._children("sendoff_delivery_attempt_duration_seconds")
        self._delivered_s = self._children("sendoff_result_to_delivered_seconds")
        self._problems = self._children("sendoff_problems_total")
        self._unforeseen = self._children("sendoff_unforeseen_errors_total")
        self._reloads = self._children("sendoff_config_reloads_total")
        self._pruned: Any = self._made("sendoff_jobs_pruned_total")
        self._commit_s: Any = self._made("sendoff_store_commit_duration_seconds")
        self._commit_writes: Any = self._made("sendoff_store_commit_writes")
        self._lag_s: Any = self._made("sendoff_event_loop_lag_seconds")
        self._successes = _Resolved(self._of_success)
        self._arrivals = _Resolved(self._of_arrival)
        self.of: Mapping[str, Callable[[Fields], None]] = self._by_fact()
        """What counts a fact, for those facts that are counted."""
        for outcome in ("reloaded", "refused"):
            self._reloads[outcome]
        for fact in ("request.failed", "task.failed"):
            self._unforeseen[fact]

    def _children(self, name: str) -> Mapping[Any, Any]:
        return _children_of(self._made(name))

    def _made(self, name: str) -> Counter | Histogram:
        metric = METRICS[name]
        if metric.kind is Kind.COUNTER:
            return Counter(name, metric.help, metric.labels, registry=self._registry)
        return Histogram(name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets)

    def _by_fact(self) -> dict[str, Callable[[Fields], None]]:
        return {
            "job.accepted": lambda fields: self._accepted[fields["function"]].inc(fields["jobs"]),
            "job.cancelled": lambda fields: self._jobs[fields["function"], "cancelled", ""].inc(fields["jobs"]),
            "job.expired": lambda fields: self._jobs[fields["function"], "expired", ""].inc(),
            **{f"run.{state}": partial(self._run, state) for state in RunState},
            "run.succeeded": self._succeeded,
            "call.ended": self._call,
            "batch.ended": lambda fields: self._batches[fields["function"], fields["state"]].inc(),
            "delivery.skipped": lambda fields: self._deliveries[fields["destination"], "skipped"].inc(),
            "delivery.delivered": self._delivered,
            "delivery.dead": self._dead,
            "delivery.retrying": self._attempt,
            "problem.answered": lambda fields: self._problems[str(fields["status"])].inc(),
            "request.failed": partial(self._failed, "request.failed"),
            "task.failed": partial(self._failed, "task.failed"),
            "config.reloaded": lambda _: self._reloads["reloaded"].inc(),
            "config.refused": lambda _: self._reloads["refused"].inc(),
            "store.pruned": lambda fields: self._pruned.inc(fields["jobs"]),
            "store.committed": self._commit,
            "loop.lagged": lambda fields: self._lag_s.observe(fields["lag_s"]),
        }

    # Every job passes here: one look-up for all that counts it.

    def _of_success(self, function: str) -> tuple[Any, Any, Any, Any]:
        runs, jobs = self._runs[function, "succeeded", ""], self._jobs[function, "succeeded", ""]
        return runs, jobs, self._run_s[function], self._run_wait_s[function]

    def _succeeded(self, fields: Fields) -> None:
        runs, jobs, run_s, run_wait_s = self._successes[fields["function"]]
        runs.inc()
        jobs.inc()
        run_s.observe(fields["duration_s"])
        run_wait_s.observe(fields["waited_s"])

    def _of_arrival(self, destination: str) -> tuple[Any, Any, Any, Any]:
        deliveries, attempts = self._deliveries[destination, "delivered"], self._attempts[destination, "delivered"]
        return deliveries, attempts, self._attempt_s[destination], self._delivered_s[destination]

    def _delivered(self, fields: Fields) -> None:
        deliveries, attempts, attempt_s, delivered_s = self._arrivals[fields["destination"]]
        deliveries.inc()
        attempts.inc()
        attempt_s.observe(fields["duration_s"])
        delivered_s.observe(fields["latency_s"])

    # What is rarer

    def _run(self, state: RunState, fields: Fields) -> None:
        function, reason = fields["function"], fields["reason"] or ""
        self._runs[function, state, reason].inc()
        if (duration_s := fields["duration_s"]) is not None:
            self._run_s[function].observe(duration_s)
            self._run_wait_s[function].observe(fields["waited_s"])
        if fields["next"].is_final:
            self._jobs[function, fields["next"], reason].inc()

    def _call(self, fields: Fields) -> None:
        self._calls[fields["function"], fields["state"], fields["reason"] or ""].inc()
        self._call_s[fields["function"]].observe(fields["duration_s"])

    def _dead(self, fields: Fields) -> None:
        if fields["duration_s"] is not None:  # else it was given up without a last attempt
            self._attempt(fields)
        self._deliveries[fields["destination"], "dead"].inc()

    def _attempt(self, fields: Fields) -> None:
        self._attempts[fields["destination"], fields["error_class"]].inc()
        self._attempt_s[fields["destination"]].observe(fields["duration_s"])

    def _failed(self, fact: str, _: Fields) -> None:
        self._unforeseen[fact].inc()

    def _commit(self, fields: Fields) -> None:
        self._commit_s.observe(fields["duration_s"])
        self._commit_writes.observe(fields["writes"])

    def expect(self, functions: Mapping[str, bool], destinations: Iterable[str]) -> None:
        """Show what may be counted of these from now on, as 0: a counter that begins with its first event at 1 did
        not increase, as Prometheus sees it. Of functions it is said whether they are background ones.
        """
        for function, is_background in functions.items():
            self._accepted[function]
            self._successes[function]
            for state, reason in _ENDS:
                self._jobs[function, state, reason]
            if not is_background:
                self._calls[function, "succeeded", ""]
                self._call_s[function]
        for destination in destinations:
            self._arrivals[destination]
            for end in ("dead", "skipped"):
                self._deliveries[destination, end]

    def exposition(self, readings: Readings, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, the gauges as they were read, and its content type: OpenMetrics where `accept`
        names it. Safe in a thread.
        """
        shown = _Shown(self._registry, readings)
        # Not by the library's own choice, which reads the version in the header and fails for one that is none.
        if "application/openmetrics-text" in accept:
            return as_openmetrics(shown), OPENMETRICS  # type: ignore[no-untyped-call]  # the library's lack
        return as_text(shown), CONTENT_TYPE_PLAIN_0_0_4


class _Shown:
    """What is counted and what was read, for an encoder."""

    def __init__(self, registry: CollectorRegistry, readings: Readings) -> None:
        self._registry = registry
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """Yield all families of metrics."""
        yield from self._registry.collect()
        for name, readings in self._readings.items():
            metric = METRICS[name]
            family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
            for labels, value in readings:
                family.add_metric(labels, value)
            yield family

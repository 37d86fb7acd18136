"""The counters and histograms, and what each fact adds to them. To be used from one thread, the event loop's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

from pipeline.metrics.counts import Children, Count, Distribution, counter_family, histogram_family
from pipeline.metrics.table import METRICS, Kind
from pipeline.model import JobReason, RunState

Fields = Mapping[str, Any]
Readings = Mapping[str, Iterable[tuple[Sequence[str], float]]]
"""The gauges as they are now: by name the values of the labels, and the value."""

_ENDS = (("succeeded", ""), ("cancelled", ""), ("expired", ""), *(("failed", reason) for reason in JobReason))


class _Resolved(dict[str, tuple[Any, ...]]):
    """What counts for a name, found the first time that it is asked for."""

    def __init__(self, find: Callable[[str], tuple[Any, ...]]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, name: str) -> tuple[Any, ...]:
        found = self[name] = self._find(name)
        return found


class Meters:
    """All counters and histograms of one service."""

    def __init__(self) -> None:
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._families: list[Callable[[], Family]] = []
        self._accepted = self._counter("sendoff_jobs_accepted_total")
        self._jobs = self._counter("sendoff_jobs_total")
        self._runs = self._counter("sendoff_runs_total")
        self._run_s = self._histogram("sendoff_run_duration_seconds")
        self._run_wait_s = self._histogram("sendoff_run_wait_seconds")
        self._calls = self._counter("sendoff_calls_total")
        self._call_s = self._histogram("sendoff_call_duration_seconds")
        self._batches = self._counter("sendoff_batches_total")
        self._deliveries = self._counter("sendoff_deliveries_total")
        self._attempts = self._counter("sendoff_delivery_attempts_total")
        self._attempt_s = self._histogram("sendoff_delivery_attempt_duration_seconds")
        self._delivered_s = self._histogram("sendoff_result_to_delivered_seconds")
        self._problems = self._counter("sendoff_problems_total")
        self._unforeseen = self._counter("sendoff_unforeseen_errors_total")
        self._reloads = self._counter("sendoff_config_reloads_total")
        self._pruned = self._counter("sendoff_jobs_pruned_total")[()]
        self._commit_s = self._histogram("sendoff_store_commit_duration_seconds")[()]
        self._commit_writes = self._histogram("sendoff_store_commit_writes")[()]
        self._lag_s = self._histogram("sendoff_event_loop_lag_seconds")[()]
        self._successes = _Resolved(self._of_success)
        self._arrivals = _Resolved(self._of_arrival)
        self.of: Mapping[str, Callable[[Fields], None]] = self._by_fact()
        """What counts a fact, for those facts that are counted."""
        for outcome in ("reloaded", "refused"):
            self._reloads[outcome]
        for fact in ("request.failed", "task.failed"):
            self._unforeseen[fact]

    def _counter(self, name: str) -> Children[Count]:
        assert METRICS[name].kind is Kind.COUNTER
        children = Children(METRICS[name], Count)
        self._families.append(partial(counter_family, children))
        return children

    def _histogram(self, name: str) -> Children[Distribution]:
        metric = METRICS[name]
        assert metric.kind is Kind.HISTOGRAM
        children = Children(metric, partial(Distribution, metric.buckets))
        self._families.append(partial(histogram_family, children))
        return children

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
        shown = _Shown(self._counted(), readings)
        # Not by the library's own choice, which reads the version in the header and fails for one that is none.
        if "application/openmetrics-text" in accept:
            return as_openmetrics(shown), OPENMETRICS  # type: ignore[no-untyped-call]  # the library's lack
        return as_text(shown), CONTENT_TYPE_PLAIN_0_0_4

    def _counted(self) -> Iterable[Family]:
        yield from self._process.collect()
        for family in self._families:
            yield family()


class _Shown:
    """What is counted and what was read, for an encoder."""

    def __init__(self, counted: Iterable[Family], readings: Readings) -> None:
        self._counted = counted
        self._readings = readings

    def collect(self) -> Iterable[Family]:
        """Yield all families of metrics."""
        yield from self._counted
        for name, readings in self._readings.items():
            metric = METRICS[name]
            family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
            for labels, value in readings:
                family.add_metric(labels, value)
            yield family

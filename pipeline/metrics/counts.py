"""Counters and histograms that one thread adds to and any may read: to count is an addition.

prometheus_client's own take a lock for each addition, thirteen for a job; here it only writes down what was counted.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from pipeline.metrics.table import Metric

Labels = str | tuple[str, ...]
"""The values of a metric's labels: a text for one label, a tuple for none or several."""


class Count:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, by: float = 1) -> None:
        """Add `by`."""
        self.value += by


class Distribution:
    """How large something was, each time: for each bucket, which its upper bound belongs to, how often."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


C = TypeVar("C", bound=Count | Distribution)


class Children(dict[Labels, C], Generic[C]):
    """One metric: what was counted by the values of its labels, from 0 on when they are first asked for."""

    def __init__(self, metric: Metric, make: Callable[[], C]) -> None:
        super().__init__()
        self.metric = metric
        self._make = make

    def __missing__(self, labels: Labels) -> C:
        made = self[labels] = self._make()
        return made

    def by_labels(self) -> list[tuple[Sequence[str], C]]:
        """Return all there is now, each with its labels as a sequence."""
        return [((labels,) if isinstance(labels, str) else labels, child) for labels, child in list(self.items())]


def counter_family(children: Children[Count]) -> CounterMetricFamily:
    """Return a counter as it is now, for an encoder."""
    metric = children.metric
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, child in children.by_labels():
        family.add_metric(labels, child.value)
    return family


def histogram_family(children: Children[Distribution]) -> HistogramMetricFamily:
    """Return a histogram as it is now, for an encoder."""
    metric = children.metric
    bounds = (*metric.buckets, float("inf"))
    names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]  # the library's lack
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, child in children.by_labels():
        family.add_metric(labels, list(zip(names, accumulate(child.counts), strict=True)), child.total)
    return family

"""The metrics of a service under test, read as Prometheus reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Service, eventually


@dataclass(frozen=True)
class Scraped:
    """One answer of /metrics: every sample by its name and its labels."""

    kinds: Mapping[str, str]
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def get(self, name: str, **labels: str) -> float | None:
        """Return a sample, or None where it is not shown; a label that is empty may be left out."""
        named = {key: value for key, value in labels.items() if value}
        return self.samples.get((name, frozenset(named.items())))

    def all_of(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of a name that are not 0, by the values of their labels in the order of the names."""
        found = {}
        for (sample, labels), value in self.samples.items():
            if sample == name and value:
                found[tuple(value for _, value in sorted(labels))] = value
        return found


def parsed(text: str) -> Scraped:
    """Return what an answer says."""
    kinds, samples = {}, {}
    for family in text_string_to_metric_families(text):
        kinds[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value))
            assert key not in samples, key
            samples[key] = sample.value
    return Scraped(kinds, samples)


async def scraped(service: Service) -> Scraped:
    """Return what /metrics answers now."""
    answer = await service.get("/metrics")
    assert answer.status == 200
    return parsed(answer.body.decode())


async def until_counted(service: Service, name: str, value: float, **labels: str) -> Scraped:
    """Scrape until a sample has a value: facts are counted after they are stored."""

    async def look() -> Scraped | None:
        found = await scraped(service)
        return found if found.get(name, **labels) == value else None

    return await eventually(look)

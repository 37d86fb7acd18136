"""What a configuration allows, and hardly means: `check` shows it, and `serve` logs it. All but the look of it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from destinations.base import End, Kind
from destinations.dial.tls import over
from destinations.webhook.secrets import end_of
from pipeline.config.settings import Config, FunctionSettings, Target
from pipeline.errors import Fault
from pipeline.functions.catalog import Catalog
from pipeline.model import BatchState, JobState, MessageType
from pipeline.retry import policy
from pipeline.shapes import rfc3339
from pipeline.spans import span

_DAY_S = 86_400
_WEBHOOKS = ("webhook", "callback")


def advice(config: Config, catalog: Catalog | None, kinds: Mapping[str, Kind], now: datetime) -> Iterator[Fault]:
    """Yield what there is to say, with its place; None where the functions are not there to be looked at."""
    for name, settings in config.functions.settings.items():
        place = f"functions.settings.{name}"
        if not _is_background(name, settings, catalog):
            yield from _of_synchronous(config, name, settings)
        for key, targets in settings.targets:
            for index, target in enumerate(targets):
                if matches_everything(target):
                    message = (
                        f"the filter for {target.to} has neither type nor required, so that it may match everything"
                    )
                    yield config.fault(f"{place}.{key}[{index}].when", message)
                for reference in unresolvable(target):
                    message = f"leads nowhere, and nothing is fetched, so that everything is sent: {reference}"
                    yield config.fault(f"{place}.{key}[{index}].when", message)
    if catalog is not None:
        yield from _of_functions(config, catalog)
    yield from _of_keys(config, catalog)
    yield from _of_retries(config)
    yield from _of_rates(config)
    yield from _of_secrets(config, now)
    yield from _of_certificates(config, now)
    for name, destination in config.destinations.items():
        for option, sentence in kinds[destination.kind].warn(destination.options, _ends(config, name)):
            yield config.fault(f"destinations.{name}.{option}", sentence)


def matches_everything(target: Target) -> bool:
    """Tell whether a filter lets everything pass that is not what it was written for."""
    return target.when is not None and not {"type", "required"} & target.when.keys()


def unresolvable(target: Target) -> list[str]:
    """Return the references of a filter that lead nowhere: what cannot be evaluated is sent."""
    schema = dict(target.when or {})
    if "$id" in schema:  # references may be meant by that address
        return []
    resolver = Registry[Any]().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    broken = []
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError):
            broken.append(reference)
    return broken


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _is_background(name: str, settings: FunctionSettings, catalog: Catalog | None) -> bool:
    if catalog is not None and name in catalog.functions:
        return catalog.functions[name].is_background
    return name.endswith("-background") if settings.background is None else settings.background


def _of_synchronous(config: Config, name: str, settings: FunctionSettings) -> Iterator[Fault]:
    for key in ("on_success", "on_failure"):  # the jobs of a batch are jobs, whatever the function is
        if getattr(settings, key):
            message = f"serves only calls made jobs by Prefer, as {name} is synchronous"
            yield config.fault(f"functions.settings.{name}.{key}", message)


def _of_functions(config: Config, catalog: Catalog) -> Iterator[Fault]:
    names = list(catalog.functions)
    for name in config.functions.settings:
        if name not in catalog.functions:
            near = get_close_matches(name, names, 1)
            hint = f" (nearest: {near[0]})" if near else ""
            yield config.fault(f"functions.settings.{name}", f"there is no such function in the folder{hint}")
    for function in catalog:
        if config.functions.of(function.name).async_concurrency > 1 and not function.is_async:
            place = f"functions.settings.{function.name}.async_concurrency"
            message = f"serves only an async def handler, which {function.path.name} does not define"
            yield config.fault(place, message)


def _of_keys(config: Config, catalog: Catalog | None) -> Iterator[Fault]:
    known = None if catalog is None else list(catalog.functions)
    hashes = [key.sha256 for key in config.keys]
    for at, key in enumerate(config.keys):
        if (first := hashes.index(key.sha256)) < at:
            yield config.fault(
                f"keys[{at}].sha256", f"is that of keys[{first}], too; only the last entry of a key counts"
            )
        for index, name in enumerate(key.functions or ()):
            if known is not None and name not in known:
                near = get_close_matches(name, known, 1)
                hint = f" (nearest: {near[0]})" if near else ""
                yield config.fault(f"keys[{at}].functions[{index}]", f"there is no such function in the folder{hint}")
    for name, destination in config.destinations.items() if config.keys and not config.service.link_keys else ():
        if destination.kind in _WEBHOOKS and destination.options.body.links_results:
            message = f"results too large for a message are links, which {name} cannot follow without service.link_keys"
            yield config.fault(f"destinations.{name}", message)


def _of_retries(config: Config) -> Iterator[Fault]:
    """Yield each `max_age` of a policy that is over before the policy's first wait is, and each `max` that lets no wait
    grow.
    """
    named = [(f"functions.settings.{name}", each.retry) for name, each in config.functions.settings.items()]
    named += [(f"destinations.{name}", each.options.retry) for name, each in config.destinations.items()]
    for place, spec in named:
        wait_s = policy(spec).wait_s(1)
        if wait_s is not None and spec.max_age is not None and spec.max_age <= wait_s:
            message = (
                f"is over before the first retry, which comes {span(wait_s)} after the first attempt: "
                "nothing is tried again"
            )
            yield config.fault(f"{place}.retry.max_age", message)
        if (growth := spec.exponential) is not None and growth.max < growth.base:
            message = f"is less than base ({span(growth.base)}), so that every wait is of {span(growth.max)}"
            yield config.fault(f"{place}.retry.exponential.max", message)


def _of_rates(config: Config) -> Iterator[Fault]:
    for name, destination in config.destinations.items():
        rate = getattr(destination.options, "rate", None)
        if rate is not None and rate * _DAY_S < 1:
            yield config.fault(f"destinations.{name}.rate", f"lets one attempt through in {span(1 / rate)}")


def _of_secrets(config: Config, now: datetime) -> Iterator[Fault]:
    for name, destination in config.destinations.items():
        if destination.kind in _WEBHOOKS and (end := end_of(destination.options.secrets)) and end <= now:
            message = (
                f"all are over, the last since {rfc3339(end)}: every attempt will fail, as nothing is sent unsigned"
            )
            yield config.fault(f"destinations.{name}.secrets", message)


def _of_certificates(config: Config, now: datetime) -> Iterator[Fault]:
    for name, destination in config.destinations.items():
        if destination.kind == "webhook" and destination.options.tls is not None:
            for option, end in over(destination.options.tls, now):
                message = f"is over since {rfc3339(end)}: attempts will fail until another one is there"
                yield config.fault(f"destinations.{name}.{option}", message)


def _ends(config: Config, destination: str) -> frozenset[End]:
    """Return the ends of jobs and batches that the messages to a destination tell of, and whether it gets alerts."""
    ends: set[End] = {MessageType.DISABLED} if destination in config.alerts else set()
    for settings in config.functions.settings.values():
        if any(target.to == destination for target in settings.on_success):
            ends.add(JobState.SUCCEEDED)
        if any(target.to == destination for target in settings.on_failure):
            ends |= {JobState.FAILED} if settings.max_age is None else {JobState.FAILED, JobState.EXPIRED}
        if any(target.to == destination for target in settings.on_batch):
            ends |= {BatchState.COMPLETED, BatchState.COMPLETED_WITH_FAILURES}
    return frozenset(ends)

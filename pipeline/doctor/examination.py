"""All checks, in the order in which they are shown: what others depend on comes first."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.clock import Clock
from pipeline.config import Overrides, load_config
from pipeline.config.settings import Config
from pipeline.doctor import machine, software
from pipeline.doctor.findings import Finding, fault, ok, warning
from pipeline.errors import ConfigurationError, Fault
from pipeline.functions.catalog import Catalog

Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is to be looked at: the service that `sendoff serve` with the same arguments would be."""

    path: Path | None
    environ: Mapping[str, str]
    cwd: Path
    overrides: Overrides
    is_insecure: bool


def examine(patient: Patient, clock: Clock) -> Iterator[Finding]:
    """Yield what each check finds, as soon as it has; nothing is raised for what is wrong with the machine."""
    yield from _all(
        ("python", software.python),
        ("sqlite", software.sqlite),
        ("aiohttp", software.aiohttp),
        ("aiodns", software.aiodns),
        ("uvloop", software.uvloop),
        ("proc", machine.proc),
        ("user", machine.user),
        ("sandbox", machine.sandbox),
        ("guard", partial(_guard, clock)),
    )
    known: list[tuple[Config, Catalog]] = []
    yield from _all(("configuration", partial(_configuration, patient, known)))
    if not known:
        yield from _all(("clock", partial(machine.clock, clock.now(), None)))
        return
    yield from _of_service(*known[0], patient, clock)


def _of_service(config: Config, catalog: Catalog, patient: Patient, clock: Clock) -> Iterator[Finding]:
    from pipeline.doctor import disk, workers  # noqa: PLC0415 - so that what cannot be imported is a finding
    from pipeline.doctor.links import links  # noqa: PLC0415 - likewise
    from pipeline.doctor.port import port  # noqa: PLC0415 - likewise
    from pipeline.services.deliveries.slots import in_flight_at_most  # noqa: PLC0415 - likewise
    from pipeline.store.engine.database import owner_of  # noqa: PLC0415 - likewise

    processes = sum(config.functions.of(function.name).concurrency or os.cpu_count() or 1 for function in catalog)
    deliveries = in_flight_at_most({name: each.options.concurrency for name, each in config.destinations.items()})

    def address() -> Iterator[Finding]:
        yield from port(config, owner_of(config.store), is_insecure=patient.is_insecure)

    yield from _all(
        ("functions", partial(workers.functions, config, catalog, clock)),
        ("clock", partial(machine.clock, clock.now(), config.store)),
        ("descriptors", partial(machine.descriptors, processes, deliveries)),
        ("processes", partial(machine.processes, processes)),
        ("filesystem", partial(disk.filesystem, config.store)),
        ("disk", partial(disk.room, config.store, config.service.disk_floor)),
        ("write-ahead log", partial(disk.log, config.store, clock)),
        ("store", partial(disk.store, config.store)),
        ("port", address),
        ("links", partial(links, config)),
    )


def _all(*checks: tuple[str, Check]) -> Iterator[Finding]:
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:
            yield fault(
                name,
                f"cannot be looked at: {type(error).__name__}: {error}",
                "mend that (a library: install requirements.lock again), then ask again",
            )


def _guard(clock: Clock) -> Iterable[Finding]:
    from pipeline.doctor.workers import guard  # noqa: PLC0415 - so that what cannot be imported is a finding

    return guard(clock)


def _configuration(patient: Patient, known: list[tuple[Config, Catalog]]) -> Iterator[Finding]:
    from destinations.registry import all_kinds  # noqa: PLC0415 - likewise
    from pipeline.services.routes import routes_of  # noqa: PLC0415 - likewise
    from pipeline.services.setup import check_functions  # noqa: PLC0415 - likewise

    kinds = all_kinds()
    if kinds.plugins:
        yield ok("plug-ins", ", ".join(f"{kind} ({package})" for kind, package in kinds.plugins.items()))
    for sentence in kinds.warnings:
        yield warning("plug-ins", sentence, "mend or uninstall the package: what it offers cannot be used as it is")
    try:
        config = load_config(
            patient.path,
            environ=patient.environ,
            kinds=kinds.by_type,
            cwd=patient.cwd,
            overrides=patient.overrides,
        )
        catalog = Catalog.load(config.functions)
        check_functions(config, catalog)
        routes_of(config, kinds.by_type, {})
    except ConfigurationError as error:
        yield from map(_of_fault, error.faults)
        return
    known.append((config, catalog))
    yield ok("configuration", f"{config.path or 'no sendoff.yaml, the defaults'}")


def _of_fault(one: Fault) -> Finding:
    remedy = "mend it; the store, the disk, the port and the functions are looked at once the configuration is right"
    return fault("configuration", str(one), remedy, is_configuration=True)

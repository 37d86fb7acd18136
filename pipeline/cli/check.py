"""`sendoff check`: tells whether the configuration can be used, with every fault, or what it says in short."""

import argparse
import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from pipeline.config.settings import Config, Target
from pipeline.functions.catalog import Catalog


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check` to the command line."""
    parser = subparsers.add_parser("check", help="say whether the configuration is right", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML file (default: sendoff.yaml, if there)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a summary and return 0; raises ConfigurationError with every fault."""
    from destinations.registry import builtin_kinds  # noqa: PLC0415 - the kinds import aiohttp, other commands need not
    from pipeline.app import check_functions  # noqa: PLC0415 - likewise
    from pipeline.config.load import load_config  # noqa: PLC0415 - jsonschema is not for every command either

    config = load_config(args.config, environ=os.environ, kinds=builtin_kinds(), cwd=Path.cwd())
    # A configuration may be checked where its functions are not.
    catalog = Catalog.load(config.functions) if config.functions.directory.is_dir() else None
    if catalog is not None:
        check_functions(config, catalog)
    name = config.path and (args.config or config.path.name)
    print(f"{name}: ok" if name else "no sendoff.yaml, the defaults: ok")
    for line in (*_summary(config), *_warnings(config), *_missing(config, catalog)):
        print(line)
    return 0


def _summary(config: Config) -> Iterator[str]:
    service = config.service
    yield f"  service       http://{service.host}:{service.port}"
    yield f"  store         {config.store}"
    named = ", ".join(config.functions.settings)
    is_there = "" if config.functions.directory.is_dir() else ", which is not there"
    yield f"  functions     {config.functions.directory}{is_there}" + (f" (settings: {named})" if named else "")
    destinations = (f"{name} ({destination.kind})" for name, destination in config.destinations.items())
    yield f"  destinations  {', '.join(destinations) or 'none'}"


def _warnings(config: Config) -> Iterator[str]:
    for name, settings in config.functions.settings.items():
        place = f"functions.settings.{name}"
        is_background = name.endswith("-background") if settings.background is None else settings.background
        for key, targets in (("on_success", settings.on_success), ("on_failure", settings.on_failure)):
            if targets and not is_background:
                yield f"warning: {place}.{key}: serves only calls made jobs by Prefer, as {name} is synchronous"
            yield from (f"warning: {place}.{key}: {warning}" for warning in filter(None, map(_of_filter, targets)))


def _missing(config: Config, catalog: Catalog | None) -> Iterator[str]:
    names = [function.name for function in catalog or ()]
    for name in config.functions.settings:
        if catalog is not None and name not in names:
            near = get_close_matches(name, names, 1)
            hint = f" (nearest: {near[0]})" if near else ""
            yield f"warning: functions.settings.{name}: there is no such function in the folder{hint}"
    for function in catalog or ():
        if config.functions.of(function.name).async_concurrency > 1 and not function.is_async:
            place = f"functions.settings.{function.name}.async_concurrency"
            yield f"warning: {place}: serves only an async def handler, which {function.path.name} does not define"


def _of_filter(target: Target) -> str | None:
    if target.when is None or {"type", "required"} & target.when.keys():
        return None
    return f"the filter for {target.to} has neither type nor required, so that it may match everything"

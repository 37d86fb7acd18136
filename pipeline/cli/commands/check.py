"""`sendoff check`: tells whether the configuration can be used, with every fault, or what it says in short."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli.files import add_files, variables
from pipeline.config.settings import Config
from pipeline.functions.catalog import Catalog


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check` to the command line."""
    parser = subparsers.add_parser("check", help="say whether the configuration is right", description=__doc__)
    add_files(parser)
    parser.add_argument("--insecure", action="store_true", help="as for serve: any address may be bound")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a summary and return 0; raises ConfigurationError with every fault."""
    from destinations.registry import all_kinds  # noqa: PLC0415 - the kinds import aiohttp, other commands need not
    from pipeline.binding import check_address  # noqa: PLC0415 - likewise
    from pipeline.cli.advice import advice  # noqa: PLC0415 - likewise
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.config.load import load_config  # noqa: PLC0415 - jsonschema is not for every command either
    from pipeline.services.routes import routes_of  # noqa: PLC0415 - likewise
    from pipeline.services.setup import check_functions  # noqa: PLC0415 - likewise

    kinds = all_kinds()
    config = load_config(args.config, environ=variables(args), kinds=kinds.by_type, cwd=Path.cwd())
    routes_of(config, kinds.by_type, {})
    check_address(config, is_insecure=args.insecure)
    # A configuration may be checked where its functions are not.
    catalog = Catalog.load(config.functions) if config.functions.directory.is_dir() else None
    if catalog is not None:
        check_functions(config, catalog)
    name = config.path and (args.config or config.path.name)
    print(f"{name}: ok" if name else "no sendoff.yaml, the defaults: ok")
    print(*_summary(config), sep="\n")
    if kinds.plugins:
        print(f"  plug-ins      {', '.join(f'{kind} ({package})' for kind, package in kinds.plugins.items())}")
    of_setup = advice(config, catalog, kinds.by_type, SystemClock().now())
    for warning in (*kinds.warnings, *(catalog.warnings if catalog else ()), *of_setup):
        print(f"warning: {warning}")
    return 0


def _summary(config: Config) -> Iterator[str]:
    service = config.service
    yield f"  service       http://{service.host}:{service.port}"
    yield f"  store         {config.store}"
    named = ", ".join(config.functions.settings)
    is_there = "" if config.functions.directory.is_dir() else ", which is not there"
    yield f"  functions     {config.functions.directory}{is_there}" + (f" (settings: {named})" if named else "")
    if config.keys:
        named = ", ".join(f"{key.name} ({', '.join(key.scopes)})" for key in config.keys)
        yield f"  keys          {named}"
    destinations = (f"{name} ({destination.kind})" for name, destination in config.destinations.items())
    yield f"  destinations  {', '.join(destinations) or 'none'}"

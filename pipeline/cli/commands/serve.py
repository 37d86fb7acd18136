"""`sendoff serve`: runs the service in this process until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import gc
import logging
import random
import socket
import sys
import warnings
from functools import partial
from pathlib import Path

import uvloop
from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, web

from destinations.plugins.finding import Kinds
from destinations.registry import all_kinds
from pipeline.app import App
from pipeline.binding import BACKLOG, bind, check_address
from pipeline.cli.advice import advice
from pipeline.cli.files import add_files, variables
from pipeline.cli.signals import Signals, hold_back_hang_ups
from pipeline.clock import SystemClock
from pipeline.config import Overrides
from pipeline.config.loader import Loader
from pipeline.config.settings import Config
from pipeline.errors import StoreError
from pipeline.mask import Masker
from pipeline.reload import Reloader
from pipeline.service_log import make_handler
from pipeline.services.setup import Setup
from pipeline.store.engine.probe import sqlite_version
from pipeline.telemetry import Telemetry
from pipeline.web import routes


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve` to the command line."""
    parser = subparsers.add_parser("serve", help="run the service", description=__doc__)
    add_files(parser)
    parser.add_argument("--host", help="the address to bind")
    parser.add_argument("--port", type=int, help="the port to bind (0: a free one)")
    parser.add_argument("--store", metavar="URL", help="the store, such as sqlite:///data/sendoff.db")
    parser.add_argument("--insecure", action="store_true", help="bind any address without keys, and let anyone in")
    parser.add_argument("--log-format", choices=("text", "json"), help="how the log is written (service.log_format)")
    parser.add_argument("--verbose", action="store_true", help="log every run and every delivery")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; raises ConfigurationError and StoreError."""
    hold_back_hang_ups()
    kinds = all_kinds()
    loader = Loader(
        args.config,
        environ=partial(variables, args),
        kinds=kinds.by_type,
        cwd=Path.cwd(),
        overrides=Overrides(host=args.host, port=args.port, store=args.store),
    )
    config, listener = bind(loader.load(), is_insecure=args.insecure)
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        mask = Masker(config.secrets)
        telemetry = _telemetry(args.log_format or config.service.log_format, mask, is_verbose=args.verbose)
        runner.run(_serve(config, kinds, loader, listener, telemetry, is_insecure=args.insecure))
    return 0


def _telemetry(form: str, mask: Masker, *, is_verbose: bool) -> Telemetry:
    # On the root: what libraries log goes through the same mask.
    logging.getLogger().addHandler(make_handler(sys.stderr, form, mask))
    logging.captureWarnings(True)
    for kind in (
        BadContentDispositionHeader,
        BadContentDispositionParam,
    ):  # of callers, who may send any number of them
        warnings.simplefilter("ignore", kind)
    logging.raiseExceptions = False  # it would print the arguments of a record that cannot be formatted
    logger = logging.getLogger("sendoff")
    logger.setLevel(logging.DEBUG if is_verbose else logging.INFO)
    return Telemetry(logger, mask)


async def _serve(
    config: Config, kinds: Kinds, loader: Loader, listener: socket.socket, telemetry: Telemetry, *, is_insecure: bool
) -> None:
    signals = Signals()
    signals.listen()
    app = App(config, kinds.by_type, clock=SystemClock(), seed=random.Random(), telemetry=telemetry)
    warnings = partial(_warnings, kinds)
    load = partial(_loaded_again, loader, is_insecure=is_insecure)
    reloader = Reloader(app, load, kinds.by_type, warnings=warnings, asked=signals.reload, telemetry=telemetry)
    for warning in warnings(app.setup):
        telemetry.emit("service.warning", detail=warning)
    runner = routes.runner(app.application(is_insecure=is_insecure), config.service)
    try:
        await app.start()
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        _started(app, listener, telemetry)
        app.crew.spawn(reloader.serve)
        await _either(signals.stop, app.failure)
        if not app.failure.done():
            await app.drain(app.config.service.drain_grace, signals.hurry)
    finally:
        await runner.cleanup()
        await app.stop()
    if app.failure.done():
        raise app.failure.result()
    telemetry.emit("service.stopped")


def _loaded_again(loader: Loader, current: Config, *, is_insecure: bool) -> Config:
    config = loader.load(current)
    check_address(config, is_insecure=is_insecure)  # the last key may be gone
    return config


def _warnings(kinds: Kinds, setup: Setup) -> list[object]:
    of_setup = advice(setup.config, setup.catalog, kinds.by_type, SystemClock().now())
    return [*kinds.warnings, *setup.catalog.warnings, *of_setup]


async def _either(stop: asyncio.Event, failure: "asyncio.Future[StoreError]") -> None:
    failure.add_done_callback(lambda _: stop.set())
    await stop.wait()


def _started(app: App, listener: socket.socket, telemetry: Telemetry) -> None:
    # What the start left behind lives as long as the service: no collection need look at it again. And the many small
    # values of a job die by their reference counts: looking for cycles a tenth as often saves some percent.
    gc.collect()
    gc.freeze()
    gc.set_threshold(7000, 20, 20)
    host, port = listener.getsockname()[:2]
    telemetry.emit(
        "service.started",
        url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        functions=len(app.setup.catalog),
        destinations=len(app.config.destinations),
        store=app.config.store,
        sqlite=".".join(map(str, sqlite_version())),
    )

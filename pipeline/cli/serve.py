"""`sendoff serve`: runs the service in this process until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import gc
import logging
import random
import signal
import socket
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from destinations.registry import builtin_kinds
from pipeline.app import BACKLOG, App, bind
from pipeline.cli.advice import advice
from pipeline.cli.files import add_files, variables
from pipeline.clock import SystemClock
from pipeline.config import Overrides, load_config
from pipeline.config.settings import Config
from pipeline.errors import StoreError
from pipeline.mask import Masker
from pipeline.service_log import make_handler
from pipeline.store.probe import sqlite_version
from pipeline.telemetry import Telemetry
from pipeline.web import routes


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve` to the command line."""
    parser = subparsers.add_parser("serve", help="run the service", description=__doc__)
    add_files(parser)
    parser.add_argument("--host", help="the address to bind")
    parser.add_argument("--port", type=int, help="the port to bind (0: a free one)")
    parser.add_argument("--store", metavar="URL", help="the store, such as sqlite:///data/sendoff.db")
    parser.add_argument("--insecure", action="store_true", help="bind any address, and let anyone in")
    parser.add_argument("--log-format", choices=("text", "json"), help="how the log is written (service.log_format)")
    parser.add_argument("--verbose", action="store_true", help="log every run and every delivery")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; raises ConfigurationError and StoreError."""
    kinds = builtin_kinds()
    overrides = Overrides(host=args.host, port=args.port, store=args.store)
    config = load_config(args.config, environ=variables(args), kinds=kinds, cwd=Path.cwd(), overrides=overrides)
    config, listener = bind(config, is_insecure=args.insecure)
    telemetry = _telemetry(
        args.log_format or config.service.log_format, Masker(config.secrets), is_verbose=args.verbose
    )
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listener, telemetry, is_insecure=args.insecure))
    return 0


def _telemetry(form: str, mask: Masker, *, is_verbose: bool) -> Telemetry:
    # On the root: what libraries log goes through the same mask.
    logging.getLogger().addHandler(make_handler(sys.stderr, form, mask))
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # it would print the arguments of a record that cannot be formatted
    logger = logging.getLogger("sendoff")
    logger.setLevel(logging.DEBUG if is_verbose else logging.INFO)
    return Telemetry(logger, mask)


async def _serve(config: Config, listener: socket.socket, telemetry: Telemetry, *, is_insecure: bool) -> None:
    stop, hurry = _signals()
    app = App(config, builtin_kinds(), clock=SystemClock(), seed=random.Random(), telemetry=telemetry)
    for warning in (*app.catalog.warnings, *advice(config, app.catalog, builtin_kinds())):
        telemetry.emit("service.warning", detail=warning)
    runner = routes.runner(app.application(is_insecure=is_insecure), config.service)
    try:
        await app.start()
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        _started(config, app, listener, telemetry)
        await _either(stop, app.failure)
        if not app.failure.done():
            await app.drain(config.service.drain_grace, hurry)
    finally:
        await runner.cleanup()
        await app.stop()
    if app.failure.done():
        raise app.failure.result()
    telemetry.emit("service.stopped")


async def _either(stop: asyncio.Event, failure: "asyncio.Future[StoreError]") -> None:
    failure.add_done_callback(lambda _: stop.set())
    await stop.wait()


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return the events of the first and of the second SIGTERM or SIGINT."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop, hurry


def _started(config: Config, app: App, listener: socket.socket, telemetry: Telemetry) -> None:
    # What the start left behind lives as long as the service: no collection need look at it again. And the many small
    # values of a job die by their reference counts: looking for cycles a tenth as often saves some percent.
    gc.collect()
    gc.freeze()
    gc.set_threshold(7000, 20, 20)
    host, port = listener.getsockname()[:2]
    telemetry.emit(
        "service.started",
        url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        functions=len(app.catalog),
        destinations=len(config.destinations),
        store=config.store,
        sqlite=".".join(map(str, sqlite_version())),
    )

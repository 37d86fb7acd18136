"""A whole service for a test: every part is real but the clock, and every answer is held against its schema."""

import asyncio
import logging
import random
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
from aiohttp import ClientSession, DummyCookieJar, web
from multidict import CIMultiDictProxy
from yarl import URL

from destinations.registry import builtin_kinds
from destinations.webhook.settings import Settings
from pipeline.app import App
from pipeline.binding import bind
from pipeline.clock import Clock
from pipeline.config.settings import (
    Config,
    DestinationSettings,
    FunctionSettings,
    FunctionsSettings,
    KeySettings,
    RetrySpec,
    ServiceSettings,
    Target,
)
from pipeline.model import Delivery, DeliveryState, Job, JobState
from pipeline.reload import Reloader
from pipeline.telemetry import Telemetry
from pipeline.web import routes
from tests.support import shapes
from tests.support.fake_clock import FakeClock

T = TypeVar("T")

PATIENCE_S = 30.0
"""So long a test waits for what must come."""

ECHO = """
    import json
    def handler(event, context):
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
    """
QUICK = """
    def handler(event, context):
        return {"done": True}
    """
WAITING = """
    import os, time
    def handler(event, context):
        while not (os.path.exists("go") or os.path.exists(f"go-{context.aws_request_id}")):
            time.sleep(0.005)
        return "went"
    """
"""Runs until `Service.go` lets it."""


@dataclass(frozen=True)
class Answer:
    """An answer as it came: the body as bytes, headers as they were sent."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Service:
    """A running service, its client, and its clock."""

    def __init__(self, app: App, client: ClientSession, clock: Clock, folder: Path, telemetry: Telemetry) -> None:
        self.app = app
        self.client = client
        self._clock = clock
        self._folder = folder
        self.telemetry = telemetry

    @property
    def clock(self) -> FakeClock:
        """The clock to be turned."""
        assert isinstance(self._clock, FakeClock)
        return self._clock

    @property
    def url(self) -> str:
        """Where the service is reached."""
        return f"http://127.0.0.1:{self.app.config.service.port}"

    async def ask(self, method: str, path: str, *, is_own: bool = False, **options: Any) -> Answer:
        """Send a request and return the answer, which has the shape that its route promises.

        `is_own` says that a function's own answer is expected, whatever its status.
        """
        url = URL(self.url + path, encoded=True)
        asking = self.client.request(method, url, allow_redirects=False, **options)
        async with asyncio.timeout(PATIENCE_S), asking as got:
            answer = Answer(status=got.status, headers=got.headers, body=await got.read())
        _check(answer, method, url.raw_path, is_own=is_own)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET."""
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """Send a POST."""
        return await self.ask("POST", path, **options)

    async def start_job(self, function: str, **options: Any) -> str:
        """Invoke a background function; return the job's id."""
        answer = await self.post(f"/functions/{function}", **options)
        assert answer.status == 202, answer
        job_id = answer.headers["X-Job-Id"]
        assert isinstance(job_id, str)
        return job_id

    async def job(self, job_id: str) -> Job:
        """Return a job as the store has it."""
        view = await self.app.store.get_job(job_id)
        assert view is not None
        return view.job

    async def until(self, job_id: str, *states: JobState | str, run: int | None = None) -> Job:
        """Wait until a job is in one of these states, after so many runs where `run` says so."""

        async def look() -> Job | None:
            found = await self.job(job_id)
            return found if found.state in states and run in (None, found.run) else None

        return await eventually(look)

    async def until_delivered(
        self, job_id: str, *states: DeliveryState | str, attempt: int | None = None
    ) -> Sequence[Delivery]:
        """Wait until a job has deliveries, all of them in one of these states, in the attempt that is named."""

        async def look() -> Sequence[Delivery] | None:
            found = await self.app.store.list_deliveries(before=None, most=100, job_id=job_id)
            has_come = all(each.state in states and attempt in (None, each.attempt) for each in found)
            return found if found and has_come else None

        return await eventually(look)

    async def until_begun(self, function: str) -> None:
        """Wait until the pool has heard that a run of a function has begun: from here on its clock runs."""

        def has_begun() -> bool:
            lane = self.app.pool._lanes.get(function)
            turns = [turn for process in lane.processes for turn in process._turns.values()] if lane else []
            return any(turn.started_at for turn in turns)

        await holds(has_begun)

    async def reload(
        self,
        files: Mapping[str, str] | None = None,
        *,
        functions: Mapping[str, FunctionSettings] | None = None,
        destinations: Mapping[str, DestinationSettings] | None = None,
        keys: Sequence[KeySettings] = (),
        alerts: Sequence[str] = (),
        **service: Any,
    ) -> bool:
        """Have all this, and the functions that are in the folder, in the place of the configuration; tell whether it
        was taken.
        """
        config = configured(
            self._folder, files, functions=functions, destinations=destinations, keys=keys, alerts=alerts, **service
        )
        reloader = Reloader(
            self.app,
            lambda _: config,
            builtin_kinds(),
            warnings=lambda setup: setup.catalog.warnings,
            asked=asyncio.Event(),
            telemetry=self.telemetry,
        )
        return await reloader.reload()

    def remove(self, file: str) -> None:
        """Delete the file of a function; nothing follows from it before a reload."""
        (self._folder / "functions" / file).unlink()

    def go(self, job_id: str | None = None) -> None:
        """Let the functions that wait go on, or only the run of one job."""
        (self._folder / "functions" / (f"go-{job_id}" if job_id else "go")).touch()


def failed(error: Exception) -> asyncio.Future[Any]:
    """Return what a verb of the store returns that has failed with `error`."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something to see, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await look()) is None:
            await asyncio.sleep(0.005)
    return found


async def holds(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""

    async def look() -> bool | None:
        return True if condition() else None

    await eventually(look)


def _check(answer: Answer, method: str, path: str, *, is_own: bool) -> None:
    is_problem = answer.headers.get("Content-Type") == "application/problem+json"
    if method == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    elif is_own:
        assert not is_problem
        return
    elif is_problem:
        assert answer.status >= 400
        assert answer.json["status"] == answer.status
        assert answer.headers["Cache-Control"] == "no-store"
    shapes.hold(method, path, answer.status, answer.headers, answer.body)


def webhook(url: str, *, waits: tuple[float, ...] | None = None, **options: Any) -> DestinationSettings:
    """Return a webhook to `url`, retried by `waits` where they are given; its name is filled in by `serving`."""
    if waits is not None:
        options["retry"] = RetrySpec(waits=waits)
    return DestinationSettings(name="", kind="webhook", options=Settings(url=url, **options))


def sends_to(*names: str, **changes: Any) -> FunctionSettings:
    """Return the settings of a function that sends both kinds of end to these destinations."""
    targets = tuple(Target(to=name) for name in names)
    return FunctionSettings(on_success=targets, on_failure=targets, **changes)


def configured(
    folder: Path,
    files: Mapping[str, str] | None = None,
    *,
    functions: Mapping[str, FunctionSettings] | None = None,
    destinations: Mapping[str, DestinationSettings] | None = None,
    keys: Sequence[KeySettings] = (),
    alerts: Sequence[str] = (),
    **service: Any,
) -> Config:
    """Write `files` among the functions of `folder`, and return the configuration of a service there."""
    return Config(
        path=None,
        service=ServiceSettings(port=0, **service),
        store=folder / "data" / "sendoff.db",
        functions=FunctionsSettings(
            directory=_written(folder / "functions", files or {}), settings=MappingProxyType(dict(functions or {}))
        ),
        keys=tuple(keys),
        destinations=MappingProxyType(
            {name: replace(settings, name=name) for name, settings in (destinations or {}).items()}
        ),
        alerts=tuple(alerts),
    )


@asynccontextmanager
async def serving(
    folder: Path,
    files: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    functions: Mapping[str, FunctionSettings] | None = None,
    destinations: Mapping[str, DestinationSettings] | None = None,
    keys: Sequence[KeySettings] = (),
    alerts: Sequence[str] = (),
    is_started: bool = True,
    grace_s: float = 5.0,
    **service: Any,
) -> AsyncIterator[Service]:
    """Run a service over `folder`, where its database and its functions are, until it has drained.

    `service` are settings of the service. Where `is_started` is false only the HTTP side and the store are there:
    jobs are taken in and stay queued.
    """
    clock = clock or FakeClock()
    config = configured(
        folder, files, functions=functions, destinations=destinations, keys=keys, alerts=alerts, **service
    )
    config, listener = bind(config, is_insecure=False)
    with listener:
        telemetry = Telemetry(logging.getLogger("sendoff.test"))
        app = App(config, builtin_kinds(), clock=clock, seed=random.Random(1), telemetry=telemetry)
        runner = routes.runner(app.application(), config.service)
        try:
            if is_started:
                await app.start()
            else:
                app.worker.lanes.stop()
            await runner.setup()
            await web.SockSite(runner, listener).start()
            async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as client:
                yield Service(app, client, clock, folder, telemetry)
            if is_started and not app.intake.is_draining:
                await _drained(app, clock, grace_s)
        finally:
            await runner.cleanup()
            await app.stop()
        assert not app.failure.done(), app.failure.result()


async def _drained(app: App, clock: Clock, grace_s: float) -> None:
    hurry = asyncio.Event()
    draining = asyncio.ensure_future(app.drain(grace_s, hurry))
    if isinstance(clock, FakeClock):
        await clock.advance(grace_s)  # what still runs is given back at once
        hurry.set()
    await draining


def _written(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder

"""All routes at once: whatever is asked, an error is a problem; and what the service says of itself."""

from pathlib import Path

import pytest

from pipeline import errors
from pipeline.errors import SendoffError, StoreError, StoreFullError
from pipeline.web.problems import STATUS
from pipeline.web.routes import ROUTES
from tests.support import samples
from tests.support.service import ECHO, QUICK, failed, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK, "echo.py": ECHO}
NONSENSE = [
    "x",
    "0",
    "-1",
    "%00",
    "%0A",
    "%FF",
    "%C3%A4",
    "a%20b",
    "..%2F..%2Fetc",
    "%F0%9F%98%80",
    "'; DROP TABLE job; --".replace(" ", "%20"),
    "019b8e07-4600-7795-92e6-B545353C631C",
    "9" * 2000,
    "ffffffff-ffff-7fff-bfff-ffffffffffff",  # an id of the year 10889
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES], ids=lambda part: part)
async def test_nonsense_is_answered_with_a_problem_everywhere(tmp_path: Path, method: str, path: str) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        allowed = {each for each, other, *_ in ROUTES if other == path} | {"HEAD"}
        for nonsense in [*NONSENSE, samples.new_id()]:
            asked = path.replace("{id}", nonsense).replace("{name}", nonsense).replace("{rest:.*}", nonsense)
            for each in ["GET", "POST"] if method == "*" else METHODS:
                options = {"data": b"x"} if (each, path) == ("POST", "/v1/batches") else {}
                answer = await service.ask(each, asked, **options)
                assert answer.status < 500, (each, asked, answer)
                if "{" in path:
                    assert answer.status >= 400, (each, asked, answer)
                if method != "*" and each not in allowed:
                    assert answer.status == 405


@pytest.mark.parametrize(
    "query",
    ["limit=%FF", "cursor=%00", "state=%F0%9F%98%80", "wait=%C3%A4", "function=%FF%00", "destination='", "?&=&;"],
)
async def test_nonsense_in_a_query_is_never_an_error_of_ours(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for method, path, *_ in ROUTES:
            if method == "GET":
                answer = await service.get(f"{path.format(id=samples.new_id(), name='x')}?{query}")
                assert answer.status in (200, 400, 404), (path, answer)


async def test_what_is_nowhere_is_404(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for path in ("/", "/v1", "/v1/", "/v1/jobs/", "/v2/jobs", "/functions", "/functions/", "/a.ico", "/%C3%A4"):
            answer = await service.get(path)
            assert answer.status == 404
            assert answer.json["instance"] == path


async def test_a_wrong_method_is_405_with_what_is_allowed(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = await service.ask(method, "/v1/jobs", data=b"{}")
            assert answer.status == 405
            assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_head_is_answered_wherever_get_is(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        job_id = await service.start_job("quick-background")
        for path in ("/healthz", "/readyz", "/v1/jobs", f"/v1/jobs/{job_id}", "/v1/functions", "/v1/destinations"):
            get, head = await service.get(path), await service.ask("HEAD", path)
            assert (head.status, head.body) == (200, b"")
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            assert head.headers["Content-Length"] == get.headers["Content-Length"]


async def test_an_unforeseen_error_gives_an_id_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    async with serving(tmp_path, is_started=False) as service:
        monkeypatch.setattr(service.app.store, "get_job", broken)
        answer = await service.get(f"/v1/jobs/{samples.new_id()}")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert answer.json["id"] in answer.json["detail"]
        assert answer.json["id"] in caplog.text
        assert "the secret is 42" in caplog.text


@pytest.mark.parametrize("error", [StoreError("broken"), StoreFullError("the disk is full")])
async def test_a_store_that_fails_is_503_and_asks_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: SendoffError
) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        monkeypatch.setattr(service.app.store, "insert_job", lambda *_, **__: failed(error))
        answer = await service.post("/functions/quick-background")
        assert (answer.status, answer.json["detail"]) == (503, str(error))
        assert int(answer.headers["Retry-After"]) >= 1


def test_every_error_that_a_request_can_raise_has_a_status() -> None:
    ours = [error for error in _all_below(SendoffError) if error.__module__.startswith("pipeline.")]
    known = {error for error in ours if not error.__module__.startswith("pipeline.cli.")}  # those are no answers
    beyond = {errors.ConfigurationError, errors.BadJsonError, errors.HeldError}
    assert known - set(STATUS) == beyond  # none can come from one


def _all_below(kind: type[Exception]) -> list[type[Exception]]:
    return [each for below in kind.__subclasses__() for each in (below, *_all_below(below))]


# The service itself


async def test_the_service_tells_that_it_lives_and_what_it_has(tmp_path: Path) -> None:
    functions = {"quick-background": sends_to("archive")}
    destinations = {"archive": webhook("http://127.0.0.1:9/")}
    async with serving(tmp_path, FILES, functions=functions, destinations=destinations) as service:
        assert (await service.get("/healthz")).json == {"status": "ok"}
        assert (await service.get("/readyz")).json == {"status": "ready", "missing_functions": {}}
        assert (await service.get("/v1/functions")).json["items"] == [
            {"name": "echo", "background": False, "on_success": [], "on_failure": [], "on_batch": []},
            {
                "name": "quick-background",
                "background": True,
                "on_success": ["archive"],
                "on_failure": ["archive"],
                "on_batch": [],
            },
        ]


async def test_readyz_names_functions_that_are_gone_with_jobs_waiting(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False) as service:
        jobs = [await service.start_job("quick-background") for _ in range(2)]
    (tmp_path / "functions" / "quick-background.py").unlink()
    async with serving(tmp_path, {"echo.py": ECHO}) as service:
        ready = await service.get("/readyz")
        assert (ready.status, ready.json) == (200, {"status": "ready", "missing_functions": {"quick-background": 2}})
        assert (await service.post("/functions/quick-background")).status == 404
        assert (await service.get(f"/v1/jobs/{jobs[0]}")).json["state"] == "queued"
    async with serving(tmp_path, FILES) as service:  # it is back
        for job_id in jobs:
            await service.until(job_id, "succeeded")
        assert (await service.get("/readyz")).json["missing_functions"] == {}


async def test_no_answer_names_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path, is_started=False) as service:
        for path in ("/healthz", "/nothing"):
            assert "Server" not in (await service.get(path)).headers

"""A service that asks for keys, and what its callers make there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline.config.settings import Access, FunctionSettings
from tests.support.callers import CALLERS, bearer
from tests.support.service import ECHO, QUICK, Service, sends_to, serving, webhook

FILES = {"quick-background.py": QUICK, "other-background.py": QUICK, "open-background.py": QUICK, "echo.py": ECHO}
SETTINGS = {
    "quick-background": sends_to("hook"),
    "open-background": FunctionSettings(access=Access.PUBLIC),
    "echo": FunctionSettings(access=Access.PUBLIC),
}


@asynccontextmanager
async def guarded(tmp_path: Path, **options: Any) -> AsyncIterator[Service]:
    """Run a service that asks for keys."""
    given: dict[str, Any] = {
        "keys": CALLERS,
        "functions": SETTINGS,
        "destinations": {"hook": webhook("http://127.0.0.1:9/")},
    }
    async with serving(tmp_path, FILES, **given | options) as service:
        yield service


async def made(service: Service, caller: str = "maker") -> str:
    """Have a caller make a job, and wait until it has ended and owes something; return its id."""
    job_id = await service.start_job("quick-background", headers=bearer(caller))
    await service.until(job_id, "succeeded")
    return job_id

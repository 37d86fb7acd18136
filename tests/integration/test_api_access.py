"""Who may ask: the checks of Host and Origin."""

from pathlib import Path

import pytest

from tests.support.raw_http import raw
from tests.support.service import QUICK, serving


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:1", 200),
        ("LocalHost", 200),
        ("[::1]:80", 200),
        ("127.9.9.9", 200),
        ("jobs.example", 200),
        ("jobs.example:444", 200),
        ("evil.example", 403),
        ("evil.example:{port}", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1", 403),
        ("[::2]", 403),
        ("127.0.0.1.evil.example", 403),
        ("\xff", 403),
    ],
)
async def test_a_foreign_host_is_refused(tmp_path: Path, host: str, status: int) -> None:
    async with serving(
        tmp_path, {"quick-background.py": QUICK}, is_started=False, public_url="https://jobs.example"
    ) as service:
        named = host.format(port=service.app.config.service.port)
        answer = await raw(service, "GET /healthz HTTP/1.1", "Connection: close", host=named)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b"application/problem+json" in answer) == (status == 403)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 202),
        ("http://localhost:3000", 202),
        ("https://jobs.example", 202),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://localhost.evil.example", 403),
    ],
)
async def test_a_cross_site_post_is_refused_and_a_read_is_not(tmp_path: Path, origin: str, status: int) -> None:
    async with serving(
        tmp_path, {"quick-background.py": QUICK}, is_started=False, public_url="https://jobs.example"
    ) as service:
        headers = {"Origin": origin.format(port=service.app.config.service.port)}
        assert (await service.post("/functions/quick-background", headers=headers)).status == status
        assert len((await service.get("/v1/jobs", headers=headers)).json["items"]) == (status == 202)

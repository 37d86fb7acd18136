"""Behind a reverse proxy: addresses, links and the checks of Host and Origin."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.callers import CALLERS, bearer
from tests.support.service import ECHO, QUICK, serving

FILES = {"quick-background.py": QUICK, "echo.py": ECHO}
SAID = {
    "X-Forwarded-For": "6.6.6.6, 192.0.2.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "jobs.example",
}
TRUSTED = ("127.0.0.0/8",)


async def event_of(tmp_path: Path, **service: Any) -> dict[str, Any]:
    async with serving(tmp_path, FILES, **service) as running:
        event: dict[str, Any] = (await running.get("/functions/echo/a?b=1", headers=SAID)).json
        return event


async def test_a_trusted_proxy_tells_who_asks_and_by_which_address(tmp_path: Path) -> None:
    event = await event_of(tmp_path, trusted_proxies=TRUSTED)
    assert event["headers"]["client-ip"] == event["headers"]["x-nf-client-connection-ip"] == "192.0.2.9"
    assert event["rawUrl"] == "https://jobs.example/functions/echo/a?b=1"
    assert event["headers"]["x-forwarded-for"] == "6.6.6.6, 192.0.2.9, 127.0.0.1"


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
async def test_from_anybody_else_it_is_only_a_claim(tmp_path: Path, trusted: tuple[str, ...]) -> None:
    event = await event_of(tmp_path, trusted_proxies=trusted)
    assert event["headers"]["client-ip"] == "127.0.0.1"
    assert event["rawUrl"].startswith("http://127.0.0.1:")


async def test_the_public_url_counts_more_than_the_proxy(tmp_path: Path) -> None:
    event = await event_of(tmp_path, trusted_proxies=TRUSTED, public_url="https://public.example/base")
    assert event["rawUrl"] == "https://public.example/base/functions/echo/a?b=1"
    assert event["headers"]["client-ip"] == "192.0.2.9"


async def test_links_are_those_that_the_caller_can_follow(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, trusted_proxies=TRUSTED) as service:
        accepted = await service.post("/functions/quick-background", headers=SAID)
        for answer in (accepted, await service.get(f"/v1/jobs/{accepted.json['id']}", headers=SAID)):
            assert answer.json["links"]["self"] == f"https://jobs.example/v1/jobs/{accepted.json['id']}"
        await service.post("/functions/quick-background", headers=SAID)
        listed = await service.get("/v1/jobs?limit=1", headers=SAID)
        assert listed.headers["Link"].startswith("<https://jobs.example/v1/jobs?limit=1&cursor=")


ORIGINS = [
    # Origin, what the proxy says, and what a POST is answered
    ("https://jobs.example", SAID, 202),
    ("https://evil.example", SAID, 403),
    ("https://jobs.example", {}, 403),
    ("null", SAID, 403),
]


@pytest.mark.parametrize("keys", [(), CALLERS], ids=["open", "keys"])
@pytest.mark.parametrize(("origin", "said", "status"), ORIGINS)
async def test_the_origin_is_held_against_the_address_that_the_proxy_was_asked_by(
    tmp_path: Path, keys: Any, origin: str, said: dict[str, str], status: int
) -> None:
    async with serving(tmp_path, FILES, keys=keys, is_started=False, trusted_proxies=TRUSTED) as service:
        headers = {"Origin": origin, **bearer("maker"), **said}
        assert (await service.post("/functions/quick-background", headers=headers)).status == status


async def test_a_foreign_host_is_refused_as_before(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, is_started=False, trusted_proxies=("10.0.0.0/8",)) as service:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}
        assert (await service.get("/v1/jobs", headers=headers)).status == 403
    async with serving(tmp_path, FILES, is_started=False, trusted_proxies=TRUSTED) as service:
        # A page whose name leads to this machine can name any forwarded host, and comes from where the proxy is.
        headers = {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}
        assert (await service.get("/v1/jobs", headers=headers)).status == 403
    async with serving(tmp_path, FILES, keys=CALLERS, is_started=False) as service:
        assert (await service.get("/v1/jobs", headers={"Host": "evil.example", **bearer("all")})).status == 403


async def test_with_keys_any_name_leads_to_a_service_that_listens_on_any_address(tmp_path: Path) -> None:
    async with serving(tmp_path, FILES, keys=CALLERS, is_started=False, host="0.0.0.0") as service:
        headers = {"Host": "sendoff.internal:8888", **bearer("maker")}
        answer = await service.post("/functions/quick-background", headers=headers)
        assert answer.status == 202
        assert answer.json["links"]["self"].startswith("http://sendoff.internal:8888/")
        assert (await service.get("/v1/jobs", headers={"Host": "sendoff.internal"})).status == 401

"""Following a list from page to page."""

from typing import Any

from tests.support.service import Service


async def pages(service: Service, path: str) -> list[Any]:
    """Follow `Link` from page to page; return all items."""
    found: list[Any] = []
    for _ in range(20):
        answer = await service.get(path)
        found += answer.json["items"]
        if (link := answer.headers.get("Link")) is None:
            assert answer.json["next_cursor"] is None
            return found
        url, _, relation = link.partition(";")
        assert relation.strip() == "rel=next"
        assert answer.json["next_cursor"] in url
        path = url.strip("<>").removeprefix(service.url)
    raise AssertionError("the pages do not end")

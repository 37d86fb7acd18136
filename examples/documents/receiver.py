"""The other side: a webhook receiver that believes nothing without a good signature.

It checks with the `standardwebhooks` library, which shares no code with the service.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from account import Receipt
from aiohttp import web
from standardwebhooks.webhooks import Webhook

LARGEST_BODY = 16 * 1024 * 1024


class Receiver:
    """A server on a free port of 127.0.0.1 that appends a receipt for every request; use it as a context manager."""

    def __init__(self, secret: str, receipts: list[Receipt]) -> None:
        self.url = ""
        self.on_receipt: Callable[[], None] = lambda: None
        self._webhook = Webhook(secret)
        self._receipts = receipts
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_post("/archive", self._receive)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        """Start to listen; `url` is then known."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/archive"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        receipt = self._receipt(await request.read(), request.headers)
        self._receipts.append(receipt)
        self.on_receipt()
        return web.Response(status=401, text=receipt.fault) if receipt.fault else web.Response(status=204)

    def _receipt(self, body: bytes, headers: Mapping[str, str]) -> Receipt:
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
            return self._entry(body, headers, json.loads(body), None)
        except Exception as fault:  # the library raises ValueError, a strange body KeyError: all are refused
            return self._entry(body, headers, {}, f"{type(fault).__name__}: {fault}")

    @staticmethod
    def _entry(body: bytes, headers: Mapping[str, str], message: Mapping[str, Any], fault: str | None) -> Receipt:
        """Note a request; what the signed body says counts, the headers only where there is no such body."""
        data = message["data"] if message else {}
        job = data["job"] if message else {}
        return Receipt(
            job_id=job.get("id") or headers.get("x-sendoff-job-id", "unknown"),
            webhook_id=headers.get("webhook-id", "none"),
            type=message.get("type", "unknown"),
            state=job.get("state", "unknown"),
            words=(data.get("result") or {}).get("words"),
            size=len(body),
            attempt=headers.get("x-sendoff-attempt", "unknown"),
            fault=fault,
        )

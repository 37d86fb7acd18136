"""The receiver of webhooks: looks at the signature, has each told, and answers as it was told to."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from pipeline.cli.listening.checking import Checker
from pipeline.cli.listening.manners import Key, Manners, Memory
from pipeline.cli.listening.received import Checked, Signature, Webhook, number_of, readable
from pipeline.clock import Clock

LARGEST = 64 << 20


class Hooks:
    """Takes webhooks at every path of one server."""

    def __init__(
        self,
        checker: Checker,
        manners: Manners,
        tell: Callable[[Webhook], None],
        tell_unanswered: Callable[[Webhook, float], None],
        complain: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._checker = checker
        self._manners = manners
        self._tell = tell
        self._tell_unanswered = tell_unanswered
        self._complain = complain
        self._clock = clock
        self._memory = Memory()

    def runner(self) -> web.AppRunner:
        """Return what serves it, on sites that are still to be added."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{rest:.*}", self._take)
        # Signed is what was sent: a body that is packed is not unpacked.
        # A sender that goes ends the wait for its answer, so that it is known when it went.
        return web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=0.1, handler_cancellation=True
        )

    async def _take(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._complain(f"a request was answered 413: its body has more than {LARGEST:,} bytes")
            raise
        hook = self._judged(request, body)
        self._tell(hook)  # at once: whoever watches sees it while the answer is held back
        await self._hold_back(hook)
        if hook.is_accepted:
            self._memory.accept(_key(hook))
        if not hook.is_webhook:
            return web.Response(status=hook.status, headers={"Allow": "POST, PUT"})
        return web.Response(status=hook.status, headers=self._manners.headers(hook.status))

    async def _hold_back(self, hook: Webhook) -> None:
        begun = self._clock.monotonic()
        try:
            if hook.delay_s:
                await self._clock.sleep(hook.delay_s)
        except asyncio.CancelledError:  # the connection has gone, or else the receiver ends
            self._tell_unanswered(hook, self._clock.monotonic() - begun)
            raise

    def _judged(self, request: web.Request, body: bytes) -> Webhook:
        now = self._clock.now()
        path, message_id = readable(request.path_qs), _header(request, "webhook-id")
        if request.method in ("POST", "PUT"):
            checked = self._checker.check(request.headers, body, now.timestamp())
            seen, is_accepted = self._memory.note((path, message_id or ""))
            status = self._manners.status(seen, is_good=checked.signature is not Signature.BAD)
        else:
            checked = Checked(signature=Signature.UNCHECKED, why="a webhook comes by POST or PUT")
            seen, is_accepted, status = 1, False, 405
        return Webhook(
            at=now,
            method=request.method,
            path=path,
            message_id=message_id,
            job_id=_header(request, "x-sendoff-job-id"),
            batch_id=_header(request, "x-sendoff-batch-id"),
            destination=_header(request, "x-sendoff-destination"),
            attempt=number_of(request.headers.get("x-sendoff-attempt")),
            checked=checked,
            seen=seen,
            is_duplicate=is_accepted and message_id is not None and checked.signature is not Signature.BAD,
            status=status,
            delay_s=self._manners.delay_s,
            content_type=_header(request, "content-type"),
            body=body,
        )


def _key(hook: Webhook) -> Key:
    return hook.path, hook.message_id or ""


def _header(request: web.Request, name: str) -> str | None:
    value = request.headers.get(name)
    return None if value is None else readable(value)

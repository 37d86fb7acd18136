"""A bare aiohttp handler that answers every GET with the same bytes: what a status poll is measured against.

    python bare.py FILE

It prints its port in one line, and ends when its standard input does. FILE holds the body.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web


async def serve(body: bytes) -> None:
    """Answer until standard input ends."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_get("/v1/jobs/{id}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]).read_bytes()))

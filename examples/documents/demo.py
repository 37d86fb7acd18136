"""The demo: every document of a folder goes through a background function and comes back as a signed webhook.

    .venv/bin/python examples/documents/demo.py [--crash] [FOLDER]

It starts a webhook receiver and a real `sendoff serve`, submits the documents, follows each job's status URL to its
end, and holds three accounts against each other: what was submitted, what the status URLs say, what the receiver got.
"""

import argparse
import asyncio
import base64
import io
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from mailbox import Mailbox
from pathlib import Path

import aiohttp
from account import Account, Case, faults_of
from client import Patience, RefusedError, process_all, search
from receiver import Receiver
from report import Live, print_report, say
from service import Service, ServiceError

HERE = Path(__file__).resolve().parent
STALL_S = 120.0
CRASH_PATIENCE_S = 30.0
LOOK_S = 0.005
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> int:
    """Run the demo; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # names in any script, on terminals that have only one
    parser = argparse.ArgumentParser(description="Send the documents of a folder through a background function.")
    parser.add_argument("folder", nargs="?", help="the documents (default: those that come with the example)")
    parser.add_argument("--crash", action="store_true", help="kill the service twice on the way (SIGKILL)")
    args = parser.parse_args()
    folder = Path(args.folder or HERE / "documents")
    if not folder.is_dir():
        return _usage_error(f"{folder} is not a folder")
    cases = cases_in(folder)
    if not cases:
        return _usage_error(f"there are no documents in {folder}")
    return run_in(Path(tempfile.mkdtemp(prefix="sendoff-demo-")), cases, crashes=2 if args.crash else 0)


def cases_in(folder: Path) -> list[Case]:
    """Return a case for every file under the folder, sorted by name; hidden files and folders are skipped."""
    files = ((path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file())
    visible = ((name, path) for name, path in files if not any(part.startswith(".") for part in name.parts))
    # A name on disk may be no text at all: what cannot be said in UTF-8 becomes "?".
    return [Case(name=name.as_posix().encode(errors="replace").decode(), path=path) for name, path in sorted(visible)]


def run_in(workspace: Path, cases: list[Case], crashes: int) -> int:
    """Run the demo with its store and log in `workspace`, which is kept only if something went wrong."""
    account = Account(cases=cases)
    try:
        asyncio.run(run(workspace, account, crashes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(workspace, ignore_errors=True)
        say("Interrupted; the service was stopped.")
        return EXIT_INTERRUPTED
    except Exception:  # a fault of the demo itself: its traceback is shown, and so is where to look further
        say(f"Service log: {workspace / 'service.log'}")
        raise
    faults = faults_of(account)
    print_report(account, faults)
    if faults:
        say(f"Service log: {workspace / 'service.log'}")
        return EXIT_FAILED
    shutil.rmtree(workspace, ignore_errors=True)
    return 0


async def run(workspace: Path, account: Account, crashes: int) -> None:
    """Start receiver and service, process the documents, stop both; what goes wrong is put on the account."""
    _cancel_on_sigterm()
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    async with Receiver(secret, account.receipts) as receiver, Mailbox(account.mails) as mailbox:
        service = Service(config=HERE / "sendoff.yaml", workspace=workspace)
        environment = {
            "DEMO_RECEIVER_URL": receiver.url,
            "DEMO_WEBHOOK_SECRET": secret,
            "DEMO_MAIL_URL": mailbox.url,
            "DEMO_INDEX_FILE": str(workspace / "index.db"),
        }
        try:
            await service.start(environment)
            async with crashing(service, account, crashes):
                await _process(service.url, account, receiver, Patience(CRASH_PATIENCE_S if crashes else 0.0))
            await _search(service.url, account)
        except ServiceError as fault:
            account.faults.append(str(fault))
        finally:
            code = await service.stop()
        if code != 0:
            account.faults.append(f"the service ended with exit code {code}")


async def _search(url: str, account: Account) -> None:
    case = next((case for case in account.cases if case.state == "succeeded"), None)
    if case is None:
        return
    try:
        account.found = await search(url, case)
    except (RefusedError, OSError, aiohttp.ClientError, LookupError) as fault:
        account.faults.append(f"the search failed: {fault}")


@asynccontextmanager
async def crashing(service: Service, account: Account, crashes: int) -> AsyncIterator[None]:
    """Kill the service so many times while documents are under way, and start it again each time."""

    async def kill_and_start() -> None:
        for number in range(1, crashes + 1):
            enough = len(account.cases) * number // (crashes + 1)
            while sum(case.is_final for case in account.cases) < enough:  # noqa: ASYNC110 - cases tell nobody of a change
                await asyncio.sleep(LOOK_S)
            await service.kill()
            account.crashes += 1
            await service.restart()

    killer = asyncio.create_task(kill_and_start())
    try:
        yield
        await killer
    finally:
        killer.cancel()


async def _process(url: str, account: Account, receiver: Receiver, patience: Patience) -> None:
    """Process all documents with a live display; fails when nothing moves for two minutes."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    limit = asyncio.timeout(STALL_S)
    with Live(account) as live:

        def moved() -> None:
            if not limit.expired():
                limit.reschedule(loop.time() + STALL_S)
            live.update()

        try:
            async with limit:
                receiver.on_receipt = moved
                await process_all(url, account.cases, moved, patience)
        except TimeoutError:
            account.faults.append(f"nothing moved for {STALL_S:.0f} seconds")
        finally:
            receiver.on_receipt = _ignore
            account.unanswered = patience.unanswered
            account.duration_s = loop.time() - started


def _ignore() -> None:
    """Do nothing: a webhook that comes again after the end is noted, and moves nothing."""


def _cancel_on_sigterm() -> None:
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _usage_error(sentence: str) -> int:
    print(f"demo: {sentence}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())

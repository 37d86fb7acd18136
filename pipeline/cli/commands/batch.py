"""`sendoff batch`: has a function process many documents, each as a job, and follows them to their end.

The same command, run again, goes on where it was, whether it was this program or the service that was killed: the
batch's key is made of the function, the tags, the callback, and the names, sizes and times of the files. Exit codes: 0
where every job succeeded and no item was rejected, else 1.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pipeline.cli import asking
from pipeline.cli.address import add_address
from pipeline.cli.batch_following import follow_batch, own_deliveries
from pipeline.cli.client import Client
from pipeline.cli.documents import FilesUpload, LinesUpload, Upload, check_number, documents_in, key_of, key_of_stream
from pipeline.cli.failures import UsageError
from pipeline.cli.known import check_function
from pipeline.cli.patience import Patience
from pipeline.cli.results import check_results, failures_of, save_results
from pipeline.cli.screen import console, words
from pipeline.cli.screen.batch_end import print_batch_end, print_rejected
from pipeline.cli.screen.batch_live import BatchLive
from pipeline.cli.screen.clean import clean_line, json_text
from pipeline.cli.screen.held import of_deliveries
from pipeline.cli.submitting import Submitted, submit
from pipeline.cli.wishes import Header, a_key, a_tag, callback
from pipeline.clock import SystemClock

PATIENCE_S = 600.0
EXIT_INTERRUPTED = 130
_LEFT_OUT = 10


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `batch` to the command line."""
    parser = subparsers.add_parser(
        "batch",
        help="have many documents processed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("function", metavar="FUNCTION", help="the function")
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a file, a folder (all that is in it), or - for NDJSON, an item a line"
    )
    parser.add_argument("--files-from", metavar="FILE", help="more names of files, a line each; - for what stdin says")
    parser.add_argument(
        "--key", type=a_key, metavar="KEY", help="the batch's key, instead of the one that is made of the files"
    )
    parser.add_argument("--new", action="store_true", help="make a new batch, also where this one was submitted before")
    parser.add_argument("--tag", type=a_tag, action="append", default=[], help="a word to find the jobs by; repeatable")
    parser.add_argument("--callback", metavar="URL", help="a URL that hears how the batch ended, if it is allowed")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the results, a line of JSON for each job")
    parser.add_argument("--no-wait", action="store_true", help="submit, print the batch's id, and do not follow it")
    parser.add_argument("--settled", action="store_true", help="also wait until the batch's own message has arrived")
    parser.add_argument("--json", action="store_true", help="at the end print the batch as JSON")
    add_address(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be sent, under which key, and what its items are called."""

    upload: Upload
    key: str
    names: Sequence[str]


def run(args: argparse.Namespace) -> int:
    """Submit and follow; return the exit code."""
    check_results(args.results)
    if args.files != ["-"]:
        return _run(args, _of_files(args))
    # Kept on disk, not in memory: it may have to be sent again.
    with tempfile.TemporaryFile() as content:
        return _run(args, _of_lines(args, content))


def _run(args: argparse.Namespace, work: Work) -> int:
    try:
        return asking.run(args, partial(_batch, args, work))
    except KeyboardInterrupt:
        again = f"run it again with --key {work.key}, without --new," if args.new else "run the same command again"
        console.err().print(f"Interrupted. What was submitted goes on; {again} to follow it.", soft_wrap=True)
        return EXIT_INTERRUPTED


def _of_files(args: argparse.Namespace) -> Work:
    if "-" in args.files:
        raise UsageError("- stands for all items, and goes with no files", "Names of files: --files-from -")
    left_out: list[str] = []
    try:
        documents = documents_in([*args.files, *_listed(args.files_from)], left_out.append)
    finally:
        _tell_of_left_out(left_out)  # also where nothing is left: it says why
    key = _key(args) or key_of(args.function, args.tag, args.callback, documents)
    return Work(upload=FilesUpload(documents), key=key, names=[document.name for document in documents])


def _tell_of_left_out(sentences: Sequence[str]) -> None:
    console.say_each(map(clean_line, sentences[:_LEFT_OUT]))
    if (more := len(sentences) - _LEFT_OUT) > 0:
        console.say_each([f"... and {more:,} more {'is' if more == 1 else 'are'} left out"])


def _listed(source: str | None) -> list[str]:
    if source is None:
        return []
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from error
    return [line for line in text.splitlines() if line]


def _of_lines(args: argparse.Namespace, content: IO[bytes]) -> Work:
    if args.files_from is not None:
        raise UsageError("- stands for all items, and goes with no files")
    shutil.copyfileobj(sys.stdin.buffer, content)
    content.seek(0)
    total = sum(1 for line in content if line.strip())
    check_number(total)
    content.seek(0)
    key = _key(args) or key_of_stream(args.function, args.tag, args.callback, content)
    return Work(upload=LinesUpload(content, total), key=key, names=())


def _key(args: argparse.Namespace) -> str | None:
    if args.new and args.key:
        raise UsageError("--key names a batch, and --new makes one that has no name yet: give one of them")
    return f"batch-new-{secrets.token_hex(16)}" if args.new else args.key


async def _batch(args: argparse.Namespace, work: Work, client: Client) -> int:
    err = console.err()
    headers: list[Header] = [("Idempotency-Key", work.key), *(("X-Job-Tag", tag) for tag in args.tag)]
    headers += [] if args.callback is None else [callback(args.callback)]
    await check_function(client, args.function)
    err.print(f"{words.count(work.upload.total, 'item')} for {args.function}; key {work.key}", soft_wrap=True)
    with BatchLive(err, args.function) as live:
        patience = Patience(SystemClock(), live.trouble, PATIENCE_S)
        submitted = await submit(client, args.function, work.upload, headers, patience, partial(_sent, live, work))
        batch = submitted.batch
        if not args.no_wait:
            live.show(batch)
            batch = await follow_batch(client, batch, live, patience)
    _tell_of_submission(submitted, work)
    if args.no_wait:
        print(json_text(batch) if args.json else batch["id"])
        return 1 if submitted.rejected else 0
    await end(args, client, batch, patience)
    return 0 if batch["state"] == "completed" and not submitted.rejected else 1


def _sent(live: BatchLive, work: Work) -> None:
    live.sending(work.upload.sent, work.upload.total)


def _tell_of_submission(submitted: Submitted, work: Work) -> None:
    err = console.err()
    if submitted.is_repeated:
        err.print("This batch was begun before: only what was not there yet was added. --new makes another.")
    if submitted.rejected:
        print_rejected(err, submitted.rejected, work.names)


async def end(args: argparse.Namespace, client: Client, batch: Any, patience: Patience) -> None:
    """Save the results of a batch that has ended, where that is wanted, and print how it ended."""
    if args.results is not None:
        count = await save_results(client, batch, args.results, patience)
        console.err().print(f"{words.count(count, 'result')} in {args.results}", soft_wrap=True)
    if args.json:
        print(json_text(batch))
        return
    failures = await failures_of(client, batch, patience)
    deliveries = await own_deliveries(client, batch["id"], patience, is_settling=args.settled)
    print_batch_end(console.out(), batch, failures=failures, deliveries=deliveries)
    console.say_each(of_deliveries(deliveries))

"""`sendoff invoke`: calls a function. A synchronous one's answer is printed; of a background one the id of its job, or,
with --wait, its result once it has ended.

Exit codes: 0 where the function did what it should, 1 where it failed, or answered with 400 and more.
"""

import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from rich.text import Text

from pipeline.cli import asking
from pipeline.cli.address import add_address
from pipeline.cli.client import Client
from pipeline.cli.commands.result import result_of
from pipeline.cli.failures import CommandError, RefusedError
from pipeline.cli.following import follow
from pipeline.cli.known import unknown_function
from pipeline.cli.patience import Patience
from pipeline.cli.payload import Payload, payload
from pipeline.cli.refusals import Answer, parsed, refusal
from pipeline.cli.screen import console
from pipeline.cli.screen.body import write_body
from pipeline.cli.screen.clean import clean_line, clean_text, json_text
from pipeline.cli.screen.console import say_trouble
from pipeline.cli.screen.job_end import print_end
from pipeline.cli.screen.job_live import JobLive
from pipeline.cli.wishes import Header, a_delay, a_key, a_method, a_tag, callback, header
from pipeline.clock import SystemClock

_LONGEST_S = 3600.0
"""So long a synchronous function may take."""
_OPTIONS = MappingProxyType(
    {"Idempotency-Key": "--key", "X-Job-Tag": "--tag", "X-Job-Delay": "--delay", "X-Callback-Url": "--callback"}
)
"""The headers that options stand for."""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `invoke` to the command line."""
    parser = subparsers.add_parser("invoke", help="call a function", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the function; a path and a query may follow: search/all?q=word")
    parser.add_argument(
        "--data", metavar="DATA", help="the body: a text, @FILE (its type goes by its name), or - for what stdin says"
    )
    parser.add_argument(
        "--header", type=header, action="append", default=[], metavar="K:V", help="a header; repeatable"
    )
    parser.add_argument("--tag", type=a_tag, action="append", default=[], help="a word to find the job by; repeatable")
    parser.add_argument(
        "--key", type=a_key, metavar="KEY", help="the job's Idempotency-Key: the same call twice is one job"
    )
    parser.add_argument("--delay", type=a_delay, metavar="SPAN", help="let the job begin after so long, such as 10m")
    parser.add_argument("--callback", metavar="URL", help="a URL that hears how the job ended, if it is allowed")
    parser.add_argument(
        "--async", action="store_true", dest="is_async", help="make a job of it, whatever the function is"
    )
    parser.add_argument("--method", type=a_method, default="POST", help="the method (default: POST)")
    parser.add_argument("--wait", action="store_true", help="follow a job to its end, and print its result")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the answer or the result to this file")
    parser.add_argument("--json", action="store_true", help="of a job: print it as JSON, not its id or its result")
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Call it; return the exit code."""
    body = payload(args.data, [*args.header, *_wishes(args)])
    return asking.run(args, partial(_invoke, args, body))


def _wishes(args: argparse.Namespace) -> Iterator[Header]:
    """Yield the headers that the options stand for."""
    yield from (("X-Job-Tag", tag) for tag in args.tag)
    if args.key is not None:
        yield "Idempotency-Key", args.key
    if args.delay is not None:
        yield "X-Job-Delay", args.delay
    if args.callback is not None:
        yield callback(args.callback)
    if args.is_async:
        yield "Prefer", "respond-async"


async def _invoke(args: argparse.Namespace, body: Payload, client: Client) -> int:
    path = "/functions/" + quote(args.name, safe="/?&=%:+,;@!$'()*~")
    call = partial(_call, client, args.method, path, body)
    # Only a call with a key may be made again where nobody knows what became of it.
    answer = await (Patience(SystemClock(), say_trouble).ask(call) if args.key else call())
    if answer.status == 202 and "x-job-id" in answer.headers and not answer.is_problem:
        return await _of_job(args, client, answer)
    if answer.is_problem:
        raise await _failure(args, client, answer)
    if "x-nf-request-id" not in answer.headers:
        raise refusal(answer, client.address)
    write_body(answer, args.output)
    if answer.status >= 400:
        console.err().print(f"sendoff: the function answered {answer.status}")
    return 0 if answer.status < 400 else 1


async def _call(client: Client, method: str, path: str, body: Payload) -> Answer:
    answer = await client.ask(method, path, headers=list(body.headers), body=body.content, seconds=_LONGEST_S)
    if answer.is_problem and answer.status in (429, 503):
        raise refusal(answer, client.address)
    return answer


async def _of_job(args: argparse.Namespace, client: Client, answer: Answer) -> int:
    job_id = name = answer.headers["x-job-id"]
    url = client.address.url + answer.headers.get("location", "")
    link = asking.an_id(url)
    if link.signature:  # of a public function, called without a key: only so it can be followed
        client.use_link(job_id, link.signature)
        name = f"'{url}'"
    if not args.wait:
        if args.json:  # `Prefer: return=minimal` leaves the 202 without a body
            job = parsed(answer, client.address) if answer.body else await client.get(f"/v1/jobs/{job_id}")
            print(json_text(job))
        else:
            print(job_id)
            console.err().print(f"Accepted; follow it: sendoff wait {name}", soft_wrap=True)
        return 0
    with JobLive(console.err()) as live:
        job = await follow(client, await client.get(f"/v1/jobs/{job_id}"), live, is_settling=False)
    if args.json:
        print(json_text(job))
    else:
        print_end(console.err(), job)
        await _print_result(args, client, job)
    return 0 if job["state"] == "succeeded" else 1


async def _print_result(args: argparse.Namespace, client: Client, job: Any) -> None:
    try:
        answer = await result_of(client, job["id"])
    except RefusedError:
        return  # how it ended has been said
    write_body(answer, args.output)


async def _failure(args: argparse.Namespace, client: Client, answer: Answer) -> CommandError:
    problem, name = answer.problem(), args.name.partition("/")[0].partition("?")[0]
    if problem.get("title") == "Unknown function":
        return await unknown_function(client, name)
    if (header := _for_jobs(problem)) is not None:
        sentence = f"{_OPTIONS.get(header, header)} is for jobs, and {clean_line(name)} is synchronous"
        return RefusedError(answer.status, sentence, "--async makes a job of this call.")
    if "errorType" not in problem:
        return refusal(answer, client.address)
    said = clean_line(f"{problem['errorType']}: {problem.get('errorMessage', '')}")
    console.err().print(Text(clean_text("\n".join(problem.get("stackTrace") or [])), "dim"), soft_wrap=True, end="")
    return RefusedError(answer.status, f"{clean_line(problem['title']).lower()}: {said}")


def _for_jobs(problem: Mapping[str, Any]) -> str | None:
    """Return the header that only calls can have which are made jobs, where it is that which is refused."""
    header, _, said = str(problem.get("detail", "")).partition(": ")
    return clean_line(header) if said.startswith("is for jobs; ") else None

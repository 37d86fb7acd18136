"""`sendoff result`: what a job's function returned, byte for byte.

On a terminal only text is shown, without control characters; a file or a pipe gets the bytes as they are. Exit codes: 0
where the job succeeded, 1 where it did not, or has not ended.
"""

import argparse
from functools import partial
from pathlib import Path

from pipeline.cli import asking
from pipeline.cli.client import Client
from pipeline.cli.failures import RefusedError
from pipeline.cli.refusals import Answer, refusal
from pipeline.cli.screen.body import write_body


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `result` to the command line."""
    parser = subparsers.add_parser("result", help="print what a job's function returned", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it to this file")
    asking.add_id(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it; return the exit code."""
    return asking.run(args, partial(_show, args))


async def _show(args: argparse.Namespace, client: Client) -> int:
    job = await client.get(f"/v1/jobs/{args.id}")
    write_body(await result_of(client, args.id), args.output)
    return 0 if job["state"] == "succeeded" else 1


async def result_of(client: Client, job_id: str) -> Answer:
    """Return the result as the answer that it is; RefusedError where there is none (yet)."""
    path = f"/v1/jobs/{job_id}/result"
    answer = await client.ask("GET", path, seconds=None)
    if answer.status == 202 and answer.headers.get("location", "").endswith(f"/v1/jobs/{job_id}"):
        raise RefusedError(202, "the job has not ended", f"`sendoff wait {job_id}` waits for it.")
    # A function, too, may return a problem: that of the service names the path.
    if answer.is_problem and str(answer.problem().get("instance", "")).endswith(path):
        error = refusal(answer, client.address)
        if answer.status in (409, 502):
            error.advice = f"`sendoff job {job_id}` tells all about it."
        raise error
    return answer

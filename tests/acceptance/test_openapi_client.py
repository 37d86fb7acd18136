"""A client generated from the OpenAPI document of a running service: it submits, waits and reads a result."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.serving import CALM, Service

GENERATOR = Path(sys.executable).with_name("openapi-python-client")
GREETING = """
import json


def handler(event, context):
    return {"greeting": f"Hello, {json.loads(event['body'])['name']}!"}
"""
FUNCTIONS = {"greet-background.py": GREETING, "calm.py": CALM}
PROGRAM = """
import sys

from sendoff_client import Client
from sendoff_client.api.batches import get_batch, submit_batch
from sendoff_client.api.functions import get_function, post_function
from sendoff_client.api.jobs import get_job, get_result, list_jobs
from sendoff_client.models import (
    AcceptedJob, BatchState, GetJobUntil, ItemOfABatch, Job, JobState, Problem, SubmitBatchJsonBody,
)

client = Client(base_url=sys.argv[1])

accepted = post_function.sync(name="greet-background", client=client, body={"name": "Ada"}, x_job_tag="by-client")
assert isinstance(accepted, AcceptedJob), accepted
job = get_job.sync(id=accepted.id, client=client, wait=30, until=GetJobUntil.SETTLED)
assert isinstance(job, Job), job
assert job.state is JobState.SUCCEEDED
assert job.tags == ["by-client"]
assert job.ended_at >= job.created_at
print(get_result.sync_detailed(id=job.id, client=client).content.decode())

found = list_jobs.sync(client=client, tag="by-client")
assert [each.id for each in found.items] == [job.id]

items = [ItemOfABatch(body={"name": "Grace"}, key="grace"), ItemOfABatch.from_dict({"body": {"name": "Alan"}})]
batch = submit_batch.sync(client=client, body=SubmitBatchJsonBody(function="greet-background", items=items))
batch = get_batch.sync(id=batch.id, client=client, wait=30)
assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, 2)

answer = get_function.sync_detailed(name="calm", client=client)
assert (answer.status_code, answer.content) == (200, b"calm"), answer

refused = post_function.sync(name="nobody", client=client, body={})
assert isinstance(refused, Problem)
print(refused.status, refused.title)
"""


def test_a_generated_client_submits_waits_and_reads_a_result(tmp_path: Path) -> None:
    with Service(tmp_path / "service", FUNCTIONS) as service:
        url = f"http://127.0.0.1:{service.port}"
        settings = tmp_path / "settings.yaml"
        settings.write_text("package_name_override: sendoff_client\npost_hooks: []\n")
        generated = run(
            GENERATOR, "generate", "--url", f"{url}/openapi.json", "--meta=none", "--config", settings,
            "--output-path", tmp_path / "sendoff_client", cwd=tmp_path,
        )  # fmt: skip
        assert "Endpoint will not be generated" not in generated
        said = run(sys.executable, "-W", "error", "-c", PROGRAM, url, cwd=tmp_path)
    assert said.splitlines() == ['{"greeting":"Hello, Ada!"}', "404 Unknown function"]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program to its end, which must be a good one; return what it said."""
    own = os.environ | {"PYTHONPATH": str(cwd)}
    ended = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout

"""The things that are measured with: one function, one document of about 2 KB, one good answer of a receiver."""

import json
import random

from destinations.webhook.destination import Webhook
from destinations.webhook.settings import Settings
from pipeline.clock import SystemClock
from pipeline.config.secret import Secret
from pipeline.ids import IdSource
from pipeline.model import Outcome, Result, RunOutcome, RunState, Verdict

FUNCTION = "work-background"
SOURCE = """
import json
def handler(event, context):
    return {"words": len(json.loads(event["body"])["text"].split())}
"""
DOCUMENT = json.dumps({"title": "a document", "text": "words " * 330}).encode()
SECRET = "whsec_YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcms="

CLOCK = SystemClock()
IDS = IdSource(CLOCK, random.Random(1))
RESULT = Result(status=200, headers=(("content-type", "application/json"),), body=DOCUMENT)
SUCCEEDED = RunOutcome(state=RunState.SUCCEEDED, result=RESULT, started_at=CLOCK.now(), ended_at=CLOCK.now())
DELIVERED = Outcome(verdict=Verdict.DELIVERED, status=200, headers=(("content-length", "2"),), body=b"ok")


def webhook(url: str) -> Webhook:
    """Return a signing webhook to `url`, not opened."""
    return Webhook("hook", Settings(url=url, secrets=(Secret(SECRET),), concurrency=64))

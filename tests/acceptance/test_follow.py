"""Following a log over a real socket, until the service stops or dies."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

TALKING = """
    import time
    def handler(event, context):
        print("begun")
        time.sleep(60)
    """


@contextmanager
def following(folder: Path) -> Iterator[tuple[Service, http.client.HTTPResponse]]:
    """Serve, and follow a job that has written a line and runs on."""
    config = "service: {drain_grace: 0s}\n"
    with Service(folder, {"talking-background.py": TALKING}, config) as service:
        job_id = service.submit("talking-background")
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        with closing(connection):
            connection.request("GET", f"/v1/jobs/{job_id}/logs?follow=1")
            with connection.getresponse() as response:
                assert json.loads(response.readline())["text"] == "begun"
                yield service, response


def test_a_stream_ends_in_order_when_the_service_stops(tmp_path: Path) -> None:
    with following(tmp_path) as (service, response):
        assert service.stop() == 0
        assert response.read().strip() == b""


def test_a_stream_is_cut_off_when_the_service_is_killed(tmp_path: Path) -> None:
    with following(tmp_path) as (service, response):
        service.kill()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()

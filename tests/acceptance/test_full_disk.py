"""A small disk that fills up under a running service: work is refused, nothing that got a 202 is lost."""

import os
from pathlib import Path

import pytest

from tests.support.hooks import SECRET, receiving
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTION = """
    import os, time
    def handler(event, context):
        while not os.path.exists("go"):
            time.sleep(0.01)
        return "x" * 2000
    """
# A disk of its own needs no privilege in a user and mount namespace of its own.
ON_A_SMALL_DISK = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m none data && exec "$@"', "sh")


def fill(path: Path) -> None:
    """Write until the disk has no byte left."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def test_a_full_disk_refuses_work_and_loses_none(tmp_path: Path) -> None:
    with receiving() as receiver:
        config = f"""
            functions: {{settings: {{f-background: {{on_success: [hook], retry: []}}}}}}
            destinations: {{hook: {{type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"]}}}}
            """
        service = Service(tmp_path, {"f-background.py": FUNCTION}, config)
        (tmp_path / "data").mkdir()
        service.launch(through=ON_A_SMALL_DISK)
        try:
            service.ready()
            disk = Path(f"/proc/{service.pid}/root{tmp_path}/data")
            ballast, filler = disk / "sendoff.db.ballast", disk / "filler"
            assert ballast.stat().st_blocks * 512 >= ballast.stat().st_size > 0
            accepted = [service.submit("f-background") for _ in range(20)]
            fill(filler)
            assert os.statvfs(disk).f_bavail == 0
            eventually(lambda: not _submit(service, accepted), what="new work is refused")
            (tmp_path / "functions" / "go").touch()
            for job_id in accepted[:2]:
                assert service.ended(job_id, 60.0)["state"] == "succeeded"
            assert not _submit(service, accepted)
            filler.unlink()
            eventually(lambda: _submit(service, accepted), what="new work is taken again")
            for job_id in accepted:
                assert service.settled(job_id, 60.0)["deliveries"]["delivered"] == 1
            assert ballast.exists()
        finally:
            service.__exit__()


def _submit(service: Service, accepted: list[str]) -> bool:
    """Try to have a job; tell whether it was accepted, and note it then. The only other answer may be a good 503."""
    answer = service.post("f-background")
    if answer.status == 202:
        accepted.append(str(answer.json()["id"]))
        return True
    assert (answer.status, answer.json()["title"], "retry-after" in answer.headers) == (503, "Disk full", True)
    return False

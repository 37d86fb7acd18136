"""As process 1, as in a container without an init: it is healthy, drains on SIGTERM, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.image import Image
from tests.support.processes import eventually
from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

FUNCTION = """
    import os, subprocess, sys, time
    def handler(event, context):
        # A process that outlives its parent, in a session of its own.
        script = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
        subprocess.run([sys.executable, "-c", script], check=True)
        open("begun", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
        return "done"
    """
# Process numbers of its own need no privilege in a user namespace of its own.
AS_PROCESS_1 = ("unshare", "-rpf", "--kill-child", "--mount-proc")


def is_healthy(port: int) -> bool:
    """Run the image's own health check against a port."""
    python, *arguments = Image.read().last_stage().words("HEALTHCHECK")
    assert python == "python"
    arguments = [argument.replace(":8888/", f":{port}/") for argument in arguments]
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=30, check=False)
    return ended.returncode == 0


def test_process_1_drains_and_leaves_nothing_behind(tmp_path: Path) -> None:
    service = Service(tmp_path, {"f-background.py": FUNCTION})
    assert not is_healthy(service.port)
    service.launch(through=AS_PROCESS_1)
    try:
        service.ready()
        assert is_healthy(service.port)
        (one,) = processes.children(service.pid)
        assert re.search(r"^NSpid:.*\t1$", Path(f"/proc/{one.pid}/status").read_text(), re.MULTILINE)
        job_id = service.submit("f-background")
        eventually((tmp_path / "functions" / "begun").exists, what="the function runs")
        all_of_it = processes.descendants(one.pid)
        assert "sleep" in {Path(f"/proc/{process.pid}/comm").read_text().strip() for process in all_of_it}
        os.kill(one.pid, signal.SIGTERM)
        eventually(lambda: service.get("/readyz").status == 503, what="it drains")
        assert is_healthy(service.port)
        (tmp_path / "functions" / "go").touch()
        assert service.wait() == 0
        assert [process for process in all_of_it if process.is_alive] == []
        service.start()
        assert service.job(job_id)["state"] == "succeeded"
    finally:
        service.__exit__()

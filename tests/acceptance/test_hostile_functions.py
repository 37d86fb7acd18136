"""Functions that do what they should not, through the whole service: each ends as it must, and nobody else notices."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.books import Footprint
from tests.support.processes import eventually
from tests.support.serving import CALM, Service

pytestmark = pytest.mark.acceptance

LOG_LIMIT = 8 * 1024 * 1024
EXECUTORS_OWN_THREADS = (os.cpu_count() or 1) + 4

# A function's body, and how its job ends: the reason of a failure, or None for success.
HOSTILE: dict[str, tuple[str, str | None]] = {
    "raises": ("raise ValueError('no')", "error"),
    "exits": ("sys.exit(0)", "error"),
    "recurses": ("return handler(event, context)", "error"),
    "rejects": ("context.reject('never')", "rejected"),
    "returns-object": ("return object()", "bad_response"),
    "returns-nan": ("return float('nan')", "bad_response"),
    "returns-bytes": ("return b'bytes'", "bad_response"),
    "returns-endless": ("value = []; value.append(value); return value", "bad_response"),
    "returns-500": ("return {'statusCode': 500}", "bad_status"),
    "returns-much": ("return 'x' * 5_000_000", "too_large"),
    "runs-out-of-memory": ("raise MemoryError", "out_of_memory"),
    "leaves": ("os._exit(0)", "crashed"),
    "segfaults": ("ctypes.string_at(0)", "crashed"),
    "kills-its-group": ("os.killpg(0, signal.SIGKILL)", "crashed"),
    "closes-everything": ("os.closerange(0, 1000)", "crashed"),
    "writes-on-the-channel": ("os.write(3, b'rubbish' * 10); time.sleep(60)", "crashed"),
    "prints-much": ("for _ in range(100): print(('x' * 1023 + '\\n') * 1024, end='')", None),
    "sleeps": ("time.sleep(600)", "timeout"),
    "ignores-sigterm": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: time.sleep(1)", "timeout"),
    "leaves-a-child": ("linger(); os._exit(1)", "crashed"),
    "times-out-with-a-child": ("linger(); time.sleep(600)", "timeout"),
    "hogs-memory": ("kept = []\n    while True: kept.append(os.urandom(1_000_000))", "out_of_memory"),
    "starts-a-hog": ("subprocess.run([sys.executable, '-c', HOG]); time.sleep(600)", "out_of_memory"),
    "async-blocks": ("time.sleep(600)", "timeout"),
    "async-clings": (
        "while True:\n        try: await asyncio.sleep(600)\n        except BaseException: pass",
        "timeout",
    ),
    "async-raises-exit": ("raise SystemExit(0)", "error"),
    "async-stops-its-loop": ("asyncio.get_running_loop().stop(); await asyncio.sleep(600)", "crashed"),
}
# `linger` leaves a grandchild in a session of its own, which holds stdout and ignores SIGTERM.
SOURCE = """
import asyncio, ctypes, os, signal, subprocess, sys, time

HOG = "import os, time; kept = [os.urandom(1_000_000) for _ in range(250)]; time.sleep(600)"

def linger():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(60)
        os._exit(0)
    os.wait()

%sdef handler(event, context):
    %s
"""


def source(name: str, body: str) -> str:
    return SOURCE % ("async " if name.startswith("async-") else "", body)


def config() -> str:
    short = {"sleeps", "ignores-sigterm", "times-out-with-a-child", "async-blocks", "async-clings"}
    settings = {
        f"{name}-background": {"retry": [], "concurrency": 1, "memory": "200MB", "async_concurrency": 3}
        | ({"timeout": "1s"} if name in short else {})
        for name in (*HOSTILE, "lingers")
    }
    return json.dumps({"service": {"result_limit": "1MiB"}, "functions": {"settings": settings}})


class Bystander:
    """A caller of a healthy function, who notes whatever is not the right answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self.answers = 0
        self.complaints: list[str] = []

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _call(self) -> None:
        while not self._stop.wait(0.05):
            answer = self._service.get("/functions/calm")
            self.answers += 1
            if (answer.status, answer.body) != (200, b"calm"):
                self.complaints.append(str(answer))


def test_hostile_functions_end_as_they_must_and_disturb_nobody(tmp_path: Path) -> None:
    functions = {f"{name}-background.py": source(name, body) for name, (body, _) in HOSTILE.items()}
    functions |= {"calm.py": CALM, "lingers-background.py": source("lingers", "linger(); return 'done'")}
    with Service(tmp_path, functions, config()) as service:
        assert service.get("/functions/calm").status == 200
        pid, before = service.pid, Footprint.of(service)
        with Bystander(service) as bystander:
            jobs = {name: service.submit(f"{name}-background") for name in HOSTILE}
            ended = {name: service.ended(job_id, 60.0) for name, job_id in jobs.items()}
        assert {name: job["reason"] for name, job in ended.items()} == {
            name: reason for name, (_, reason) in HOSTILE.items()
        }
        assert {name: job["state"] for name, job in ended.items() if job["state"] != "failed"} == {
            "prints-much": "succeeded"
        }
        assert bystander.complaints == []
        assert bystander.answers > 0
        kept = sum(len(line["text"]) for line in service.items(f"/v1/jobs/{jobs['prints-much']}/logs"))
        assert LOG_LIMIT // 2 < kept <= LOG_LIMIT

        eventually(lambda: is_back_at(before, service), what=f"{Footprint.of(service)} is back at {before}")
        assert service.pid == pid

        lingering = service.ended(service.submit("lingers-background"))
        assert lingering["state"] == "succeeded"
        assert service.stop() == 0
        eventually(lambda: service.leftovers() == [], what="nothing is left over")


def test_a_thousand_leaking_calls_leave_the_service_as_it_was(tmp_path: Path) -> None:
    """Each call leaks memory and a descriptor, each tenth a thread, each hundredth a child in a session of its own."""
    leaks = """
import os, subprocess, threading, time
kept = []
def handler(event, context):
    kept.append(os.urandom(50_000))
    kept.append(open(os.devnull))
    if len(kept) % 20 == 0:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if event["body"].endswith("00"):
        kept.append(subprocess.Popen(["sleep", "600"], start_new_session=True))
        with open("children", "a") as children:
            children.write(f"{kept[-1].pid} ")
    return len(kept)
"""
    settings = {"leaks-background": {"idle_timeout": "1s", "retry": []}, "calm": {"idle_timeout": "1s"}}
    functions = {"leaks-background.py": leaks, "calm.py": CALM}
    with Service(tmp_path, functions, json.dumps({"functions": {"settings": settings}})) as service:
        assert service.get("/functions/calm").status == 200
        eventually(lambda: processes.children(service.guard.pid) == [], what="the idle worker has ended")
        before = Footprint.of(service)
        jobs = [service.submit("leaks-background", number) for number in range(1000)]
        assert {service.ended(job_id, 60.0)["state"] for job_id in jobs} == {"succeeded"}
        children = [int(pid) for pid in (tmp_path / "functions" / "children").read_text().split()]
        assert len(children) == 9
        eventually(lambda: processes.children(service.guard.pid) == [], what="all workers have ended")
        eventually(lambda: not any(map(processes.find, children)), what="no leaked child is left")
        eventually(lambda: is_back_at(before, service), what=f"{Footprint.of(service)} is back at {before}")


def is_back_at(before: Footprint, service: Service) -> bool:
    now = Footprint.of(service)
    return (
        now.descriptors <= before.descriptors
        and now.strays <= before.strays
        and now.threads <= before.threads + EXECUTORS_OWN_THREADS
        and len(processes.children(service.pid)) == 1
    )

"""SIGHUP: the running service follows the new configuration, or says every reason why not and goes on as it was."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.auditor import audit
from tests.support.books import Books, Footprint, read_stored
from tests.support.history import JOURNAL, History, read_journal
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.load import Load
from tests.support.processes import eventually
from tests.support.serving import CALM, FINAL, SENDOFF, Service

pytestmark = pytest.mark.acceptance

WORK = f"""{JOURNAL}
def handler(event, context):
    journal(event, context, "start")
    time.sleep(0.01)
    journal(event, context, "end")
    return "v1"
"""
SLOW = """
import time
def handler(event, context):
    time.sleep(2)
    return "slow"
"""
REF = {"ref": "r"}


def to_hook(receiver: Receiver, path: str = "/hook", service: str = "{}", functions: str = "work-background") -> str:
    settings = "".join(f"{name}: {{on_success: [hook]}}, " for name in functions.split())
    return f"""
service: {service}
functions: {{settings: {{{settings}}}}}
destinations: {{hook: {{type: webhook, url: "{receiver.url(path)}", secrets: ["{SECRET}"]}}}}
"""


def reload(service: Service, said: str = "config.reloaded") -> str:
    """Send SIGHUP, and return what was logged once that has come which tells how it ended."""
    before = len(service.log)
    service.send(signal.SIGHUP)
    eventually(lambda: said in service.log[before:], what=said)
    return service.log[before:]


def write(service: Service, config: str) -> None:
    (service.folder / "sendoff.yaml").write_text(config)


def test_a_destination_and_a_function_are_added_changed_and_removed(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, {"work-background.py": WORK}) as service:
        quiet = service.submit("work-background", REF)
        service.ended(quiet)
        (tmp_path / "functions" / "calm.py").write_text(CALM)
        write(service, to_hook(receiver))
        assert 'added="destinations.hook functions.calm" changed=functions.work-background(on_success)' in reload(
            service
        )
        assert service.post("calm").body == b"calm"
        assert service.settled(service.submit("work-background", REF))["deliveries"]["delivered"] == 1

        write(service, to_hook(receiver, "/moved"))
        (tmp_path / "functions" / "work-background.py").write_text(WORK.replace("v1", "v2"))
        said = reload(service)
        assert 'changed="destinations.hook(url) functions.work-background(file_hash)"' in said
        assert SECRET not in service.log
        job = service.settled(service.submit("work-background", REF))
        assert service.get(f"/v1/jobs/{job['id']}/result").json() == "v2"
        assert [hook.path for hook in receiver.hooks] == ["/hook", "/moved"]

        write(service, "")
        (tmp_path / "functions" / "calm.py").unlink()
        assert 'removed="destinations.hook functions.calm"' in reload(service)
        assert service.post("calm").status == 404
        assert service.settled(service.submit("work-background", REF))["deliveries"]["delivered"] == 0


def test_what_waits_for_a_destination_that_is_gone_is_told(tmp_path: Path) -> None:
    with receiving(lambda _: 500) as receiver, Service(tmp_path, {"work-background.py": WORK}) as service:
        held = "the destination hook is not in the configuration any more"
        for number, said in ((1, "1 delivery is held"), (2, "2 deliveries are held")):
            write(service, to_hook(receiver).replace("secrets:", "retry: [1h], secrets:"))
            reload(service)
            job = service.submit("work-background", REF)
            eventually(lambda job=job: service.job(job)["deliveries"]["retrying"] == 1)
            write(service, "")
            assert f"{said}: {held}" in reload(service, "service.warning"), number
        write(service, to_hook(receiver))
        assert held not in reload(service)


def test_what_waits_for_a_destination_that_is_of_another_type_now_is_told(tmp_path: Path) -> None:
    with receiving(lambda _: 500) as receiver, Service(tmp_path, {"work-background.py": WORK}) as service:
        before = to_hook(receiver).replace("secrets:", "retry: [1h], secrets:")
        write(service, before)
        reload(service)
        job = service.submit("work-background", REF)
        eventually(lambda: service.job(job)["deliveries"]["retrying"] == 1)
        settings = before.split("hook: {")[0]
        mail = "{type: email, smtp: smtp://127.0.0.1:9, from: a@b.example, to: [c@d.example]}"
        write(service, f"{settings}hook: {mail}}}\n")
        said = reload(service, "service.warning")
        assert "1 delivery made for hook as a destination of the type webhook cannot be sent" in said
        assert "its type is email now" in said
        # What can be sent to it, since it was made without a recipient, or since the type is back, is not told.
        told = len(service.log)
        for config in (f"{settings}hook: {{type: function, function: work-background}}}}\n", before, before):
            write(service, config)
            reload(service)
        assert "cannot be sent" not in service.log[told:]


FAULTS: dict[str, tuple[str, str, str]] = {
    "a value": ("service: {}", "service: {queue_limit: many}", "sendoff.yaml:2:24: service.queue_limit: expected "),
    "no YAML": ("service: {}", "service: [", "sendoff.yaml:"),
    "no variable": ("whsec_", "${NOT_THERE}", "expected the environment variable NOT_THERE to be set, got nothing"),
    "no function": (
        "destinations: {",
        "destinations: {to: {type: function, function: none}, ",
        "sendoff.yaml:4:47: destinations.to.function: expected a function in ",
    ),
    "host": (
        "service: {}",
        "service: {host: 127.0.0.2}",
        "sendoff.yaml:2:17: service.host: expected 127.0.0.1, as at the start, got 127.0.0.2, which needs a restart",
    ),
    "store": ("service: {}", "store: sqlite:///other.db", "sendoff.yaml:2:8: store: expected "),
    "log_format": (
        "service: {}",
        "service: {log_format: json}",
        "sendoff.yaml:2:23: service.log_format: expected text",
    ),
    "keepalive": (
        "service: {}",
        "service: {keepalive: 3s}",
        "sendoff.yaml:2:22: service.keepalive: expected 15.0, as at the start, got 3.0, which needs a restart",
    ),
}
"""What is replaced in a good file by what, and what is said of it."""
WHOLE_FILES = {
    "# destinations:\n---\n~\n": "3:1: expected a mapping at the top of the file, such as ",
    "# destinations\n- hook\n": "2:1: expected a mapping at the top of the file, such as ",
}
"""What a whole file is replaced by, and what is said of it."""


def test_a_fault_is_told_with_its_place_and_nothing_changes(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, {"work-background.py": WORK}, to_hook(receiver)) as service:
        (tmp_path / "functions" / "calm.py").write_text(CALM)
        for name, (good, bad, fault) in FAULTS.items():
            write(service, to_hook(receiver, "/moved").replace(good, bad))
            said = reload(service, "config.refused")
            assert fault in said, name
            assert "Traceback" not in said
        for whole, fault in WHOLE_FILES.items():
            (tmp_path / "sendoff.yaml").write_text(whole)
            assert f'config.fault fault="sendoff.yaml:{fault}' in reload(service, "config.refused"), whole
        (tmp_path / "sendoff.yaml").unlink()
        assert 'config.fault fault="sendoff.yaml:1:1: expected a readable file' in reload(service, "config.refused")
        assert service.post("calm").status == 404
        assert service.settled(service.submit("work-background", REF))["deliveries"]["delivered"] == 1
        assert [hook.path for hook in receiver.hooks] == ["/hook"]
        write(service, to_hook(receiver, "/moved"))
        reload(service)
        assert service.post("calm").status == 200
        assert service.stop() == 0


def test_a_service_without_a_file_reads_its_functions_anew_and_a_file_that_has_come(tmp_path: Path) -> None:
    service = Service(tmp_path, {"work-background.py": WORK})
    (tmp_path / "sendoff.yaml").unlink()
    with receiving() as receiver, service:
        (tmp_path / "functions" / "calm.py").write_text(CALM)
        assert "added=functions.calm" in reload(service)
        assert service.post("calm").status == 200
        write(service, to_hook(receiver))
        assert "added=destinations.hook" in reload(service)
        assert service.settled(service.submit("work-background", REF))["deliveries"]["delivered"] == 1


def test_overrides_of_the_command_line_stay_and_so_does_the_port_that_was_got(tmp_path: Path) -> None:
    config = "service: {port: 1, host: 10.0.0.1}\nstore: sqlite:////nowhere/x.db\n"
    service = Service(tmp_path, {"calm.py": CALM}, config)
    service.port = 0
    service.launch("--host", "127.0.0.1", "--store", "sqlite:///here.db")
    try:
        eventually(lambda: "service.started" in service.log, what="it starts")
        service.port = int(service.log.partition("url=")[2].split()[0].rpartition(":")[2])
        other = config.replace("port: 1, host: 10.0.0.1", "port: 2, host: 10.0.0.2, public_url: https://a.example")
        write(service, other.replace("x.db", "y.db"))
        assert "changed=service(public_url)" in reload(service)
        assert service.post("calm").status == 200
    finally:
        service.kill()


def test_a_file_of_variables_is_read_anew_and_what_is_odd_is_said_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        config = to_hook(receiver).replace("/hook", "/${WHERE}")
        service = Service(tmp_path, {"work-background.py": WORK}, config)
        variables = tmp_path / "variables"
        variables.write_text("WHERE=old\n")
        service.launch("--env-file", "variables")
        try:
            service.ready()
            service.settled(service.submit("work-background", REF))
            variables.write_text("WHERE=new\n")
            (tmp_path / "functions" / "bad.py").write_text("def (")
            said = reload(service, "service.warning")
            assert "added=functions.bad changed=destinations.hook(url)" in said
            assert "service.warning detail=" in said
            assert "bad.py:1:5: invalid syntax" in said
            service.settled(service.submit("work-background", REF))
        finally:
            service.kill()
        assert [hook.path for hook in receiver.hooks] == ["/old", "/new"]


def test_new_secrets_are_masked_and_old_ones_stay_so(tmp_path: Path) -> None:
    source = "import os\ndef handler(event, context):\n    print(os.environ['KEY'], 'first-secret')\n"
    config = "functions: {settings: {tells-background: {env: {KEY: first-secret}}}}"
    with Service(tmp_path, {"tells-background.py": source}, config) as service:
        write(service, config.replace("first-secret", "second-secret"))
        assert "changed=functions.tells-background(env)" in reload(service)
        job_id = service.submit("tells-background")
        service.ended(job_id)
        assert [line["text"] for line in service.items(f"/v1/jobs/{job_id}/logs")] == ["*** ***"]
        assert "-secret" not in service.log


def test_several_at_once_end_with_the_last_configuration(tmp_path: Path) -> None:
    with receiving() as receiver, Service(tmp_path, {"work-background.py": WORK}) as service:
        for number in range(20):
            write(service, to_hook(receiver, f"/{number}"))
            service.send(signal.SIGHUP)
            time.sleep(0.01)
        for _ in range(20):
            service.send(signal.SIGHUP)
        reload(service)
        eventually(lambda: service.log.count("config.reloaded") >= 2, what="reloads")

        def is_last() -> bool:
            job = service.settled(service.submit("work-background", REF))
            return any(hook.job_id == job["id"] and hook.path == "/19" for hook in receiver.hooks)

        eventually(is_last, what="the last configuration")
        assert "config.refused" not in service.log


def test_one_that_comes_before_the_service_is_up_is_kept_until_it_is(tmp_path: Path) -> None:
    service = Service(tmp_path, {"calm.py": CALM})
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    service.launch("--config", str(pipe))
    try:
        with pipe.open("w") as file:  # opened once the service reads it
            service.send(signal.SIGHUP)
            file.write("service: {queue_limit: 5}")
        eventually(lambda: "service.started" in service.log, what="it starts")
        pipe.write_text("service: {queue_limit: 6}")
        eventually(lambda: "changed=service(queue_limit)" in service.log, what="it reloads")
        service.ready()
    finally:
        service.kill()


def test_one_during_a_drain_is_refused(tmp_path: Path) -> None:
    with Service(tmp_path, {"slow-background.py": SLOW}) as service:
        job_id = service.submit("slow-background")
        eventually(lambda: service.job(job_id)["state"] == "running", what="it runs")
        service.send(signal.SIGTERM)
        eventually(lambda: "service.draining" in service.log, what="it drains")
        assert 'config.refused reason="the service is shutting down' in reload(service, "config.refused")
        assert service.wait() == 0


def test_a_terminal_that_is_closed_ends_the_service_and_one_that_is_open_does_not(tmp_path: Path) -> None:
    Service(tmp_path, {"calm.py": CALM})
    terminal, inside = pty.openpty()
    command = [sys.executable, "-c", IN_TERMINAL, SENDOFF, "serve", "--port", "0"]
    service = subprocess.Popen(
        command, cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
    )
    os.close(inside)
    try:
        read_until(terminal, "service.started")
        service.send_signal(signal.SIGHUP)
        read_until(terminal, "config.reloaded")
        os.close(terminal)
        assert service.wait(20) == 0
    finally:
        service.kill()
        service.wait()


IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def read_until(terminal: int, said: str) -> None:
    """Read what is written to a terminal until that has come."""
    seen = b""
    while said.encode() not in seen:
        seen += os.read(terminal, 4096)


def test_reloads_under_load_lose_and_double_nothing_and_refuse_nobody(tmp_path: Path) -> None:
    history = History()
    owed = {("work-background", "job.succeeded"): frozenset({"hook"})}
    with receiving(after_s=0.02) as receiver:

        def config(number: int) -> str:
            work = f"{{on_success: [hook], concurrency: {1 + number % 4}, retry: []}}"
            hook = (
                f'type: webhook, url: "{receiver.url("/hook")}", secrets: ["{SECRET}"], concurrency: {1 + number % 7}'
            )
            return f"""
                functions: {{settings: {{work-background: {work}}}}}
                destinations: {{hook: {{{hook}}}}}
                """

        functions = {"work-background.py": WORK, "calm.py": CALM}
        with Service(tmp_path, functions, config(0)) as service:
            before = Footprint.of(service)
            with Load(service, history, function=lambda _: "work-background", callers=3, pause_s=0.02) as load:
                for number in range(1, 16):
                    write(service, config(number))
                    service.send(signal.SIGHUP)
                    assert service.post("calm").status == 200
                    time.sleep(0.2)
                load.stop()
                eventually(lambda: all(job["state"] in FINAL for job in service.items("/v1/jobs")), seconds=60)
                states = ("pending", "sending", "retrying")
                eventually(
                    lambda: not any(service.items(f"/v1/deliveries?state={each}") for each in states), seconds=60
                )
            books = Books.of(service)
            books.before = before
            books.after = eventually(lambda: before.regained_by(service), what="all is given back")
            assert service.log.count("config.reloaded") > 5
            assert "config.refused" not in service.log
            assert service.stop() == 0
            books.stored = read_stored(service.database)
        history.hooks, history.steps = receiver.hooks, list(read_journal(tmp_path))
    assert audit(history, books, owed) == []
    assert {post.status for post in history.posts} == {202}
    # Nothing was lost in between and done again.
    assert {job["run"] for job in books.jobs.values()} == {1}
    assert len(history.hooks) == len(books.jobs) > 100

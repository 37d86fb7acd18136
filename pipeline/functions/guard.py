"""The guard: the process that starts, signals and kills all workers of one service, and outlives it to kill them.

Run as `python -I -S guard.py FD`: standard library only, one thread. FD is a SOCK_SEQPACKET socket; orders come in and
reports go out as one JSON object a packet; its end means that the service is gone.

    orders   {"start": n, "argv": [], "env": {}, "cwd": "", "limits": {}, "memory": bytes} with the descriptors channel,
             stdout, stderr; `limits` are rlimits, `memory` is what its processes may use together
             {"signal": s, "worker": n}   to the worker's process group
             {"kill": n}                  with all its descendants
             {"hunt": [marker, ...]}      for what an earlier guard's workers left behind
    reports  {"ready": pid}   {"pid": pid, "worker": n}   {"exit": {"code" or "signal" or "error": x}, "worker": n}
             {"memory": bytes, "worker": n}   it used more than it may, and is being killed
"""

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

MARKER = "SENDOFF_WORKER"
CHANNEL_FD = 3
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MAX_PACKET = 256 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
SWEEP_PAUSE_S = 0.02
LOOK_S = 0.25  # between two looks at the workers' memory
HUNTS = 5
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)


class Entry(NamedTuple):
    """One living process, as /proc shows it."""

    parent: int
    session: int
    started: str


class ServiceGoneError(Exception):
    """The other end of the control socket is closed."""


class Guard:
    """All workers, and the one loop that serves them."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.pid = os.getpid()
        self.workers: dict[int, int] = {}  # the living ones: process id -> number
        self.memory: dict[int, int] = {}  # process id -> how many bytes it and its descendants may use
        self.next_look = 0.0
        self.sessions: dict[int, int] = {}  # session -> number; kept until the worker's strays are gone
        self.markers: dict[str, int] = {}  # the same by marker
        self.strays: dict[tuple[int, str], int] = {}  # who was a worker's, should it be orphaned later
        self.dying: set[int] = set()
        self.hunted: set[str] = set()
        self.hunts = 0

    def run(self) -> None:
        """Serve until the service is gone; then kill whatever is left."""
        awake, wake = os.pipe()
        for fd in (awake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(awake, select.POLLIN)
        try:
            self.report({"ready": self.pid})
            while True:
                ready = poll.poll(self.pause_ms())
                if any(fd == awake for fd, _ in ready):
                    os.read(awake, 4096)
                self.reap()
                if any(fd == self.control.fileno() for fd, _ in ready):
                    self.obey()
                self.look()
                self.sweep()
        except ServiceGoneError:
            self.kill_all()

    def pause_ms(self) -> float | None:
        """Return how long to wait for an order or a death."""
        if self.dying or self.hunts:
            return SWEEP_PAUSE_S * 1000
        return LOOK_S * 1000 if self.memory else None

    def report(self, report: dict[str, Any]) -> None:
        try:
            self.control.send(json.dumps(report).encode())
        except OSError:
            raise ServiceGoneError from None

    def obey(self) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self.control, MAX_PACKET, 3)
        except OSError:
            raise ServiceGoneError from None
        if not packet:
            raise ServiceGoneError
        order = json.loads(packet)
        if "start" in order:
            self.start(order, fds)
        elif "signal" in order:
            self.signal(order["worker"], order["signal"])
        elif "kill" in order and order["kill"] in self.sessions.values():
            self.dying.add(order["kill"])
        elif "hunt" in order:
            self.hunted.update(order["hunt"])
            self.hunts = HUNTS

    def start(self, order: dict[str, Any], fds: list[int]) -> None:
        number = order["start"]
        try:
            pid = os.fork()
        except OSError as error:
            self.report({"exit": {"error": error.strerror}, "worker": number})
            return
        if pid == 0:
            become_worker(order, fds, self.pid)
        for fd in fds:
            os.close(fd)
        self.workers[pid] = self.sessions[pid] = number
        self.memory[pid] = order["memory"]
        self.markers[order["env"].get(MARKER, "")] = number
        self.report({"pid": pid, "worker": number})

    def signal(self, number: int, signum: int) -> None:
        for pid, worker in self.workers.items():
            if worker == number:
                send_signal(pid, signum, is_group=True)

    def reap(self) -> None:
        """Collect all that have ended and report the workers among them; what those leave behind is to die."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self.workers.pop(pid, None)
            if number is not None:
                del self.memory[pid]
                self.dying.add(number)
                code = os.waitstatus_to_exitcode(status)
                self.report({"exit": {"code": code} if code >= 0 else {"signal": -code}, "worker": number})

    def look(self) -> None:
        """Have every worker killed that uses more memory than it may, its descendants counted in."""
        now = time.monotonic()
        if not self.memory or now < self.next_look:
            return
        self.next_look = now + LOOK_S
        used = {pid: memory_of_tree(pid) for pid in self.memory}
        for orphan in set(children(self.pid)) - self.workers.keys():
            owner = self.markers.get(marker_of(orphan))
            for pid, number in self.workers.items():
                if number == owner:
                    used[pid] += memory_of_tree(orphan)
        for pid, limit in self.memory.items():
            number = self.workers[pid]
            if used[pid] > limit and number not in self.dying:
                self.dying.add(number)
                self.report({"memory": used[pid], "worker": number})

    def sweep(self) -> None:
        """Kill what belongs to dying workers; one is forgotten once a look at all processes finds none of its own."""
        if self.hunts:
            self.hunts -= 1
            hunt(self.hunted)
        if not self.dying:
            return
        processes = living()
        self.strays = self.owners(processes)
        left = set()
        for (pid, _), number in self.strays.items():
            if number in self.dying:
                send_signal(pid, signal.SIGKILL)
                left.add(number)
        gone = self.dying - left - set(self.workers.values())
        self.dying -= gone
        self.sessions = {session: number for session, number in self.sessions.items() if number not in gone}
        self.markers = {marker: number for marker, number in self.markers.items() if number not in gone}

    def owners(self, processes: dict[int, Entry]) -> dict[tuple[int, str], int]:
        """Return which worker each of our descendants belongs to.

        An orphan (our child, but no worker) is told by what an earlier look found, by the marker in its environment, or
        by its session; one that has changed all three is found only when the service is gone.
        """
        children = children_of(processes)
        owners: dict[tuple[int, str], int] = {}
        todo: list[tuple[int, int | None]] = [(pid, None) for pid in children.get(self.pid, ())]
        while todo:
            pid, number = todo.pop()
            entry = processes[pid]
            if number is None:
                number = self.workers.get(pid) or self.strays.get((pid, entry.started))
            if number is None:
                number = self.markers.get(marker_of(pid)) or self.sessions.get(entry.session)
            if number is not None:
                owners[pid, entry.started] = number
            todo += [(child, number) for child in children.get(pid, ())]
        return owners

    def kill_all(self) -> None:
        """Kill all descendants, again and again until there is none: they may have been forking meanwhile."""
        self.control.close()
        while True:
            self.workers.clear()  # nobody is left to report to
            self.memory.clear()
            self.reap()
            children = children_of(living())
            todo = list(children.get(self.pid, ()))
            if not todo:
                return
            for pid in todo:
                todo += children.get(pid, ())
                send_signal(pid, signal.SIGKILL)
            time.sleep(SWEEP_PAUSE_S)


def become_worker(order: dict[str, Any], fds: list[int], guard: int) -> NoReturn:
    """Turn the forked child into the worker; only what is named here reaches it."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard died before the line above took effect
            os._exit(0)
        for signum in IGNORED:  # ignoring is inherited over exec, handlers are not
            signal.signal(signum, signal.SIG_DFL)
        for name, limit in order["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
        # Out of the way first: the descriptors may have come in as the very numbers that they are to replace.
        channel, stdout, stderr = (fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds)
        null = os.open(os.devnull, os.O_RDWR)
        for source, target in ((null, 0), (stdout, 1), (stderr, 2), (channel, CHANNEL_FD)):
            os.dup2(source, target)
        os.closerange(CHANNEL_FD + 1, 1 << 20)
        os.chdir(order["cwd"])
        os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell is wanted
    except BaseException as error:  # nothing may return into the guard's loop
        os.write(2, f"sendoff: the worker cannot be started: {error}\n".encode())
    os._exit(127)


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def living() -> dict[int, Entry]:
    """Return all processes but zombies."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The command, in parentheses, may hold anything: the fields begin behind the last one.
                state, parent, _, session, *rest = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            found[int(name)] = Entry(int(parent), int(session), rest[15].decode())
    return found


def children_of(processes: dict[int, Entry]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, entry in processes.items():
        children.setdefault(entry.parent, []).append(pid)
    return children


def memory_of_tree(pid: int) -> int:
    """Return the resident bytes of a process and all its descendants; what they share counts for each."""
    total, todo = 0, [pid]
    while todo:
        pid = todo.pop()
        todo += children(pid)
        with suppress(OSError), open(f"/proc/{pid}/statm", "rb") as file:
            total += int(file.read().split()[1]) * PAGE
    return total


def children(pid: int) -> list[int]:
    """Return the children of one process, without a look at all others; none on a kernel that does not list them."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def marker_of(pid: int) -> str:
    """Return the worker marker in a process's environment, or something that is none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return "?"
    start = f"{MARKER}=".encode()
    found = (item for item in environment.split(b"\0") if item.startswith(start))
    return next(found, start + b"?")[len(start) :].decode("ascii", "replace")


def hunt(markers: set[str]) -> None:
    """Kill every process that carries one of these markers, whoever its parent is by now."""
    for pid in living():
        if marker_of(pid) in markers:
            send_signal(pid, signal.SIGKILL)


def send_signal(pid: int, signum: int, *, is_group: bool = False) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is gone, or it is not ours any more (setuid)
        (os.killpg if is_group else os.kill)(pid, signum)


def main(fd: int) -> None:
    for signum in IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    Guard(socket.socket(fileno=fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))

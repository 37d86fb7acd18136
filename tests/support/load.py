"""Callers under load: they submit at a steady rate, and try each POST again until somebody answers it."""

import threading
from collections.abc import Callable
from http.client import HTTPException
from itertools import count

from tests.support.history import History, Look, Post
from tests.support.serving import Service

_AGAIN_S = 0.05


def post(service: Service, history: History, function: str, ref: str) -> str | None:
    """Submit once and write it into the history; return the id of the job where there was a 202."""
    try:
        answer = service.post(function, {"ref": ref})
    except (OSError, HTTPException):
        history.posts.append(Post(ref=ref, status=None))
        return None
    job_id = answer.headers["x-job-id"] if answer.status == 202 else None
    history.posts.append(Post(ref=ref, status=answer.status, job_id=job_id))
    return job_id


class Load:
    """Several callers and one who looks at the list of jobs, each in a thread; all is written into the history."""

    def __init__(
        self, service: Service, history: History, *, function: Callable[[int], str], callers: int, pause_s: float
    ) -> None:
        """`function` names the function of a caller's n-th request; `pause_s` lies between two requests of one."""
        self._service = service
        self._history = history
        self._function = function
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._finish = threading.Event()
        self._callers = [threading.Thread(target=self._call, args=(f"caller{n}",)) for n in range(callers)]
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> "Load":
        for thread in (*self._callers, self._watcher):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish.set()
        self.stop()
        self._watcher.join()

    def stop(self) -> None:
        """Submit nothing new, and return once all that was submitted is answered."""
        self._stop.set()
        for caller in self._callers:
            caller.join()

    def _call(self, name: str) -> None:
        for number in count():
            if self._stop.wait(self._pause_s):
                return
            while not post(self._service, self._history, self._function(number), f"{name}-{number}"):
                if self._finish.wait(_AGAIN_S):
                    return

    def _watch(self) -> None:
        while not self._finish.wait(_AGAIN_S):
            try:
                jobs = self._service.get("/v1/jobs?limit=200").json()["items"]
            except (OSError, HTTPException):
                continue
            self._history.looks += [
                Look(job_id=job["id"], round=job["round"], run=job["run"], state=job["state"]) for job in jobs
            ]

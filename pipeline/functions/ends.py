"""The descriptors between the service and one worker process: a channel and two pipes, with two ends each."""

import os
import socket
from contextlib import ExitStack


class Ends:
    """Both sides' ends, freshly made; raises OSError, and leaves none open, where there are no descriptors left."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self.channel, theirs = socket.socketpair()
            undo.callback(self.channel.close)
            undo.callback(theirs.close)
            self.stdout, their_stdout = _pipe(undo)
            self.stderr, their_stderr = _pipe(undo)
            undo.pop_all()
        self.workers = (theirs.detach(), their_stdout, their_stderr)
        """The worker's: channel, stdout, stderr."""


def _pipe(undo: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends

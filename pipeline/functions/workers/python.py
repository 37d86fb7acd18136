"""The Python worker: loads one function and runs what the service sends over descriptor 3, one call at a time.

Run as `python python.py NAME PATH RESULT_LIMIT MEMORY_MB`. One file, standard library only, Python 3.9 or newer. The
frames are those of `pipeline.functions.channel`.
"""

from __future__ import annotations

import binascii
import json
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any, Callable, Iterable

CHANNEL_FD = 3
HEADER = struct.Struct("!BIII")
CALL, READY, UNLOADED, STARTED, VALUE, RESPONSE, FAILED = range(1, 8)
COPY_LIMIT = 64 * 1024
TEXT_LIMIT = 128 * 1024
FRAME_LIMIT = 100


class FailedError(Exception):
    """A run's failure that is told to the service as it is."""

    def __init__(self, reason: str, kind: str, message: str, stack: Iterable[str] = (), final: bool = False) -> None:
        super().__init__(message)
        self.head = {"reason": reason, "type": kind, "message": message, "stack": list(stack), "final": final}


class Rejected(Exception):  # noqa: N818 - callers see this name as errorType
    """What `context.reject` raises: the run has failed for good, whatever else happens in it."""

    retryable = False


class Context:
    """The facts of one run, by the names that AWS's Python context gives them, and a few of Sendoff's own."""

    function_version = "$LATEST"
    client_context = None
    identity = None

    def __init__(self, name: str, memory_mb: str, call: dict[str, Any]) -> None:
        self.function_name = name
        self.invoked_function_arn = f"arn:sendoff:function:{name}"
        self.memory_limit_in_mb = memory_mb
        self.log_group_name = f"/sendoff/{name}"
        self.log_stream_name = f"{os.getpid()}"
        self.aws_request_id = self.job_id = call["id"]
        self.attempt = call["attempt"]
        self.max_attempts = call["max_attempts"]
        self.batch_id = call["batch_id"]
        self.parent_id = call["parent_id"]
        self._ends = time.monotonic() + call["timeout_s"]
        self._rejection: Rejected | None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until the run's limit, 0 once it is reached."""
        return max(0, int((self._ends - time.monotonic()) * 1000))

    def reject(self, message: str) -> None:
        """Fail the run for good: it is not tried again. Raises, and does not return."""
        self._rejection = Rejected(message)
        raise self._rejection


class Loader(SourceFileLoader):
    """Always compiles the file itself: a cached one may be stale when a file is mended within a second."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


class Channel:
    """Frames to and from the service."""

    def __init__(self) -> None:
        os.set_inheritable(CHANNEL_FD, False)
        self._socket = socket.socket(fileno=CHANNEL_FD)
        # read(2) at the speed of C, which makefile() has not.
        self._file = open(CHANNEL_FD, "rb", closefd=False)  # noqa: SIM115 - open as long as the process
        self._pid = os.getpid()

    def receive(self) -> tuple[int, dict[str, Any], bytes] | None:
        """Wait for a call and return its run number, head and event; None once the service has gone."""
        try:
            start = self._file.read(HEADER.size)
            if len(start) < HEADER.size:
                return None
            _, run, head_size, body_size = HEADER.unpack(start)
            head, body = self._file.read(head_size), self._file.read(body_size)
        except OSError:
            return None  # the service closed its end with something unread
        return (run, json.loads(head), body) if len(body) == body_size else None

    def send(self, kind: int, run: int = 0, head: dict[str, Any] | None = None, body: bytes = b"") -> None:
        """Write one frame."""
        if os.getpid() != self._pid:
            os._exit(0)  # a forked child that fell out of the handler: the run is its parent's
        # What UTF-8 cannot hold becomes "?": a lone surrogate would not be JSON.
        said = b"" if head is None else json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
        start = HEADER.pack(kind, run, len(said), len(body)) + said
        try:
            if len(body) <= COPY_LIMIT:
                self._socket.sendall(start + body)
            else:
                self._socket.sendall(start)
                self._socket.sendall(body)
        except OSError:
            os._exit(1)  # the service has closed the channel: nobody is left to tell anything


class Worker:
    """One function, loaded, and the loop that calls its handler."""

    def __init__(self, channel: Channel, name: str, path: str, result_limit: int, memory_mb: str) -> None:
        self.channel = channel
        self.name = name
        self.path = path
        self.result_limit = result_limit
        self.memory_mb = memory_mb
        self.event_loop: Any = None

    def serve(self) -> None:
        """Load the function and run calls until the service closes the channel, or the function cannot be loaded."""
        try:
            handler = load(self.path)
        except FailedError as failed:
            flush()
            self.channel.send(UNLOADED, head=failed.head)
            return
        self.channel.send(READY)
        while True:
            frame = self.channel.receive()
            if frame is None:
                return
            run, call, event = frame
            kind, head, body = self.run(handler, run, call, event)
            flush()
            self.channel.send(kind, run, head, body)

    def run(self, handler: Callable[..., Any], run: int, call: dict[str, Any], event: bytes) -> tuple[int, Any, bytes]:
        """Run one call and return the kind, head and body of the frame that answers it."""
        arguments = json.loads(event.decode())
        context = Context(self.name, self.memory_mb, call)
        self.channel.send(STARTED, run)
        try:
            try:
                value = handler(arguments, context)
                if hasattr(value, "__await__"):
                    value = self.finish(value)
            finally:
                rejection = context._rejection
                if rejection is not None:  # raised anew: the handler may have swallowed it
                    raise rejection
            kind, head, body = encode(value, call["is_background"])
            if len(body) > self.result_limit:
                message = f"the result has {len(body)} bytes, more than the {self.result_limit} that are allowed"
                raise FailedError("too_large", "Function.ResponseSizeTooLarge", message)
            return kind, head, body
        except FailedError as failed:
            return FAILED, failed.head, b""
        except BaseException as error:  # SystemExit too: in a handler it is an exception like any other
            return FAILED, describe(error), b""

    def finish(self, value: Any) -> Any:
        """Run what an async handler returned on the one event loop that lives as long as the process."""
        if self.event_loop is None:
            import asyncio  # noqa: PLC0415 - 20 ms that plain functions need not wait for

            self.event_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.event_loop)
        return self.event_loop.run_until_complete(value)


def load(path: str) -> Callable[..., Any]:
    """Import the function's file and return its handler; raise FailedError, naming file and line."""
    folder, file = os.path.split(path)
    stem = os.path.splitext(file)[0]
    name = stem if stem not in sys.modules else f"function_{stem}"  # functions/json.py must not replace json
    loader = Loader(name, path)
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except SyntaxError as error:
        where = f"{relative(error.filename or path, folder)}:{error.lineno or 1}"
        raise FailedError("error", "Runtime.UserCodeSyntaxError", f"{where}: {error.msg}") from None
    except BaseException as error:
        said = describe(error)
        lines = [frame for frame in frames_of(error) if frame[0] == path]
        where = f"{file}:{lines[-1][1]}" if lines else file
        message = f"{where}: {said['type']}: {said['message']}"
        raise FailedError("error", "Runtime.ImportModuleError", message, said["stack"]) from None
    handler: Callable[..., Any] | None = getattr(module, "handler", None)
    if handler is None or not callable(handler):
        raise FailedError("error", "Runtime.HandlerNotFound", f"{file}:1: defines no function handler(event, context)")
    return handler


def encode(value: Any, is_background: bool) -> tuple[int, dict[str, Any] | None, bytes]:
    """Turn what a handler returned into the kind, head and body of a frame; raise FailedError if it is neither."""
    status = status_of(value.get("statusCode")) if isinstance(value, dict) else None
    if status is not None:
        return RESPONSE, {"status": status, "headers": headers_of(value)}, body_of(value)
    if not is_background:
        got = "a dict without a number as statusCode" if isinstance(value, dict) else type(value).__name__
        raise bad(f"a synchronous function must return a response with a statusCode, got {got}")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return VALUE, None, text.encode()
    except RecursionError:
        raise bad("the value that was returned is nested too deep for JSON") from None
    except UnicodeEncodeError as error:
        raise bad(f"the value that was returned has text with a lone surrogate: {error.reason}") from None
    except (TypeError, ValueError) as error:
        raise bad(f"the value that was returned cannot be written as JSON: {error}") from None


def status_of(code: Any) -> int | None:
    """Return a statusCode as a number, also where it is a text of digits; None where it is no number."""
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        return int(code)
    return int(code) if isinstance(code, int) and not isinstance(code, bool) else None


def headers_of(response: dict[str, Any]) -> list[tuple[str, str]]:
    """Return all header lines: those of multiValueHeaders, and of headers what is not among them."""
    single = table(response, "headers")
    multiple = table(response, "multiValueHeaders")
    replaced = {str(name).lower() for name in multiple}
    kept = [(name, value) for name, value in single.items() if str(name).lower() not in replaced]
    lines = [(str(name), header_text(name, value)) for name, value in kept]
    for name, values in multiple.items():
        if not isinstance(values, (list, tuple)):
            raise bad(f"multiValueHeaders must hold lists, got {type(values).__name__} for {name}")
        lines += [(str(name), header_text(name, value)) for value in values]
    return lines


def table(response: dict[str, Any], key: str) -> dict[Any, Any]:
    value = response.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"{key} must be a dict, got {type(value).__name__}")
    return value


def header_text(name: Any, value: Any) -> str:
    """Return a header's value as text; numbers and booleans are written as JSON has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise bad(f"the header {name} must be a string, got {type(value).__name__}")


def body_of(response: dict[str, Any]) -> bytes:
    body = response.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise bad(f"body must be a string, got {type(body).__name__}")
    try:
        if response.get("isBase64Encoded"):
            return binascii.a2b_base64(body.encode("ascii"), **STRICT_BASE64)
        return body.encode()
    except UnicodeEncodeError:
        raise bad("body must be text that UTF-8 can hold (base64 where isBase64Encoded is set)") from None
    except binascii.Error as error:
        raise bad(f"body must be base64, as isBase64Encoded says: {error}") from None


# Without it, what is not base64 is skipped; Python 3.9 and 3.10 do not know it.
STRICT_BASE64: dict[str, Any] = {"strict_mode": True} if sys.version_info >= (3, 11) else {}


def bad(message: str) -> FailedError:
    return FailedError("bad_response", "Runtime.MarshalError", message)


def describe(error: BaseException) -> dict[str, Any]:
    """Return the head that tells of an exception, whatever its own methods do."""
    try:
        message = str(error)
    except BaseException:
        message = f"<{type(error).__name__}: its text cannot be had>"
    try:
        is_final = getattr(error, "retryable", True) is False
    except BaseException:
        is_final = False
    reason = "rejected" if is_final else "out_of_memory" if isinstance(error, MemoryError) else "error"
    return FailedError(reason, str(type(error).__name__), message[:TEXT_LIMIT], stack_of(error), is_final).head


def stack_of(error: BaseException) -> list[str]:
    """Return the stack's frames as text, outermost first, without our own; the innermost 100 of a long one."""
    try:
        import traceback  # noqa: PLC0415 - needed by what fails only

        stack = traceback.extract_tb(error.__traceback__, -FRAME_LIMIT)
        users = traceback.StackSummary.from_list(frame for frame in stack if is_users(frame.filename))
        return [text[:1000] for text in users.format()]
    except BaseException:
        return []


def frames_of(error: BaseException) -> list[tuple[str, int]]:
    """Return file and line of each frame, outermost first."""
    found = []
    at = error.__traceback__
    while at is not None:
        found.append((at.tb_frame.f_code.co_filename, at.tb_lineno))
        at = at.tb_next
    return found


def is_users(filename: str) -> bool:
    return filename != __file__ and not filename.startswith("<frozen importlib")


def relative(filename: str, folder: str) -> str:
    return filename[len(folder) + 1 :] if filename.startswith(folder + os.sep) else filename


def flush() -> None:
    """Write out what was printed, before the service hears that the run has ended."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the function may have closed or replaced it
            stream.flush()


def main() -> None:
    name, path, result_limit, memory_mb = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        # By line, so that a killed run's output is there up to its last whole line.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    sys.path[0] = os.path.dirname(path)  # in the place of this file's own folder
    sys.argv = [path]
    Worker(Channel(), name, path, int(result_limit), memory_mb).serve()


if __name__ == "__main__":
    main()

"""Parsing children as the service sees them: two pipes to talk by, a third that tells the end; and their fork server.

Nothing that a child writes is more than bytes here; how many are held at a time is bounded, and so is every wait.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from s3_to_milvus.adapters.parsers.isolated.answers import untrue
from s3_to_milvus.adapters.parsers.isolated.sandbox import few_variables
from s3_to_milvus.adapters.parsers.isolated.wire import BEGUN, END, HEAD, MAX_FRAME_BYTES, PLAN, READY, STATUS, Plan

__all__ = ["ChildProcess", "ForkServer"]

_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from s3_to_milvus.adapters.parsers.isolated.forkserver import serve
serve(int(sys.argv[2]))
"""
_READ_BYTES = 65_536
_PIPE_BYTES = 262_144
_LOOK_S = 0.5
_MAX_THREADS = 512
_END_S = 5.0
_READY_CHARS = 1_000


class ForkServer:
    """A process of its own that forks children; all of them end with it, and it ends with the service."""

    def __init__(self, plan: Plan) -> None:
        """Start it; it imports what is to be imported while the first child is waited for. Raises OSError."""
        self._control, theirs = socket.socketpair()
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - "" is the working folder
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                    [sys.executable, "-c", _START, json.dumps(path), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=few_variables(os.environ, plan.given),
                )
            content = json.dumps(asdict(plan)).encode()
            self._control.sendall(HEAD.pack(PLAN, len(content)) + content)
        except BaseException:
            self._control.close()
            raise

    def fork(self) -> "ChildProcess":
        """A new child; it is not ready yet. Raises OSError."""
        with contextlib.ExitStack() as theirs:
            ends = []
            ours = []
            try:
                for is_to_child in (True, False, False):
                    reading, writing = os.pipe()
                    theirs.callback(os.close, reading if is_to_child else writing)
                    ends.append(reading if is_to_child else writing)
                    ours.append(writing if is_to_child else reading)
                socket.send_fds(self._control, [b"F"], ends)
            except OSError:
                for descriptor in ours:
                    os.close(descriptor)
                raise
        return ChildProcess(*ours)

    def is_alive(self) -> bool:
        """Whether it can fork."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it and all its children, those too that hang."""
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ChildProcess:
    """One child. Used by one thread at a time. ``tasks`` counts its jobs; ``has_begun``: it read the last one."""

    def __init__(self, jobs: int, answers: int, report: int) -> None:
        self.tasks = 0
        self.has_begun = False
        self.isolation = ""
        self._jobs, self._answers, self._report = jobs, answers, report
        self._pid: int | None = None
        self._received = bytearray()
        self._is_open = True
        os.set_blocking(jobs, False)
        os.set_blocking(answers, False)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a large answer costs fewer turns
                fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def is_usable(self) -> bool:
        """Whether it may get a job: nothing ended it, and it said nothing that nobody asked."""
        return not self.isolation or not (self._received or _is_ready(self._answers, select.POLLIN, 0))

    def wait_until_ready(self, deadline: float) -> None:
        """Raises EOFError where it ended instead, TimeoutError, `ParserCrashed`."""
        if self.isolation:
            return
        kind, content = next(self._frames(deadline))
        self._pid = self._told(deadline)
        if kind != READY or len(content) > _READY_CHARS or self._pid is None:
            raise untrue("not ready")
        self.isolation = content.decode("utf-8", "replace") or "off"

    def ask(self, job: bytes, deadline: float) -> Iterator[tuple[bytes, bytes]]:
        """Give it a job; the frames of its answer up to the last one, each within the limit of a frame.

        Raises EOFError where it ended instead, TimeoutError at ``deadline`` (monotonic), `ParserCrashed`.
        """
        self.tasks += 1
        self.has_begun = False
        with memoryview(job) as left:
            sent = 0
            while sent < len(left):
                try:
                    sent += os.write(self._jobs, left[sent:])
                except BlockingIOError:
                    self._wait(self._jobs, select.POLLOUT, deadline)
                except BrokenPipeError as exc:
                    raise EOFError from exc
        frames = self._frames(deadline)
        if next(frames)[0] != BEGUN:
            raise untrue("an answer before the question")
        self.has_begun = True
        for kind, content in frames:
            yield kind, content
            if kind == END:
                return

    def exit_code(self) -> int | None:
        """Stop it, if it is still there. How it ended; None: nobody knows, since the fork server ended, too."""
        deadline = time.monotonic() + _END_S
        with contextlib.suppress(TimeoutError):
            if self._pid is None:
                self._pid = self._told(deadline)
            if self._pid is None:
                return None
            # A child whose pipes are closed is ending by itself, mostly: its own reason is the better one.
            if not _is_ready(self._report, select.POLLIN, _LOOK_S):
                self.kill()
            return self._told(deadline)
        return None

    def kill(self) -> None:
        """Stop it, whatever it does."""
        if self._pid is not None and not _is_ready(self._report, select.POLLIN, 0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop it and forget it."""
        if self._is_open:
            if self._pid is None:
                with contextlib.suppress(TimeoutError):
                    self._pid = self._told(time.monotonic())
            self.kill()
            self._is_open = False
            for descriptor in (self._jobs, self._answers, self._report):
                os.close(descriptor)

    def _frames(self, deadline: float) -> Iterator[tuple[bytes, bytes]]:
        """What it says. Raises EOFError, TimeoutError, `ParserCrashed`."""
        while True:
            kind, size = HEAD.unpack(self._take(HEAD.size, deadline))
            if size > MAX_FRAME_BYTES:
                raise untrue("a frame that is too long")
            yield kind, self._take(size, deadline)

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            try:
                piece = os.read(self._answers, _READ_BYTES)
            except BlockingIOError:
                self._wait(self._answers, select.POLLIN, deadline)
                continue
            if not piece:
                raise EOFError
            self._received += piece
            if time.monotonic() > deadline:  # it never stops talking
                raise TimeoutError
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _told(self, deadline: float) -> int | None:
        """The next number from the fork server: the process id, then the exit code. Raises TimeoutError."""
        if not _is_ready(self._report, select.POLLIN, deadline - time.monotonic()):
            raise TimeoutError
        data = os.read(self._report, struct.calcsize(STATUS))
        return struct.unpack(STATUS, data)[0] if data else None

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        """Until something can be read or written. Looks at the threads of a child that takes its time."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if _is_ready(descriptor, event, min(left, _LOOK_S)):
                return
            if _threads_of(self._pid) > _MAX_THREADS:
                raise untrue(f"more than {_MAX_THREADS} threads")


def _is_ready(descriptor: int, event: int, wait_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, wait_s) * 1000))


def _threads_of(pid: int | None) -> int:
    """How many threads a process has; 0 where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/task").stat().st_nlink - 2
    except OSError:
        return 0

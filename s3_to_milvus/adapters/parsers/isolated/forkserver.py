"""The fork server: imports once what parsers need, then forks a parsing child whenever the service asks for one.

It reads no document and no answer, starts no thread, and ends with all its children when the service does. The service
starts it as a new program with few variables, so that children inherit nothing of the service's memory.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
from importlib import import_module

from s3_to_milvus.adapters.parsers.isolated import child
from s3_to_milvus.adapters.parsers.isolated.wire import HEAD, STATUS, Plan

__all__ = ["serve"]

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(descriptor: int) -> None:
    """Do what comes through this socket, until its other end is closed."""
    # Who stops the service stops a whole group of processes: documents under way may end, and are not blamed.
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as control:
        plan = _plan(control)
        for module in plan.preload:
            with contextlib.suppress(Exception):  # the job that needs it reports it
                import_module(module)
        _Server(control, plan).run()


def _plan(control: socket.socket) -> Plan:
    """What the service says first. No byte more is read: descriptors that come with the next one would be lost."""
    head = control.recv(HEAD.size, socket.MSG_WAITALL)
    _, size = HEAD.unpack(head)
    plan = Plan(**json.loads(control.recv(size, socket.MSG_WAITALL)))
    sys.dont_write_bytecode = True
    return plan


class _Server:
    """The children that are alive, by process id, each with the pipe that tells the service how it ended."""

    def __init__(self, control: socket.socket, plan: Plan) -> None:
        self._control = control
        self._plan = plan
        self._reports: dict[int, int] = {}
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)

    def run(self) -> None:
        """Fork and report until the service is gone."""
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            while True:
                asking = self._control.fileno()
                ready, _, _ = select.select([asking, self._woken], [], [])
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._report()
                if asking in ready and not self._asked():
                    return
        finally:
            for pid in self._reports:
                os.kill(pid, signal.SIGKILL)
            for pid in self._reports:
                os.waitpid(pid, 0)

    def _asked(self) -> bool:
        """One request; False: the service is gone."""
        request, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
        if not request:
            return False
        jobs, answers, report = descriptors
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # too many processes: the service sees its pipes closed
            os.close(report)
        else:
            if pid == 0:
                os.close(report)
                self._become_child(server, jobs, answers)
            self._reports[pid] = report
            self._tell(report, pid)
        os.close(jobs)
        os.close(answers)
        return True

    def _become_child(self, server: int, jobs: int, answers: int) -> None:
        """Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            for descriptor in (self._woken, self._wakes, *self._reports.values()):
                os.close(descriptor)
            child.serve(server, self._plan, jobs, answers)
            code = 0
        finally:
            os._exit(code)

    def _report(self) -> None:
        """Tell how each child ended that is not alive any more."""
        while self._reports:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            report = self._reports.pop(pid)
            self._tell(report, os.waitstatus_to_exitcode(status))
            os.close(report)

    def _tell(self, report: int, number: int) -> None:
        with contextlib.suppress(OSError):  # nobody asks any more
            os.write(report, struct.pack(STATUS, number))

"""A parser that was taken over by the file it read: it says to the service what no honest parser says, and tries doors.

It runs in parsing children only. The file holds a command; ``probe`` and ``sweep`` tell what was refused.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import pickle
import platform
import resource
import socket
import stat
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.ports import ParserInput

__all__ = ["LyingParser"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_IS_ARM = platform.machine() == "aarch64"
_NEWEST = 600
_PIECE = b"a" * (1 << 20)


class LyingParser:
    """The file says how to lie: ``line 900``, ``pickle PATH``, ``flood``."""

    class Options(BaseModel):
        """None."""

    def __init__(self, options: Options) -> None:
        pass

    def parse(self, source: ParserInput) -> Document:
        """Do it; most lies do not come back here."""
        command, _, rest = source.read().decode().partition(" ")
        text = _COMMANDS[command](rest)
        return Document([Block(BlockKind.PARAGRAPH, text)], source.media_type)

    def check(self) -> str:
        """Well."""
        return "well"


class _Mine:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self._path,)


def _answers() -> int:
    """The pipe to the service, as one finds it who knows nothing of our code."""
    for descriptor in range(3, 128):
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        except OSError:
            continue
        if is_pipe and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            return descriptor
    raise OSError("no pipe")


def _write(data: bytes) -> None:
    with memoryview(data) as left:
        sent = 0
        while sent < len(left):
            sent += os.write(_answers(), left[sent:])


def _frame(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<cI", kind, len(content)) + content


def _pickle(path: str) -> str:
    """As a frame of ours, and as `multiprocessing.connection` would frame it."""
    poison = pickle.dumps(_Mine(path))
    _write(_frame(b"E", poison) + struct.pack("!i", len(poison)) + poison)
    return "sent"


def _raw_pickle(path: str) -> str:
    poison = pickle.dumps(_Mine(path))
    _write(struct.pack("!i", len(poison)) + poison)
    return "sent"


def _long_line(mib: str) -> str:
    size = int(mib) << 20
    _write(struct.pack("<cI", b"B", size))
    for _ in range(int(mib)):
        _write(_PIECE)
    return "sent"


def _flood(_: str) -> str:
    """Lines without blocks, for ever."""
    data = _frame(b"B", b"[]\n") * 64
    while True:
        _write(data)


def _trickle(_: str) -> str:
    while True:
        _write(_frame(b"B", b"[]\n"))
        time.sleep(0.05)


def _attachments(_: str) -> str:
    """Attachments for ever, each of size 0."""
    data = _frame(b"A", b'["x",null]') * 64
    while True:
        _write(data)


def _ahead(_: str) -> str:
    """Answers the next question, too."""
    ending: dict[str, Any] = {"media_type": "text/plain", "title": "forged", "language": "", "page_count": None}
    ending |= {"warnings": [], "unread_pages": [], "error": None, "traceback": ""}
    content = json.dumps(ending).encode()
    _write((_frame(b"E", content) + _frame(b"J", b"")) * 2)
    time.sleep(60)
    return "sent"


def _fatal(_: str) -> str:
    """Claims what would stop the whole service."""
    ending: dict[str, Any] = {
        "media_type": "",
        "title": "",
        "language": "",
        "page_count": None,
        "warnings": [],
        "unread_pages": [],
    }
    ending |= {"error": ["quota_exhausted", "pay", "now"], "traceback": ""}
    _write(_frame(b"E", json.dumps(ending).encode()))
    time.sleep(60)
    return "sent"


def _threads(_: str) -> str:
    threading.stack_size(1 << 15)
    for _number in range(2_000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    time.sleep(60)
    return "started"


def _close_pipe(_: str) -> str:
    os.close(_answers())
    time.sleep(60)
    return "closed"


def _call(x86_64: int, arm64: int, *arguments: Any) -> int:
    result = int(_LIBC.syscall(arm64 if _IS_ARM else x86_64, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _on_other_processes(service: int) -> dict[str, Callable[[], Any]]:
    """Limits, priorities, signals, memory of other processes."""
    room, one = ctypes.create_string_buffer(256), ctypes.create_string_buffer(struct.pack("QQ", 1, 1))
    name = os.uname().nodename.encode()
    me = os.getpid()
    code = __file__
    return {
        "prlimit64, to read": lambda: _call(302, 261, service, 7, None, room),
        "prlimit64, to kill": lambda: _call(302, 261, service, 0, one, None),
        "prlimit64 of the fork server": lambda: _call(302, 261, os.getppid(), 7, None, room),
        "setpriority": lambda: os.setpriority(os.PRIO_PROCESS, service, 19),
        "setpriority of all": lambda: os.setpriority(os.PRIO_USER, 0, 1),
        "sched_setaffinity": lambda: os.sched_setaffinity(service, {0}),
        "sched_setscheduler": lambda: os.sched_setscheduler(service, os.SCHED_OTHER, os.sched_param(0)),
        "sched_setscheduler, real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "sched_setparam": lambda: os.sched_setparam(service, os.sched_param(0)),
        "sched_setattr": lambda: _call(314, 274, service, room, 0),
        "ioprio_set": lambda: _call(251, 30, 1, service, 2 << 13),
        "sethostname": lambda: _call(170, 161, name, len(name)),
        "setdomainname": lambda: _call(171, 162, b"(none)", 6),
        "kill": lambda: os.kill(service, 0),
        "tkill": lambda: _call(200, 130, service, 0),
        "tgkill": lambda: _call(234, 131, service, service, 0),
        "rt_sigqueueinfo": lambda: _call(129, 138, service, 0, room),
        "rt_tgsigqueueinfo": lambda: _call(297, 240, service, service, 0, room),
        "pidfd_open": lambda: _call(434, 434, service, 0),
        "pidfd_send_signal": lambda: _call(424, 424, 0, 0, None, 0),
        "owner of a pipe": lambda: fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, service),
        "signal of a pipe": lambda: fcntl.fcntl(os.pipe()[0], 10, 9),
        "lease": lambda: fcntl.fcntl(os.open(code, os.O_RDONLY), 1024, fcntl.F_RDLCK),
        "notice of a folder": lambda: fcntl.fcntl(os.open(sys.prefix, os.O_RDONLY), 1026, 1),
        "ptrace": lambda: _call(101, 117, 16, service, 0, 0),
        "process_vm_readv": lambda: _call(310, 270, service, None, 0, None, 0, 0),
        "process_vm_writev": lambda: _call(311, 271, service, None, 0, None, 0, 0),
        "kcmp": lambda: _call(312, 272, me, service, 0, 0, 0),
        "migrate_pages": lambda: _call(256, 238, service, 0, None, None),
        "move_pages": lambda: _call(279, 239, service, 0, None, None, None, 0),
        "process_madvise": lambda: _call(440, 440, 0, None, 0, 0, 0),
        "get_robust_list": lambda: _call(274, 100, service, room, room),
    }


def _on_the_kernel() -> dict[str, Callable[[], Any]]:
    """What would outlive this process, or is the whole machine's."""
    room = ctypes.create_string_buffer(256)
    return {
        "io_uring_setup": lambda: _call(425, 425, 1, room),
        "io_setup": lambda: _call(206, 0, 1, room),
        "memfd_create": lambda: os.memfd_create("x"),
        "memfd_secret": lambda: _call(447, 447, 0),
        "shmget": lambda: _call(29, 194, 0, 4096, 0o1000),
        "semget": lambda: _call(64, 190, 0, 1, 0o1000),
        "msgget": lambda: _call(68, 186, 0, 0o1000),
        "mq_open": lambda: _call(240, 180, b"x", os.O_CREAT | os.O_RDWR, 0o600, None),
        "shared memory": lambda: Path("/dev/shm/s2m-probe").open("wb"),
        "inotify_init": lambda: _call(294, 26, 0),
        "fanotify_init": lambda: _call(300, 262, 0, 0),
        "setsid": os.setsid,
        "setpgid": lambda: os.setpgid(0, 0),
        "setuid": lambda: os.setuid(os.getuid()),
        "capset": lambda: _call(126, 91, room, room),
        "unshare": lambda: _call(272, 97, 0x10000000),
        "setns": lambda: _call(308, 268, 0, 0),
        "personality": lambda: _call(135, 92, 0x40000),
        "prctl, to outlive": lambda: _call(157, 167, 1, 0, 0, 0, 0),
        "clock_settime": lambda: _call(227, 112, 99, room),
        "clock_adjtime": lambda: _call(305, 266, 99, room),
        "settimeofday": lambda: _call(164, 170, None, None),
        "adjtimex": lambda: _call(159, 171, None),
    }


def _on_the_machine() -> dict[str, Callable[[], Any]]:
    """Programs, mounts, clocks, modules, the network."""
    return {
        "bpf": lambda: _call(321, 280, 99, None, 0),
        "perf_event_open": lambda: _call(298, 241, None, 0, 0, 0, 0),
        "userfaultfd": lambda: _call(323, 282, 0),
        "keyctl": lambda: _call(250, 219, 0, 0, 0, 0, 0),
        "add_key": lambda: _call(248, 217, b"user", b"x", b"x", 1, 0),
        "mount": lambda: _call(165, 40, None, None, None, 0, None),
        "umount2": lambda: _call(166, 39, b"", 0),
        "fsopen": lambda: _call(430, 430, b"", 0),
        "swapon": lambda: _call(167, 224, b"", 0),
        "reboot": lambda: _call(169, 142, 0, 0, 0, None),
        "quotactl": lambda: _call(179, 60, 0, None, 0, None),
        "kexec_load": lambda: _call(246, 104, 0, 0, None, 1 << 40),
        "init_module": lambda: _call(175, 105, None, 0, b""),
        "syslog": lambda: _call(103, 116, 99, None, 0),
        "vmsplice": lambda: _call(278, 75, _answers(), None, 0, 0),
        "tee": lambda: _call(276, 77, _answers(), _answers(), 0, 0),
        "sync": lambda: _call(162, 81),
        "vhangup": lambda: _call(153, 58),
        "terminal": lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"),
        "fork": os.fork,
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "tcp": lambda: socket.create_connection(("127.0.0.1", 9), 1),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "unix": lambda: socket.socket(socket.AF_UNIX),
        "netlink": lambda: socket.socket(16, 3, 0),
    }


def _on_files(service: int, given: str) -> dict[str, Callable[[], Any]]:
    """Files and folders. ``given``: one of the service."""
    code = __file__
    return {
        "its limit of memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
        "its limit of files": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
        "read passwd": lambda: Path("/etc/passwd").read_bytes(),
        "list the root": lambda: os.listdir("/"),  # noqa: PTH208,
        "list what is given": lambda: os.listdir(given),  # noqa: PTH208,
        "read another process": lambda: Path(f"/proc/{service}/environ").read_bytes(),
        "read itself": lambda: Path("/proc/self/environ").read_bytes(),
        "memory of another": lambda: Path(f"/proc/{service}/mem").open("rb"),
        "write into the folder": lambda: Path(given, "x").open("wb"),
        "write code": lambda: Path(code).open("ab"),
        "make a folder": lambda: Path(given, "x").mkdir(),
        "remove code": lambda: Path(code).unlink(),
        "rename code": lambda: Path(code).rename(code + "x"),
        "truncate code": lambda: os.truncate(code, Path(code).stat().st_size),
        "times of code": lambda: os.utime(code),
        "mode of code": lambda: Path(code).chmod(0o644),
        "attribute of code": lambda: _call(188, 5, code.encode(), b"user.x", b"1", 1, 0),
        "make a fifo": lambda: os.mkfifo(Path(given, "x")),
        "make a link": lambda: Path(given, "x").symlink_to("/etc"),
        "make a hard link": lambda: Path(given, "x").hardlink_to(code),
        "change the folder": lambda: os.chdir("/"),
        "does a file exist": lambda: os.stat("/etc/shadow").st_size,  # noqa: PTH116,
        "where a link leads": lambda: os.readlink("/proc/self/exe"),  # noqa: PTH115,
    }


def _on_itself() -> dict[str, Callable[[], Any]]:
    """What stays open."""
    me = os.getpid()
    return {
        "its own limits": lambda: resource.getrlimit(resource.RLIMIT_AS),
        "its own processors": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
        "signal to itself": lambda: _call(234, 131, me, me, 0),
        "memory to run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close(),
    }


def _probe(rest: str) -> str:
    service, _, given = rest.partition(" ")
    doors = _on_other_processes(int(service)) | _on_the_kernel() | _on_the_machine()
    doors |= _on_files(int(service), given) | _on_itself()
    return json.dumps({name: _tried(door) for name, door in doors.items()})


def _tried(door: Callable[[], Any]) -> str:
    try:
        door()
    except OSError as exc:
        return errno.errorcode.get(exc.errno or 0, "?")
    except ValueError as exc:  # setrlimit says it so
        return f"EPERM: {exc}"
    return "open"


def _sweep(allowed: str) -> str:
    """Every call but these, with nothing in its arguments; those that were not refused."""
    passed = []
    for number in sorted(set(range(_NEWEST)) - set(map(int, allowed.split(",")))):
        result = _LIBC.syscall(number, 0, 0, 0, 0, 0, 0)
        if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            passed.append(number)
    return ",".join(map(str, passed))


def _files(_: str) -> str:
    """What it holds open, apart from the three of every process."""
    kinds = []
    for descriptor in range(3, 128):
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            continue
        kinds.append("pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "file")
    return ",".join(kinds)


_COMMANDS: dict[str, Callable[[str], str]] = {
    "ok": str,
    "pickle": _pickle,
    "raw-pickle": _raw_pickle,
    "line": _long_line,
    "flood": _flood,
    "trickle": _trickle,
    "attachments": _attachments,
    "ahead": _ahead,
    "fatal": _fatal,
    "threads": _threads,
    "close-pipe": _close_pipe,
    "probe": _probe,
    "sweep": _sweep,
    "files": _files,
}

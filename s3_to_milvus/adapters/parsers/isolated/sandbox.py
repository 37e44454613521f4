"""What a parsing child may not do: grow without end, outlive the service, reach other files, programs or the network.

Every measure is best effort: `enter` returns those that are in force, so that the doctor can tell.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from s3_to_milvus.adapters.parsers.isolated.syscalls import filter_system_calls

__all__ = ["allow_cpu_s", "be_silent", "die_with", "enter", "few_variables", "landlock_abi"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_CAPABILITY_VERSION, _CAP_DAC_READ_SEARCH = 0x20080522, 1 << 2
_M_ARENA_MAX = -8
_MAX_FILES = 128

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_LEVELS = ("off", "partial", "full")
_KEPT_VARIABLES = ("PATH", "LANG", "TZ", "TESSDATA_PREFIX")
_KEPT_PREFIXES = ("LC_", "LD_", "DYLD_", "PYTHON", "MALLOC_", "FONTCONFIG_")
_READABLE = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/fonts",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)


def few_variables(given: Mapping[str, str], temporary: str) -> dict[str, str]:
    """What children may know of the variables of the service: how to find libraries, no secret."""
    kept = {name: value for name, value in given.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)}
    # One thread for each child: the service decides how many documents are read at a time.
    return {**kept, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "TMPDIR": temporary}


def enter(memory_mb: int, given: str, readable: Sequence[str] = ()) -> str:
    """Limit this process for good. How far it is shut off, full, partial or off, and by which measures, for people.

    ``given``: the folder of files to parse. A child may read files there whose names it was told, but it sees no other
    names; it writes no file anywhere.
    """
    tempfile.tempdir = given
    for kind, limit in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(kind, limit)
    measures = []
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # One arena for all threads: arenas reserve address space, which is what the memory limit counts.
        libc.mallopt(_M_ARENA_MAX, 1)
        _drop_capabilities(libc)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        with contextlib.suppress(OSError):
            measures.append(f"landlock {_landlock(libc, given, readable)}")
        with contextlib.suppress(OSError):
            filter_system_calls(libc)
            measures.append("a filter of system calls")
    return f"{_LEVELS[len(measures)]}: {', '.join(['limits of memory, files and time', *measures])}"


def be_silent() -> None:
    """From now on nothing that libraries print gets anywhere: it may quote the document."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _limit(kind: int, value: int) -> None:
    """Set a limit, but never above the one that is in force."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, value))


def allow_cpu_s(seconds: float) -> None:
    """From now on this process may use that much CPU time; then the kernel ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))


def die_with(server: int) -> None:
    """From now on the kernel kills this process when the fork server ends (Linux); that ends with the service."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(1)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root in a child may do no more than read, which landlock narrows: not raise its limits again, not set clocks.

    https://man7.org/linux/man-pages/man2/capget.2.html
    """
    wanted = _CAP_DAC_READ_SEARCH
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
    held = ctypes.create_string_buffer(24)
    if libc.capget(head, held) == 0:
        effective, permitted, *_ = struct.unpack("=6I", held.raw)
        libc.capset(head, struct.pack("=6I", effective & wanted, permitted & wanted, 0, 0, 0, 0))


def landlock_abi() -> int:
    """The version of landlock in this kernel; 0: none (other systems, old kernels, switched off)."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None, use_errno=True).syscall(_SYS_CREATE_RULESET, None, 0, 1)))


def _landlock(libc: ctypes.CDLL, given: str, readable: Sequence[str]) -> int:
    """Allow reading of libraries, ``readable`` and files in ``given`` only, no TCP, no signals. Raises OSError."""
    abi = landlock_abi()
    if abi < 1:
        raise OSError("no landlock")
    handled = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    fields = (handled, 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(libc.syscall(_SYS_CREATE_RULESET, struct.pack("QQQ", *fields), size, 0))
    try:
        _allow(libc, ruleset, given, _READ_FILE & handled)
        _allow(libc, ruleset, os.devnull, (_READ_FILE | _WRITE_FILE) & handled)
        for path in (*_readable(), *readable):
            _allow(libc, ruleset, path, _READ & handled)
        _checked(libc.syscall(_SYS_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return abi


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    """Allow a kind of access below a path; a path that is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        granted = access if Path(path).is_dir() else access & _ON_FILES
        _checked(libc.syscall(_SYS_ADD_RULE, ruleset, 1, struct.pack("=QI", granted, place), 0))
    finally:
        os.close(place)


def _readable() -> set[str]:
    """Where libraries and our own code lie. Not the whole Python path: it may lead to the user's data."""
    ours = Path(__file__).resolve().parents[3]
    return {*_READABLE, str(ours), sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}


def _checked(result: int) -> int:
    """The result of a system call. Raises OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

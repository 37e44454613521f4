"""A filter of system calls (seccomp) for parsing children, where the kernel has it: Linux on x86-64 and arm64.

Only what parsers need is allowed: reading, memory, threads, timers, the process's own facts. Everything else fails with
EPERM: network, other programs and processes (their limits, priorities, processors), names of the host, clocks, mounts,
changes of files and folders by name, watches, queues, kernel interfaces. Calls newer than the list fail as if the
kernel had none (ENOSYS), so that libraries use older ones.
Filters are programs of classic BPF: https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["filter_system_calls"]

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_CLONE_THREAD = 0x10000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS, _ARGUMENT_BYTES = 0, 4, 16, 8
_TMPFILE = 0x400000

_Step = tuple[int, int, int, int]
_ALLOWED: _Step = (_RETURN, 0, 0, _ALLOW)
_REFUSED: _Step = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
_UNKNOWN: _Step = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)

# Numbers that all architectures share.
_NEWER = """
    close_range 436 faccessat2 439 epoll_pwait2 441 futex_waitv 449 map_shadow_stack 453 futex_wake 454 futex_wait 455
    futex_requeue 456 mseal 462
"""
_NEWEST = 462
# https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
_X86_64 = """
    read 0 write 1 readv 19 writev 20 pread64 17 pwrite64 18 preadv 295 pwritev 296 preadv2 327 pwritev2 328
    close 3 stat 4 fstat 5 lstat 6 newfstatat 262 statx 332 lseek 8 access 21 faccessat 269 readlink 89 readlinkat 267
    getcwd 79 getdents 78 getdents64 217 dup 32 dup2 33 dup3 292 pipe 22 pipe2 293 flock 73 fsync 74 fdatasync 75
    ftruncate 77 fallocate 285 fadvise64 221 readahead 187 sendfile 40 copy_file_range 326 statfs 137 fstatfs 138
    umask 95 select 23 pselect6 270 poll 7 ppoll 271 epoll_create 213 epoll_create1 291 epoll_ctl 233 epoll_wait 232
    epoll_pwait 281 eventfd 284 eventfd2 290 signalfd 282 signalfd4 289
    timerfd_create 283 timerfd_settime 286 timerfd_gettime 287
    mmap 9 munmap 11 mprotect 10 mremap 25 madvise 28 msync 26 mincore 27 brk 12 mlock 149 munlock 150 mlock2 325
    pkey_mprotect 329 pkey_alloc 330 pkey_free 331 get_mempolicy 239 set_mempolicy 238 mbind 237
    rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 rt_sigpending 127 rt_sigtimedwait 128 rt_sigsuspend 130
    sigaltstack 131 pause 34 restart_syscall 219 nanosleep 35 clock_nanosleep 230 clock_gettime 228 clock_getres 229
    gettimeofday 96 time 201 times 100 getitimer 36 setitimer 38 alarm 37 timer_create 222 timer_settime 223
    timer_gettime 224 timer_getoverrun 225 timer_delete 226 getrusage 98
    futex 202 set_robust_list 273 set_tid_address 218 rseq 334 membarrier 324 gettid 186 getpid 39 getppid 110
    getpgid 121 getpgrp 111 getsid 124 sched_yield 24 sched_getaffinity 204 sched_getparam 143 sched_getscheduler 145
    sched_getattr 315 sched_get_priority_max 146 sched_get_priority_min 147 sched_rr_get_interval 148 getpriority 140
    getcpu 309 arch_prctl 158 exit 60 exit_group 231 wait4 61 waitid 247
    getuid 102 geteuid 107 getgid 104 getegid 108 getresuid 118 getresgid 120 getgroups 115 capget 125 uname 63
    sysinfo 99 getrlimit 97 setrlimit 160 getrandom 318
"""
# https://github.com/torvalds/linux/blob/master/include/uapi/asm-generic/unistd.h
_ARM64 = """
    read 63 write 64 readv 65 writev 66 pread64 67 pwrite64 68 preadv 69 pwritev 70 preadv2 286 pwritev2 287
    close 57 fstat 80 newfstatat 79 statx 291 lseek 62 faccessat 48 readlinkat 78 getcwd 17 getdents64 61
    dup 23 dup3 24 pipe2 59 flock 32 fsync 82 fdatasync 83 ftruncate 46 fallocate 47 fadvise64 223 readahead 213
    sendfile 71 copy_file_range 285 statfs 43 fstatfs 44 umask 166 pselect6 72 ppoll 73 epoll_create1 20 epoll_ctl 21
    epoll_pwait 22 eventfd2 19 signalfd4 74 timerfd_create 85 timerfd_settime 86 timerfd_gettime 87
    mmap 222 munmap 215 mprotect 226 mremap 216 madvise 233 msync 227 mincore 232 brk 214 mlock 228 munlock 229
    mlock2 284 pkey_mprotect 288 pkey_alloc 289 pkey_free 290 get_mempolicy 236 set_mempolicy 237 mbind 235
    rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 rt_sigpending 136 rt_sigtimedwait 137 rt_sigsuspend 133
    sigaltstack 132 restart_syscall 128 nanosleep 101 clock_nanosleep 115 clock_gettime 113 clock_getres 114
    gettimeofday 169 times 153 getitimer 102 setitimer 103 timer_create 107 timer_settime 110 timer_gettime 108
    timer_getoverrun 109 timer_delete 111 getrusage 165
    futex 98 set_robust_list 99 set_tid_address 96 rseq 293 membarrier 283 gettid 178 getpid 172 getppid 173
    getpgid 155 getsid 156 sched_yield 124 sched_getaffinity 123 sched_getparam 121 sched_getscheduler 120
    sched_getattr 275 sched_get_priority_max 125 sched_get_priority_min 126 sched_rr_get_interval 127 getpriority 141
    getcpu 168 exit 93 exit_group 94 wait4 260 waitid 95
    getuid 174 geteuid 175 getgid 176 getegid 177 getresuid 148 getresgid 150 getgroups 158 capget 90 uname 160
    sysinfo 179 getrlimit 163 setrlimit 164 getrandom 278
"""
# fcntl: copies of descriptors, flags, locks, sizes of pipes, seals. Not leases, notices, owners: signals to others.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
# ioctl: is it a terminal, how large, how many bytes wait, non-blocking, close on exec.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# prctl: names of threads and of memory; reading what is in force; huge pages; vector lengths; pointer tags.
_PRCTL = (3, 15, 16, 21, 23, 39, 41, 42, 51, 52, 55, 56, 0x53564D41)


class _Machine(NamedTuple):
    """What differs between architectures: the audit number, and the numbers of calls. ``opens``: call to the argument
    that holds its flags."""

    audit: int
    allowed: str
    seccomp: int
    clone: int
    prlimit64: int
    sched_setaffinity: int
    tgkill: int
    fcntl: int
    ioctl: int
    prctl: int
    opens: dict[int, int]


# They take their flags by a pointer, which no filter can follow: as if the kernel had none, the C library uses others.
_CLONE3, _OPENAT2 = 435, 437
_MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64, 317, 56, 302, 203, 234, 72, 16, 157, opens={2: 1, 257: 2}),
    "aarch64": _Machine(0xC00000B7, _ARM64, 277, 220, 261, 122, 131, 25, 29, 167, opens={56: 2}),
}


def filter_system_calls(libc: ctypes.CDLL) -> None:
    """Put the filter on all threads of this process, for good. Raises OSError where the kernel has none.

    The process must have said that it wants no new privileges.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, "no filter for this architecture")
    code = _program(machine, os.getpid())
    held = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(held)))
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, program) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _program(machine: _Machine, pid: int) -> bytes:
    """Each step is (code, jump if true, jump if false, value); a jump counts the steps that are left out."""
    steps: list[_Step] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    for first, last in _ranges(_numbers(machine.allowed) | _numbers(_NEWER)):
        steps += [(_AT_LEAST, 0, 2, first), (_AT_LEAST, 1, 0, last + 1), _ALLOWED]
    for number in (_CLONE3, _OPENAT2):
        steps += [(_EQUAL, 0, 1, number), _UNKNOWN]
    steps += _for(machine.clone, 0, [(_ANY_BIT, 0, 1, _CLONE_THREAD), _ALLOWED, _REFUSED])
    for number, argument in machine.opens.items():  # files without a name need no right to make files
        steps += _for(number, argument, [(_ANY_BIT, 0, 1, _TMPFILE), _REFUSED, _ALLOWED])
    # Processes are named by 32 bits, 0 is the caller; the upper half of a register counts for none of these calls.
    for number, argument, values in (
        (machine.prlimit64, 0, (0,)),
        (machine.sched_setaffinity, 0, (0,)),
        (machine.tgkill, 0, (pid,)),
        (machine.fcntl, 1, _FCNTL),
        (machine.ioctl, 1, _IOCTL),
        (machine.prctl, 0, _PRCTL),
    ):
        steps += _for(number, argument, [*_one_of(values), _REFUSED])
    steps += [(_AT_LEAST, 0, 1, _NEWEST + 1), _UNKNOWN, _REFUSED]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _for(number: int, argument: int, steps: list[_Step]) -> list[_Step]:
    """What to do with the lower half of an argument of this call; the last step decides."""
    return [
        (_EQUAL, 0, len(steps) + 1, number),
        (_LOAD, 0, 0, _AT_ARGUMENTS + _ARGUMENT_BYTES * argument),
        *steps,
    ]


def _one_of(values: Iterable[int]) -> Iterator[_Step]:
    for value in values:
        yield from ((_EQUAL, 0, 1, value), _ALLOWED)


def _numbers(table: str) -> set[int]:
    return {int(word) for word in table.split()[1::2]}


def _ranges(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """First and last of each row of numbers without a gap."""
    ordered = sorted(numbers)
    first = ordered[0]
    for number, following in zip(ordered, [*ordered[1:], -1], strict=True):
        if following != number + 1:
            yield first, number
            first = following

"""A filter of system calls (seccomp) for parsing children, where the kernel has it: Linux on x86-64 and arm64.

What a parser never needs fails with EPERM: network, other programs and processes, mounts, kernel interfaces, shared
memory that outlives it, and what Landlock does not cover (modes, owners and times of files). Threads stay possible.
Filters are programs of classic BPF: https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

__all__ = ["filter_system_calls"]

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS, _ARGUMENT_BYTES = 0, 4, 16, 8
_TMPFILE = 0x400000

_Step = tuple[int, int, int, int]

# Numbers that all architectures share.
_NEWER = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "fchmodat2": 452,
}
# https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
_X86_64 = """
    socket 41 connect 42 accept 43 sendto 44 sendmsg 46 bind 49 listen 50 socketpair 53 accept4 288 sendmmsg 307
    fork 57 vfork 58 execve 59 execveat 322 kill 62 ptrace 101 process_vm_readv 310 process_vm_writev 311
    mount 165 umount2 166 pivot_root 155 chroot 161 unshare 272 setns 308 bpf 321 perf_event_open 298 userfaultfd 323
    keyctl 250 add_key 248 request_key 249 kexec_load 246 kexec_file_load 320 init_module 175 finit_module 313
    delete_module 176 reboot 169 swapon 167 swapoff 168 syslog 103 acct 163 quotactl 179 open_by_handle_at 304
    name_to_handle_at 303 memfd_create 319 shmget 29 shmat 30 msgget 68 semget 64 mq_open 240
    chmod 90 fchmod 91 chown 92 fchown 93 lchown 94 fchmodat 268 fchownat 260 setxattr 188 lsetxattr 189 fsetxattr 190
    removexattr 197 lremovexattr 198 fremovexattr 199 utime 132 utimes 235 futimesat 261 utimensat 280
"""
# https://github.com/torvalds/linux/blob/master/include/uapi/asm-generic/unistd.h
_ARM64 = """
    socket 198 connect 203 accept 202 sendto 206 sendmsg 211 bind 200 listen 201 socketpair 199 accept4 242 sendmmsg 269
    execve 221 execveat 281 kill 129 ptrace 117 process_vm_readv 270 process_vm_writev 271
    mount 40 umount2 39 pivot_root 41 chroot 51 unshare 97 setns 268 bpf 280 perf_event_open 241 userfaultfd 282
    keyctl 219 add_key 217 request_key 218 kexec_load 104 kexec_file_load 294 init_module 105 finit_module 273
    delete_module 106 reboot 142 swapon 224 swapoff 225 syslog 116 acct 89 quotactl 60 open_by_handle_at 265
    name_to_handle_at 264 memfd_create 279 shmget 194 shmat 196 msgget 186 semget 190 mq_open 180
    fchmod 52 fchmodat 53 fchown 55 fchownat 54 setxattr 5 lsetxattr 6 fsetxattr 7
    removexattr 14 lremovexattr 15 fremovexattr 16 utimensat 88
"""


class _Machine(NamedTuple):
    """What differs between architectures: the audit number, and the numbers of calls. ``opens``: call to the argument
    that holds its flags."""

    audit: int
    denied: str
    seccomp: int
    clone: int
    opens: dict[int, int]


# They take their flags by a pointer, which no filter can follow: as if the kernel had none, the C library uses others.
_CLONE3, _OPENAT2 = 435, 437
_MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64, seccomp=317, clone=56, opens={2: 1, 257: 2}),
    "aarch64": _Machine(0xC00000B7, _ARM64, seccomp=277, clone=220, opens={56: 2}),
}


def filter_system_calls(libc: ctypes.CDLL) -> None:
    """Put the filter on all threads of this process, for good. Raises OSError where the kernel has none.

    The process must have said that it wants no new privileges.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, "no filter for this architecture")
    code = _program(machine)
    held = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(held)))
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, program) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _program(machine: _Machine) -> bytes:
    """Each step is (code, jump if true, jump if false, value); a jump counts the steps that are left out."""
    refused: _Step = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    steps: list[_Step] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refused,
    ]
    for number in (_CLONE3, _OPENAT2):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number in _denied(machine):
        steps += [(_EQUAL, 0, 1, number), refused]
    steps += [(_EQUAL, 0, 4, machine.clone), *_with_bits(0, _CLONE_THREAD, (_RETURN, 0, 0, _ALLOW), refused)]
    for number, argument in machine.opens.items():  # files without a name need no right to make files
        steps += [(_EQUAL, 0, 4, number), *_with_bits(argument, _TMPFILE, refused, (_RETURN, 0, 0, _ALLOW))]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _with_bits(argument: int, bits: int, found: _Step, missing: _Step) -> list[_Step]:
    """What to do where the argument has one of these bits, and where it has none."""
    return [(_LOAD, 0, 0, _AT_ARGUMENTS + _ARGUMENT_BYTES * argument), (_ANY_BIT, 0, 1, bits), found, missing]


def _denied(machine: _Machine) -> list[int]:
    words = machine.denied.split()
    return sorted({*map(int, words[1::2]), *_NEWER.values()})

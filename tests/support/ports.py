"""A port for a server that is started as a process of its own."""

import itertools
import os
import random
import socket

__all__ = ["free_port"]

_FIRST, _BLOCK, _BLOCKS = 20_000, 700, 16
_steps = itertools.count(random.SystemRandom().randrange(_BLOCK))


def free_port() -> int:
    """A port of loopback on which nobody listens, and that nobody else takes meanwhile.

    It is not one of those that the system gives to whoever asks for any (32768 and above on Linux), and each worker of
    a parallel run has its own. Servers inside the tests' own process bind port 0 instead.
    """
    worker = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))) or 0) % _BLOCKS
    for _ in range(_BLOCK):
        port = _FIRST + worker * _BLOCK + next(_steps) % _BLOCK
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")

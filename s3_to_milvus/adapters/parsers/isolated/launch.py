"""Starts children from a fork server without importing the program's main module into them.

The standard library does that so that functions defined there can be found. Ours never are, and the main module may be
``uvicorn``, a test runner, or a script without a guard that would start a second service.
"""

import io
import os
from collections.abc import Sequence
from multiprocessing import context, forkserver, popen_forkserver, reduction, spawn, util
from typing import Any

__all__ = ["parsing_context"]


class _Popen(popen_forkserver.Popen):
    """As its base, but the child gets no instruction to import the main module."""

    def _launch(self, process_obj: Any) -> None:
        """As in the standard library (3.11 to 3.13), but for the names left out."""
        preparation = spawn.get_preparation_data(process_obj.name)
        kept = {name: value for name, value in preparation.items() if not name.startswith("init_main_")}
        buffer = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(kept, buffer)
            reduction.dump(process_obj, buffer)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, to_child = forkserver.connect_to_new_process(self._fds)  # type: ignore[attr-defined]
        # This end stays open as long as we live: by it the child notices our end.
        kept_open = os.dup(to_child)
        self.finalizer = util.Finalize(self, _close, (kept_open, self.sentinel))
        with open(to_child, "wb", closefd=True) as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


def _close(*descriptors: int) -> None:
    """Close the ends of pipes."""
    for descriptor in descriptors:
        os.close(descriptor)


class _Process(context.ForkServerProcess):
    """A child of the fork server."""

    @staticmethod
    def _Popen(process_obj: Any) -> _Popen:
        """How it is launched."""
        return _Popen(process_obj)


class _Context(context.ForkServerContext):
    """The fork server's context with our processes."""

    Process = _Process


def parsing_context(preload: Sequence[str]) -> context.ForkServerContext:
    """A context for pebble. ``preload`` is imported once in the fork server, so that each child starts with it."""
    made = _Context()
    made.set_forkserver_preload(list(preload))
    return made

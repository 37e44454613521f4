"""Named points before and after calls to the outside, at one of which a process kills itself."""

import importlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s3_to_milvus.bootstrap import application
from s3_to_milvus.bootstrap.chosen import Chosen
from s3_to_milvus.domain.records import Claim, Suspicion
from s3_to_milvus.engine.integrity import IntegrityMonitor

__all__ = ["AT_REST", "POINTS", "Trap", "set_trap", "stop_comparing"]

_PORTS = {
    "store": ("get",),
    "embedder": ("embed_documents",),
    "vectors": ("ensure", "insert", "delete", "delete_other_runs", "fetch", "tend"),
    "ledger": (
        *("expire_all", "put_source", "observe", "claim", "add_collection", "commit", "settle"),
        *("retry", "bury", "release", "put_off", "begin", "note_run", "outbox_done"),
    ),
}
# Steps inside the vendor's engine: (module, class, method).
_STEPS = {
    "log of rows": ("milvus_lite.storage.wal", "WAL", "write_insert"),
    "log of deletions": ("milvus_lite.storage.wal", "WAL", "write_delete"),
    "flush of a file": ("milvus_lite.engine.flush", "", "write_data_file"),
    "manifest": ("milvus_lite.storage.manifest", "Manifest", "save"),
    "swap of files": ("s3_to_milvus.adapters.vector_stores.milvus.compaction", "", "_swap"),
}
# What a life passes nearly always, and what matters most: rows, the ledger's word for them, and what is left over.
POINTS = (
    *(
        f"{when} {name}"
        for name in ("insert", "commit", "delete", "settle", "claim", "get", "observe", "bury", "embed_documents")
        for when in ("before", "after")
    ),
    *(f"{when} {name}" for name in ("log of rows", "log of deletions", "manifest") for when in ("before", "after")),
    *("after delete_other_runs", "after release", "after note_run", "after outbox_done", "after expire_all"),
    *("before fetch", "after ensure", "after add_collection", "before flush of a file", "after tend"),
    *("before swap of files", "after swap of files"),
)
AT_REST = "at rest"


class Trap:
    """Kills this process without a word when the point ``name`` is passed for the ``nth`` time."""

    def __init__(self, name: str, nth: int, last_words: Callable[[str], None]) -> None:
        self.name = name
        self._left = nth
        self._last_words = last_words
        self._lock = threading.Lock()

    def passing(self, name: str) -> None:
        """A point is passed."""
        if name != self.name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.spring(name)

    def spring(self, name: str) -> None:
        """Tell where, and die."""
        self._last_words(name)
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call`` with a point before and one after it."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.passing(f"before {name}")
            answer = call(*args, **kwargs)
            self.passing(f"after {name}")
            return answer

        return watched


class _Trapped:
    """A port whose calls pass the points."""

    def __init__(self, inner: Any, names: tuple[str, ...], trap: Trap) -> None:
        self._inner = inner
        for name in names:
            setattr(self, name, trap.around(name, getattr(inner, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Forgetful:
    """A ledger without the suspect rule."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def claim(self, *args: Any) -> list[Claim]:
        """Claims that look clean."""
        return [replace(each, suspicion=Suspicion.NONE) for each in self._inner.claim(*args)]


def _watched(make: Callable[..., Any], calls: tuple[str, ...], trap: Trap) -> Callable[..., Any]:
    """A method of `Chosen` whose port is watched."""
    return lambda *args: _Trapped(make(*args), calls, trap)


def stop_comparing() -> None:
    """From now on nothing but `check` sees where the stores differ."""
    for name in ("look", "tick"):
        setattr(IntegrityMonitor, name, lambda monitor: 0)


def set_trap(trap: Trap, *, is_forgetful: bool = False) -> None:
    """From now on, whatever is built in this process passes the points. There is no way back: use it in a fork.

    ``is_forgetful`` plants a defect: no claim knows that an earlier one was never resolved, and nobody compares the
    stores, which would heal it.
    """

    watched = {name: _watched(getattr(Chosen, name), calls, trap) for name, calls in _PORTS.items()}
    if is_forgetful:
        stop_comparing()
        make_ledger = watched["ledger"]
        watched["ledger"] = lambda *args: _Forgetful(make_ledger(*args))
    vars(application)["Chosen"] = type("TrappedChosen", (Chosen,), watched)
    for name, (module, owner_name, method) in _STEPS.items():
        if trap.name.endswith(name):
            owner = importlib.import_module(module)
            owner = getattr(owner, owner_name) if owner_name else owner
            setattr(owner, method, trap.around(name, getattr(owner, method)))

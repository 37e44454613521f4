"""Imports pymilvus and Milvus Lite late, once, quietly, and without pandas.

pymilvus imports pandas only to tell data frames from lists, and pyarrow looks for it at the first array. We use no data
frames, and pandas costs 30 MiB and more than a second of CPU. So pymilvus is given a stand-in while it is imported
(its functions load the real pandas if they are ever called), and pyarrow is told that there is none. Afterwards pandas
can be imported by anybody as usual; where it was imported before, nothing of this happens.
"""

import ctypes
import importlib
import importlib.abc
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["grpc_errors", "load_lite", "load_pyarrow", "load_pymilvus", "trim_memory"]

_LOCK = threading.Lock()
_STAND_INS = ("pandas", "pandas.api", "pandas.api.types")
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_NOISY = ("pymilvus", "milvus_lite")


def load_pymilvus() -> Any:
    """The module pymilvus. Costs most of a second of CPU the first time."""
    with _LOCK:
        if "pymilvus" not in sys.modules:
            _import("pymilvus")
        return sys.modules["pymilvus"]


def load_lite() -> Any:
    """The module ``milvus_lite.db``, with pyarrow and faiss."""
    load_pymilvus()
    with _LOCK:
        if "milvus_lite.db" not in sys.modules:
            _c_library("mallopt", _ARENA_MAX, 2)  # one pool of memory per thread otherwise: 50 MiB more for 5,000 rows
            with _no_pandas():
                arrow = importlib.import_module("pyarrow")
                arrow.array([0])
            # Its own allocator keeps what it got; memory of the C library can be given back (`trim_memory`).
            arrow.set_memory_pool(arrow.system_memory_pool())
            with _no_pandas():
                importlib.import_module("milvus_lite.db")
        return sys.modules["milvus_lite.db"]


def load_pyarrow() -> Any:
    """The module pyarrow."""
    load_lite()
    return sys.modules["pyarrow"]


def trim_memory() -> None:
    """Give freed memory back to the system, where the C library can."""
    _c_library("malloc_trim", 0)


def _c_library(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)  # musl has neither
        if function is not None:
            function(*arguments)


def grpc_errors() -> tuple[type[Exception], ...]:
    """The two families of errors that `MilvusClient` lets through."""
    pymilvus = load_pymilvus()
    return (pymilvus.MilvusException, importlib.import_module("grpc").RpcError)


def _import(name: str) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it tells on stderr of every connection that ends
    try:
        if "pandas" in sys.modules:
            importlib.import_module(name)
        else:
            _import_with_stand_ins(name)
    finally:
        for each in _NOISY:
            # Every failed call is logged by them with a traceback, and then raised: we log what we raise.
            logging.getLogger(each).setLevel(logging.CRITICAL)


def _import_with_stand_ins(name: str) -> None:
    sys.modules.update(_stand_ins())
    try:
        importlib.import_module(name)
    finally:
        for each in _STAND_INS:
            sys.modules.pop(each, None)


def _stand_ins() -> dict[str, ModuleType]:
    pandas, api, types = (ModuleType(name) for name in _STAND_INS)
    pandas.__dict__.update(__path__=[], api=api, DataFrame=type("DataFrame", (), {}), Series=type("Series", (), {}))
    api.__dict__.update(__path__=[], types=types)
    types.__dict__["__getattr__"] = _deferred
    return dict(zip(_STAND_INS, (pandas, api, types), strict=True))


def _deferred(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def call(*args: Any) -> Any:
        return getattr(importlib.import_module("pandas.api.types"), name)(*args)

    return call


class _Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("hidden while Milvus Lite is imported", name=name)
        return None


@contextmanager
def _no_pandas() -> Iterator[None]:
    if "pandas" in sys.modules:
        yield
        return
    finder = _Hidden()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)

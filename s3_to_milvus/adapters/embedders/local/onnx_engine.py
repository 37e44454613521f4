"""The model by ONNX Runtime, int8, from a graph that is built once into a cache folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3_to_milvus.adapters.embedders.local.weights import WEIGHTS_SHA256, sha256_of

__all__ = ["OnnxEngine", "ensure_graph"]

# Bump when graph.py changes what it builds.
_GRAPH_VERSION = 1
_STEM = f"multilingual-e5-small-{WEIGHTS_SHA256[:8]}-g{_GRAPH_VERSION}-"
_BUILD_TIMEOUT_S = 300


class OnnxEngine:
    """Mean of the last layer's rows for one window of token ids; several threads may run at once.

    One window per call, one thread per call: nothing is padded, a text's vector never depends on its neighbours
    (one dynamic scale covers all that is in a call), and the threads of the caller use the processors fully.
    """

    name = "onnx"

    def __init__(self, graph: Path) -> None:
        import onnxruntime  # heavy

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def pooled(self, ids: list[int]) -> NDArray[np.float32]:
        """float32 of shape (width,), not normalised."""
        result: NDArray[np.float32] = self._session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
        return result


def ensure_graph(weights: Path, cache_dir: Path) -> Path:
    """The graph in the cache folder, built if it is not there or damaged. Its name carries its own hash.

    Raises OSError or `subprocess.SubprocessError` when it can't be built.
    """
    found = _intact(cache_dir)
    if found:
        return found
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _only_builder(cache_dir):
        return _intact(cache_dir) or _build(weights, cache_dir)


def _intact(cache_dir: Path) -> Path | None:
    for path in sorted(cache_dir.glob(f"{_STEM}*.onnx")):
        if path.name == f"{_STEM}{sha256_of(path)[:16]}.onnx":
            return path
    return None


def _build(weights: Path, cache_dir: Path) -> Path:
    """Build in a child process (its memory is twice the model's), then rename: a crash leaves no half file."""
    for left_over in cache_dir.glob(f"{_STEM}*"):
        with suppress(OSError):
            left_over.unlink()
    unfinished = cache_dir / f"{_STEM}{os.getpid()}.unfinished"
    program = Path(__file__).with_name("graph.py")
    root = program.parents[4]  # so that the child finds this package even where it is not installed
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    try:
        subprocess.run(  # noqa: S603 - our own program, no shell
            [sys.executable, str(program), str(weights), str(unfinished)],
            env={**os.environ, "PYTHONPATH": path},
            check=True,
            capture_output=True,
            timeout=_BUILD_TIMEOUT_S,
        )
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        return unfinished.rename(cache_dir / f"{_STEM}{sha256_of(unfinished)[:16]}.onnx")
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _only_builder(cache_dir: Path) -> Iterator[None]:
    """Hold the cache folder's lock. Without file locks (Windows) two builders waste work and do no harm."""
    try:
        import fcntl  # not everywhere
    except ImportError:
        yield
        return
    with (cache_dir / "build.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

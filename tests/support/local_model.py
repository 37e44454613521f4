"""The local model for tests: loaded once per run; its built graph is kept between runs (some seconds and 600 MB)."""

from functools import cache
from pathlib import Path

from s3_to_milvus.adapters.embedders.local import LocalEmbedder

__all__ = ["MODELS", "local_embedder"]

MODELS = Path(__file__).parents[2] / ".tools" / "models"


@cache
def local_embedder() -> LocalEmbedder:
    """The default embedder, with the engine that people get."""
    return LocalEmbedder(LocalEmbedder.Options(engine="onnx"), MODELS)

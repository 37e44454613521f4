"""What the service answered, put in order and checked: a server that answers anything else is not trusted."""

import base64
from typing import TYPE_CHECKING, Any

from s3_to_milvus.errors import FatalError, Unavailable

if TYPE_CHECKING:
    from numpy import bool_, float32
    from numpy.typing import NDArray

__all__ = ["are_directions", "tokens_of", "vectors_of"]


def tokens_of(answer: Any) -> int:
    """How many tokens are charged; 0 where the server does not say."""
    tokens = getattr(getattr(answer, "usage", None), "total_tokens", 0)
    return tokens if isinstance(tokens, int) and tokens > 0 else 0


def vectors_of(answer: Any, count: int, dim: int) -> "NDArray[float32]":
    """float32 of shape (count, dim), in the order of the texts by the answer's ``index``; see `are_directions`.

    Raises `Unavailable` for anything that is no list of vectors, `FatalError` for vectors of another length (all others
    would have it too).
    """
    import numpy as np

    try:
        found = {each.index: _decoded(each.embedding) for each in answer.data}
        total = len(answer.data)
    except (AttributeError, TypeError, ValueError) as exc:
        raise Unavailable("The embedding service answered something that is no list of vectors.") from exc
    if total != count or found.keys() != set(range(count)):
        raise Unavailable(
            f"The embedding service answered {total} vectors for {count} texts, or numbered them wrongly."
        )
    sizes = {vector.shape for vector in found.values()}
    if sizes != {(dim,)}:
        given = next(shape[0] for shape in sizes if shape != (dim,))
        raise FatalError(
            f"The embedding service gives {given} dimensions; {dim} are expected.",
            hint="Set S2M_EMBEDDER__OPENAI__DIM (or DIMENSIONS) to what the model gives.",
        )
    return np.stack([found[place] for place in range(count)])


def are_directions(vectors: "NDArray[float32]") -> "NDArray[bool_]":
    """For each row whether a search can use it: it is finite, and not zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1)
    found: NDArray[bool_] = np.isfinite(lengths) & (lengths > 0)
    return found


def _decoded(embedding: Any) -> "NDArray[float32]":
    """One vector: little-endian float32 as base64, or plain numbers, which compatible servers may send instead."""
    import numpy as np

    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float32)
    vector = np.asarray(embedding, np.float32)
    if vector.ndim != 1:
        raise ValueError("no vector")
    return vector

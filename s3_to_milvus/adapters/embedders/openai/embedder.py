"""The embedder: batches in flight, answers put in order and checked, long texts by windows."""

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.adapters.embedders.openai.batching import batches, token_bound, windows
from s3_to_milvus.adapters.embedders.openai.failures import TooLong, translated
from s3_to_milvus.adapters.pacing import Flight, Pace
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.errors import ConfigError, RateLimited, Rejected, S3ToMilvusError, Unauthorized, Unavailable

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["OpenAIEmbedder"]

_DIMENSIONS = {
    "text-embedding-3-large": 3_072,
    "text-embedding-3-small": 1_536,
    "text-embedding-ada-002": 1_536,
    "solar-embedding-1-large": 4_096,
    "embedding-query": 4_096,
    "embedding-passage": 4_096,
}
_BLANK = "."  # the API refuses empty texts; a blank one gets the vector of a full stop


class OpenAIEmbedder:
    """``text-embedding-3-large`` unless the settings say otherwise; ``base_url`` leads to compatible servers.

    ``tokens_used`` and ``requests_made`` count since the start. The same model at another address gives the same
    vectors, so the address is no part of the fingerprint.
    """

    kind = "openai"

    class Options(BaseModel):
        """Models, limits of the API, and our own. ``dim`` is needed for models that we do not know."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        api_key: SecretStr = SecretStr("")
        base_url: str = "https://api.openai.com/v1"
        model: str = "text-embedding-3-large"
        document_model: str = ""
        query_model: str = ""
        document_prefix: str = ""
        query_prefix: str = ""
        dimensions: int | None = Field(default=None, ge=1)
        dim: int | None = Field(default=None, ge=1, le=32_768)
        max_inputs: int = Field(default=2_048, ge=1)
        max_request_tokens: int = Field(default=300_000, ge=1_000)
        max_input_tokens: int = Field(default=8_191, ge=16)
        concurrency: int = Field(default=4, ge=1, le=64)
        requests_per_minute: int = Field(default=0, ge=0)
        tokens_per_minute: int = Field(default=0, ge=0)
        timeout_s: float = Field(default=60.0, gt=0)

    def __init__(self, options: Options) -> None:
        self._options = options
        self._document_model = options.document_model or options.model
        self._query_model = options.query_model or options.model
        dim = options.dim or options.dimensions or _DIMENSIONS.get(self._document_model)
        if dim is None:
            raise ConfigError(
                f"How long vectors of {self._document_model} are is not known.",
                hint="Set S2M_EMBEDDER__OPENAI__DIM to their length.",
            )
        self.dim = dim
        self.max_batch_texts = options.max_inputs
        prefixes = (options.document_prefix, options.query_prefix)
        models = (self._document_model, self._query_model, str(options.dimensions or ""))
        self.fingerprint = fingerprint_of("openai-1", *models, *prefixes, str(dim))
        self.tokens_used = self.requests_made = 0
        self._requests, self._tokens = Pace(options.requests_per_minute), Pace(options.tokens_per_minute)
        self._flight = Flight(options.concurrency)
        self._lock = threading.Lock()
        self._client: Any = None
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="s2m-embed")

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[float32]":
        """See `ports.Embedder`. Raises the families of errors that `failures` makes."""
        return self._embedded(texts, self._document_model, self._options.document_prefix)

    def embed_query(self, text: str) -> "NDArray[float32]":
        """See `ports.Embedder`."""
        vector: NDArray[float32] = self._embedded([text], self._query_model, self._options.query_prefix)[0]
        return vector

    def check(self) -> str:
        """Embed one word."""
        self.embed_query("check")
        host = self._options.base_url.split("/")[2] if "://" in self._options.base_url else self._options.base_url
        return f"{self._document_model} at {host} answers, {self.dim} dimensions."

    def _embedded(self, texts: Sequence[str], model: str, prefix: str) -> "NDArray[float32]":
        import numpy as np

        ready = [f"{prefix}{storable_text(text)}" if text.strip("\0 \n\t\r") else f"{prefix}{_BLANK}" for text in texts]
        ready = [text if text.strip() else _BLANK for text in ready]
        if not ready:
            return np.zeros((0, self.dim), np.float32)
        given = self._options
        parts = list(batches(ready, given.max_inputs, given.max_request_tokens))
        works = [self._work(ready[part.start : part.stop], model) for part in parts]
        if len(works) == 1:
            return works[0]()
        # Every request ends before the first failure is raised: none runs on behind the caller's back.
        results = [self._threads.submit(_outcome, work) for work in works]
        found = [each.result() for each in results]
        if failures := [each for each in found if isinstance(each, S3ToMilvusError)]:
            raise next((each for each in failures if not isinstance(each, RateLimited)), failures[0])
        return np.concatenate(found)

    def _work(self, texts: list[str], model: str) -> "Callable[[], NDArray[float32]]":
        return lambda: self._batch(texts, model)

    def _batch(self, texts: list[str], model: str) -> "NDArray[float32]":
        """One request; where it is too long, its halves; a text that is too long alone, by windows."""
        import numpy as np

        if len(texts) == 1 and _tokens_likely(texts[0]) > self._options.max_input_tokens:
            return self._windows(texts[0], model)
        try:
            return self._request(texts, model)
        except TooLong:
            if len(texts) > 1:
                half = len(texts) // 2
                return np.concatenate([self._batch(texts[:half], model), self._batch(texts[half:], model)])
            if token_bound(texts[0]) <= self._options.max_input_tokens // 2:
                raise
            return self._windows(texts[0], model)

    def _windows(self, text: str, model: str) -> "NDArray[float32]":
        """The mean of the windows' vectors, weighted by their length, made one long again."""
        import numpy as np

        pieces = windows(text, self._options.max_input_tokens)
        vectors = np.concatenate([self._request([piece if piece.strip() else _BLANK], model) for piece in pieces])
        weights = np.array([[token_bound(piece)] for piece in pieces], np.float32)
        mean = (vectors * weights).sum(axis=0, keepdims=True)
        length = float(np.linalg.norm(mean))
        return (mean / length if length else vectors[:1]).astype(np.float32)

    def _request(self, texts: list[str], model: str) -> "NDArray[float32]":
        """Ask the API once. Texts within the limits of one request."""
        given = self._options
        self._requests.wait(1)
        self._tokens.wait(sum(map(token_bound, texts)))
        more = {} if given.dimensions is None else {"dimensions": given.dimensions}
        with self._flight.one():
            try:
                answer = self._connected().embeddings.create(
                    model=model, input=texts, encoding_format="base64", timeout=given.timeout_s, **more
                )
            except S3ToMilvusError:
                raise
            except Exception as exc:
                raise translated(exc) from exc
        with self._lock:
            self.requests_made += 1
            self.tokens_used += int(getattr(getattr(answer, "usage", None), "total_tokens", 0) or 0)
        return self._checked(answer, len(texts))

    def _checked(self, answer: Any, count: int) -> "NDArray[float32]":
        """The vectors in the order of the texts; a server that answers anything else is not trusted."""
        import numpy as np

        data = getattr(answer, "data", None) or []
        places = [each.index for each in data]
        if sorted(places) != list(range(count)):
            raise Unavailable(f"The embedding service answered {len(data)} vectors for {count} texts.")
        vectors = np.zeros((count, self.dim), np.float32)
        for each in data:
            vector = _decoded(each.embedding)
            if vector.shape != (self.dim,):
                size = vector.shape[0] if vector.ndim == 1 else 0
                raise ConfigError(
                    f"The embedding service gives {size} dimensions; {self.dim} are expected.",
                    hint="Set S2M_EMBEDDER__OPENAI__DIM (or DIMENSIONS) to what the model gives.",
                )
            vectors[each.index] = vector
        if not np.isfinite(vectors).all() or not np.linalg.norm(vectors, axis=1).all():
            raise Rejected("The embedding service gave a vector that is no direction (zero, or not finite).")
        return vectors

    def _connected(self) -> Any:
        key = self._options.api_key.get_secret_value()
        if not key:
            raise Unauthorized(
                "No key for the embedding service is set.",
                hint="Set S2M_EMBEDDER__OPENAI__API_KEY (or OPENAI_API_KEY); any text where the server needs none.",
            )
        with self._lock:
            if self._client is None:
                import openai

                self._client = openai.OpenAI(api_key=key, base_url=self._options.base_url, max_retries=0)
                weakref.finalize(self, self._client.close)
            return self._client


def _outcome(work: "Callable[[], NDArray[float32]]") -> Any:
    """What work gives, or the error that it ended in."""
    try:
        return work()
    except S3ToMilvusError as error:
        return error


def _tokens_likely(text: str) -> int:
    """A guess that is too high rather than too low: two characters of ASCII a token, one of any other."""
    if text.isascii():
        return len(text) // 2
    ascii_count = sum(char < "\x80" for char in text)
    return ascii_count // 2 + len(text) - ascii_count


def _decoded(embedding: Any) -> "NDArray[float32]":
    """A vector: the SDK decodes base64 by itself; servers may send plain numbers, or leave the text as it is."""
    import base64

    import numpy as np

    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4").astype(np.float32)
    return np.asarray(embedding, np.float32)

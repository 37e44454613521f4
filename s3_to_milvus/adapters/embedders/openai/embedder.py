"""The embedder: what to ask in which request, several in flight, and long texts by windows."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.adapters.embedders.openai.call import Call, asked_text
from s3_to_milvus.adapters.embedders.openai.client import Client
from s3_to_milvus.adapters.embedders.openai.kept import Kept
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.errors import ConfigError, FatalError, PermanentError, RateLimited, S3ToMilvusError
from s3_to_milvus.ports import Limits

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
_HOME = "api.openai.com"
_PER_MILLION_TOKENS = {  # US dollars: https://platform.openai.com/docs/pricing
    "text-embedding-3-large": 0.13,
    "text-embedding-3-small": 0.02,
    "text-embedding-ada-002": 0.10,
}
_KEPT_BYTES = 64 * 2**20  # about 5,000 vectors of 3,072 numbers


class OpenAIEmbedder:
    """``text-embedding-3-large`` unless the settings say otherwise; ``base_url`` leads to compatible servers.

    ``tokens_used`` and ``requests_made`` count since the start. The same model at another address gives the same
    vectors, so the address is no part of the fingerprint. The vectors of late (64 MiB, in memory) are kept: where a
    call or what follows it fails, its repetition pays for none of these, and a call that is larger than the service's
    budget for a minute gets done in several. A question waits for no rate: it is sent at once; documents wait longer.
    """

    kind = "openai"

    class Options(BaseModel):
        """Models, limits of the API, prices, and our own. ``dim`` is needed for models that we do not know."""

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
        price_per_million_tokens: float | None = Field(
            default=None,
            ge=0,
            description="US dollars. None: 0.13 for `text-embedding-3-large`, 0.02 for `text-embedding-3-small`, 0.10 "
            "for `text-embedding-ada-002` at OpenAI's own address; 0 for all others.",
        )
        timeout_s: float = Field(default=60.0, gt=0)

    def __init__(self, options: Options, limits: Limits | None = None) -> None:
        """``limits``: rates that are shared with others; None: this embedder keeps its own."""
        self._options = options
        self._host = _host_of(options.base_url)
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
        self._client = Client(
            api_key=options.api_key,
            base_url=options.base_url,
            dim=dim,
            dimensions=options.dimensions,
            concurrency=options.concurrency,
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
            max_request_tokens=options.max_request_tokens,
            timeout_s=options.timeout_s,
            price_of=self._price_of,
            limits=limits,
        )
        self._kept = Kept(_KEPT_BYTES)
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="s2m-embed")

    @property
    def tokens_used(self) -> int:
        """Tokens that the service charged."""
        return self._client.tokens_used

    @property
    def requests_made(self) -> int:
        """Requests that were answered."""
        return self._client.requests_made

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[float32]":
        """See `ports.Embedder`. Raises the families of errors that `failures` and `answers` make."""
        return self._embedded(texts, self._document_model, self._options.document_prefix)

    def embed_query(self, text: str) -> "NDArray[float32]":
        """See `ports.Embedder`."""
        prefix = self._options.query_prefix
        vector: NDArray[float32] = self._embedded([text], self._query_model, prefix, is_urgent=True)[0]
        return vector

    def check(self) -> str:
        """Embed one word."""
        self.embed_query("check")
        return f"{self._document_model} at {self._host} answers, {self.dim} dimensions."

    def _price_of(self, model: str) -> float:
        if (given := self._options.price_per_million_tokens) is not None:
            return given
        return _PER_MILLION_TOKENS.get(model, 0.0) if self._host == _HOME else 0.0

    def _embedded(
        self, texts: Sequence[str], model: str, prefix: str, *, is_urgent: bool = False
    ) -> "NDArray[float32]":
        ready = [asked_text(storable_text(text), prefix) for text in texts]
        call = Call(
            self._client,
            self._kept,
            model,
            prefix,
            max_inputs=self._options.max_inputs,
            max_input_tokens=self._options.max_input_tokens,
            is_urgent=is_urgent,
        )
        try:
            failures = self._run(call.works(ready))
            if failures:
                raise max(failures, key=_weight)
        finally:
            if not is_urgent:
                call.keep()
        return call.rows(ready, self.dim)

    def _run(self, works: Sequence[Callable[[], None]]) -> list[S3ToMilvusError]:
        """Do them; the failures. Each that began ends before this returns; after a failure none begins."""
        has_failed = threading.Event()

        def failure(work: Callable[[], None]) -> S3ToMilvusError | None:
            if has_failed.is_set():
                return None
            try:
                work()
            except BaseException as error:
                has_failed.set()
                if isinstance(error, S3ToMilvusError):
                    return error
                raise
            return None

        if len(works) == 1:
            found = [failure(works[0])]
        else:
            running = [self._threads.submit(copy_context().run, failure, work) for work in works]
            wait(running)
            found = [each.result() for each in running]
        return [each for each in found if each is not None]


def _weight(error: S3ToMilvusError) -> tuple[int, float]:
    """Which of several failures is told: what holds most, and of two times to wait the longer one."""
    families = (FatalError, PermanentError)
    rank = next((3 - at for at, family in enumerate(families) if isinstance(error, family)), 1)
    return rank - isinstance(error, RateLimited), getattr(error, "retry_after_s", None) or 0.0


def _host_of(url: str) -> str:
    """Host and port, without name and password. Raises `ConfigError` for what is no address."""
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError:
        host = port = None
    if not host or found.scheme not in ("http", "https"):
        raise ConfigError(
            "The address of the embedding service is none.",
            hint="S2M_EMBEDDER__OPENAI__BASE_URL looks like https://host/v1.",
        )
    return f"{host}:{port}" if port else host

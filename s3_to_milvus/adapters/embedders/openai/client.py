"""One request to the API: the SDK, the pace that the settings allow, and what is counted."""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from s3_to_milvus.adapters.embedders.openai.answers import tokens_of, vectors_of
from s3_to_milvus.adapters.embedders.openai.batching import token_bound
from s3_to_milvus.adapters.embedders.openai.failures import asked_wait_s, translated
from s3_to_milvus.adapters.limits import limit_name
from s3_to_milvus.adapters.pacing import Flight, Pace
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import Unauthorized
from s3_to_milvus.ports import Limits, spend

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Client"]

_CONNECT_S = 10.0


class Client:
    """Threads share it. It never repeats a request by itself: that is the queue's work, which knows what else waits.

    ``price_of`` a model: US dollars for a million tokens. ``limits``: who else keeps to the rates.
    """

    def __init__(
        self,
        *,
        api_key: SecretStr,
        base_url: str,
        dim: int,
        dimensions: int | None,
        concurrency: int,
        requests_per_minute: int,
        tokens_per_minute: int,
        timeout_s: float,
        price_of: Callable[[str], float],
        limits: Limits | None = None,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._dim = dim
        self._more = {} if dimensions is None else {"dimensions": dimensions}
        self._timeout_s = timeout_s
        self._price_of = price_of
        key, host = api_key.get_secret_value(), urlsplit(base_url).netloc.rpartition("@")[2]
        names = [limit_name(host, key, what) for what in ("requests", "tokens")]
        self._requests = Pace(requests_per_minute, name=names[0], limits=limits)
        self._tokens = Pace(tokens_per_minute, name=names[1], limits=limits)
        self._flight = Flight(concurrency)
        self._lock = threading.Lock()
        self._sdk: Any = None
        self.tokens_used = self.requests_made = 0
        self._bound_used = 0

    def vectors(self, texts: list[str], model: str) -> "NDArray[float32]":
        """Ask once, for texts within the limits of one request. Raises what `failures` and `answers` make."""
        bound = sum(map(token_bound, texts))
        self._requests.wait(1)
        self._tokens.wait(bound * self._tokens_per_byte())
        with self._flight.one():
            sdk = self._connected()
            try:
                answer = sdk.embeddings.create(model=model, input=texts, encoding_format="base64", **self._more)
            except Exception as exc:
                (self._requests if self._requests.is_limited else self._tokens).pause(asked_wait_s(exc))
                raise translated(exc) from exc
        tokens = tokens_of(answer)
        with self._lock:
            self.requests_made += 1
            self.tokens_used += tokens
            self._bound_used += bound if tokens else 0
        spend(Usage.of(tokens=tokens, usd=tokens * self._price_of(model) / 1e6))
        return vectors_of(answer, len(texts), self._dim)

    def _tokens_per_byte(self) -> float:
        """What the answers so far say, so that a rate of tokens is not used up by bytes; 1 before the first."""
        with self._lock:
            return min(1.0, self.tokens_used / self._bound_used) if self._bound_used else 1.0

    def _connected(self) -> Any:
        with self._lock:
            if self._sdk is None:
                import openai  # heavy

                # Version 2 writes the texts into its lines of the level debug.
                logging.getLogger("openai").setLevel(logging.WARNING)
                timeout = openai.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s))
                self._sdk = openai.OpenAI(api_key=self._key(), base_url=self._base_url, max_retries=0, timeout=timeout)
                weakref.finalize(self, self._sdk.close)
            return self._sdk

    def _key(self) -> str:
        """The key without the line break of the file that it came from. Raises `Unauthorized` for what can't be one."""
        key = self._api_key.get_secret_value().strip()
        if not key:
            raise Unauthorized(
                "No key for the embedding service is set.",
                hint="Set S2M_EMBEDDER__OPENAI__API_KEY (or OPENAI_API_KEY); any text where the server needs none.",
            )
        if not (key.isascii() and key.isprintable()):
            raise Unauthorized(
                "The key for the embedding service holds signs that no key has.",
                hint="Copy S2M_EMBEDDER__OPENAI__API_KEY (or OPENAI_API_KEY) once more.",
            )
        return key

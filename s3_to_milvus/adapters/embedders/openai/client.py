"""One request to the API: the SDK, the pace and the size that are allowed, and what is counted."""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from s3_to_milvus.adapters.embedders.openai.answers import tokens_of, vectors_of
from s3_to_milvus.adapters.embedders.openai.batching import token_bound
from s3_to_milvus.adapters.embedders.openai.failures import TooLong, asked_wait_s, translated
from s3_to_milvus.adapters.embedders.openai.room import Room
from s3_to_milvus.adapters.limits import limit_name
from s3_to_milvus.adapters.pacing import PATIENCE_S, Backoff, Flight, Pace
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.errors import RateLimited, Unauthorized
from s3_to_milvus.ports import Limits, spend

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Client"]

_CONNECT_S = 10.0
_PARTS = 60  # of a minute's budget: a request of so little overruns no minute, and no other one waits long behind it
_OFF = 1.1  # an estimate that is off by less evens out


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
        max_request_tokens: int,
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
        self._fair = tokens_per_minute / min(requests_per_minute or _PARTS, _PARTS)
        self._room = Room(max_request_tokens)
        self._backoff = Backoff()
        self._flight = Flight(concurrency)
        self.patience_s = max(PATIENCE_S, concurrency + 1.0)  # each request has about a second of a minute
        self._lock = threading.Lock()
        self._sdk: Any = None
        self.tokens_used = self.requests_made = 0
        self._bound_used = 0

    @property
    def batch_bound(self) -> int:
        """How large a request of several texts should be now, by `token_bound`."""
        fair = self._fair / self._tokens_per_byte()
        return max(1, int(min(self._room.now, fair) if self._fair else self._room.now))

    @property
    def most_bound(self) -> int:
        """The service takes no request that is larger, by `token_bound`."""
        return self._room.most

    def vectors(self, texts: list[str], model: str, patience_s: float | None) -> "NDArray[float32]":
        """Ask once, for texts within the limits of one request. Raises what `failures` and `answers` make.

        ``patience_s``: how long to wait for the rates. None: this is a search, which stands behind no documents; it
        asks at once, and they wait longer.
        """
        bound = sum(map(token_bound, texts))
        estimate = bound * self._tokens_per_byte()
        if patience_s is None:
            self._requests.owe(1)
            self._tokens.owe(estimate)
            answer = self._asked(texts, model)
        else:
            self._backoff.enter()
            self._requests.wait(1, patience_s)
            self._tokens.wait(estimate, patience_s)
            answer = self._asked_in_turn(texts, model, bound)
        tokens = tokens_of(answer)
        with self._lock:
            self.requests_made += 1
            self.tokens_used += tokens
            self._bound_used += bound if tokens else 0
        spend(Usage.of(tokens=tokens, usd=tokens * self._price_of(model) / 1e6))
        if tokens > estimate * _OFF:
            self._tokens.owe(tokens - estimate)
        return vectors_of(answer, len(texts), self._dim)

    def _asked_in_turn(self, texts: list[str], model: str, bound: int) -> Any:
        """With few others at the same time; what the service refuses makes requests rarer and smaller."""
        with self._flight.one():
            ticket = self._backoff.enter()
            try:
                answer = self._asked(texts, model)
            except TooLong as error:
                if error.is_of_request:
                    self._room.too_large(bound)
                raise
            except RateLimited as error:
                error.retry_after_s = self._backoff.refused(ticket, error.retry_after_s)
                if len(texts) > 1 and self._backoff.is_repeated:
                    self._room.refused(bound)
                raise
        self._backoff.answered(ticket)
        self._room.answered()
        return answer

    def _asked(self, texts: list[str], model: str) -> Any:
        sdk = self._connected()
        try:
            return sdk.embeddings.create(model=model, input=texts, encoding_format="base64", **self._more)
        except Exception as exc:
            error = translated(exc)
            if not isinstance(error, TooLong):
                (self._requests if self._requests.is_limited else self._tokens).pause(asked_wait_s(exc))
            raise error from exc

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

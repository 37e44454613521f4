"""One call of the embedder: what it asks, in which requests, and what it has got so far."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from s3_to_milvus.adapters.embedders.openai.answers import are_directions
from s3_to_milvus.adapters.embedders.openai.batching import batches, is_likely_too_long, token_bound, windows
from s3_to_milvus.adapters.embedders.openai.client import Client
from s3_to_milvus.adapters.embedders.openai.failures import TooLong
from s3_to_milvus.adapters.embedders.openai.kept import Kept
from s3_to_milvus.errors import Rejected

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Call", "asked_text"]

_BLANK = "."  # the API refuses empty texts; a blank one gets the vector of a full stop
_SMALLEST_WINDOW = 64  # bytes; a server that calls less too long means something else
_CALL_S = 30.0  # then it waits for no rate any more: the queue does, and holds no worker


def asked_text(text: str, prefix: str) -> str:
    """What is sent for a text."""
    return f"{prefix}{text if text.strip() else _BLANK}"


class Call:
    """Texts of one model and ``prefix`` (which they have). Its works may run in several threads.

    Every vector that was answered stays in it, whatever fails afterwards. ``is_urgent``: it waits for no rate.
    """

    def __init__(
        self,
        client: Client,
        kept: Kept,
        model: str,
        prefix: str,
        *,
        max_inputs: int,
        max_input_tokens: int,
        is_urgent: bool,
    ) -> None:
        self._client, self._kept, self._model, self._prefix = client, kept, model, prefix
        self._max_inputs, self._max_input_tokens = max_inputs, max_input_tokens
        self._is_urgent = is_urgent
        self._impatient_at = time.monotonic() + _CALL_S
        self._found: dict[str, NDArray[float32]] = {}

    def works(self, texts: Sequence[str]) -> list[Callable[[], None]]:
        """What gets the vectors that are not kept: one work a request, texts that are too long one by one."""
        missing = self._missing(texts)
        long = [text for text in missing if is_likely_too_long(text, self._max_input_tokens)]
        apart = set(long)
        groups = self._groups([text for text in missing if text not in apart])
        return [self._batch_of(group) for group in groups] + [self._windows_of(text) for text in long]

    def rows(self, texts: Sequence[str], dim: int) -> "NDArray[float32]":
        """The vectors of the texts, once all works are done."""
        import numpy as np

        vectors = np.zeros((len(texts), dim), np.float32)
        for place, text in enumerate(texts):
            vectors[place] = self._found[text]
        return vectors

    def keep(self) -> None:
        """What was paid for is there when the call is repeated, or its document because something else failed."""
        self._kept.put(self._model, list(self._found.items()))

    def _missing(self, texts: Sequence[str]) -> list[str]:
        """Those whose vectors are not here, nor kept from a call that failed."""
        unknown = [text for text in texts if text not in self._found]
        for place, vector in self._kept.take(self._model, unknown).items():
            self._found[unknown[place]] = vector
        return [text for text in unknown if text not in self._found]

    def _groups(self, texts: Sequence[str]) -> list[list[str]]:
        parts = batches(texts, self._max_inputs, self._client.batch_bound)
        return [list(texts[part.start : part.stop]) for part in parts]

    def _batch_of(self, texts: list[str]) -> Callable[[], None]:
        return lambda: self._batch(texts)

    def _windows_of(self, text: str) -> Callable[[], None]:
        return lambda: self._windows(text, self._max_input_tokens)

    def _batch(self, texts: list[str]) -> None:
        """One request; where that is too long, its halves; a text that is too long alone, by windows."""
        if len(texts) > 1 and sum(map(token_bound, texts)) > self._client.most_bound:
            self._halves(texts)
            return
        try:
            self._ask(texts)
        except TooLong as error:
            if len(texts) > 1:
                self._halves(texts)
                return
            bound = token_bound(texts[0])
            if bound - token_bound(self._prefix) <= _SMALLEST_WINDOW:
                raise error.undivided from error
            # The server's limit may be below ours: smaller and smaller, until it takes them.
            self._windows(texts[0], min(self._max_input_tokens, (bound + 1) // 2))

    def _halves(self, texts: list[str]) -> None:
        half = len(texts) // 2
        self._batch(texts[:half])
        self._batch(texts[half:])

    def _ask(self, texts: list[str]) -> None:
        """Raises `Rejected` where a vector is no direction (zero, or not finite): its text is to blame, no other."""
        patience_s = self._client.patience_s if time.monotonic() < self._impatient_at else 0.0
        vectors = self._client.vectors(texts, self._model, None if self._is_urgent else patience_s)
        good = are_directions(vectors)
        self._found.update((text, vectors[place]) for place, text in enumerate(texts) if good[place])
        if not good.all():
            raise Rejected("The embedding service gave a vector that is no direction (zero, or not finite).")

    def _windows(self, text: str, most: int) -> None:
        """The mean of the windows' vectors, weighted by their length, made one long again. Each has the prefix."""
        import numpy as np

        room = max(_SMALLEST_WINDOW // 2, most - token_bound(self._prefix))
        pieces = windows(text.removeprefix(self._prefix), room)
        asked = [asked_text(piece, self._prefix) for piece in pieces]
        for group in self._groups(self._missing(asked)):
            self._batch(group)
        vectors = np.stack([self._found[each] for each in asked])
        weights = np.array([[token_bound(piece)] for piece in pieces], np.float32)
        mean = (vectors * weights).sum(axis=0)
        length = float(np.linalg.norm(mean))
        self._found[text] = (mean / length if length else vectors[0]).astype(np.float32)

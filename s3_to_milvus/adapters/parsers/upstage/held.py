"""Answers that were paid for: given again where the same file is sent again with the same parameters."""

import json
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["HeldAnswers"]

_DAY_S = 86_400.0
_LEVEL = 1  # of zlib: HTML shrinks to a fifth of its size


class HeldAnswers:
    """At most ``most_bytes`` of compressed answers, none older than ``age_s``; the oldest go first.

    An object is parsed again when anything after the parsing fails (a rate limit, used-up credit, an outage of Milvus),
    as often as that is tried. A submitted file has its ticket for this; what was answered at once is held here.
    """

    def __init__(
        self, most_bytes: int = 32 << 20, age_s: float = _DAY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_bytes = most_bytes
        self._age_s = age_s
        self._clock = clock
        self._bytes = 0
        self._answers: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer about a file, if it is still here."""
        with self._lock:
            self._drop_old()
            found = self._answers.get(key)
        return None if found is None else json.loads(zlib.decompress(found[1]).decode("utf-8", "surrogatepass"))

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Hold an answer, in place of an earlier one."""
        data = zlib.compress(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass"), _LEVEL)
        with self._lock:
            self._remove(key)
            self._answers[key] = (self._clock(), data)
            self._bytes += len(data)
            self._drop_old()
            while self._bytes > self._most_bytes:
                self._remove(next(iter(self._answers)))

    def _drop_old(self) -> None:
        limit = self._clock() - self._age_s
        while self._answers and next(iter(self._answers.values()))[0] < limit:
            self._remove(next(iter(self._answers)))

    def _remove(self, key: str) -> None:
        _, data = self._answers.pop(key, (0.0, b""))
        self._bytes -= len(data)

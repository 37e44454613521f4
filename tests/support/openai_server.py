"""A server that follows OpenAI's documented embeddings API: limits, errors, orders, and faults that a test asks for."""

import base64
import hashlib
import json
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support.http_server import QuietHandler, QuietServer, running

__all__ = ["KEY", "Fault", "OpenAIServer", "openai_server", "vector_of"]

KEY = "sk-test-key-that-must-never-be-shown"
_RAW: dict[str, tuple[str, bytes]] = {
    "cut": ("", b""),
    "half": ("application/json", b'{"object": "list", "da'),
    "broken": ("application/json", b'{"object": "list", "da'),
    "page": ("text/html", b"<html>Sign in to the network</html>"),
    "empty": ("application/json", b"{}"),
}
_DIMS = {"text-embedding-3-large": 3_072, "text-embedding-3-small": 1_536, "passage": 8, "query": 8}


def vector_of(model: str, text: str, dim: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The vector of a text: made of its hash, of length 1."""
    noise = np.frombuffer(hashlib.shake_128(f"{model}\0{text}".encode()).digest(2 * dim), "<i2").astype("<f4")
    vector: np.ndarray[Any, np.dtype[np.float32]] = (noise / np.linalg.norm(noise)).astype("<f4")
    return vector


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one.

    ``kind``: status (with ``code``, ``type``, ``param``), cut (no answer), half (an answer that ends too soon), broken
    (no JSON), page (HTML with 200), empty (no list); or vectors that are wrong: drop, twice (two have one number),
    unnumbered, garbled (no base64), odd (not whole numbers), short, nan, zero. A text with ``%NAN`` has no vector ever.
    """

    kind: str = "status"
    status: int = 500
    code: str = ""
    type: str = "invalid_request_error"
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "The server had an error."


_NO_FAULT = Fault()


class Budget:
    """What an account may use in a minute: full at the start, it fills up evenly (the lock of the server is held)."""

    def __init__(self) -> None:
        self.per_minute = 0
        self._used = 0.0
        self._at = 0.0

    def wait_s(self, amount: float, now: float) -> float:
        """When so much may be used; 0: now."""
        self._used = max(0.0, self._used - (now - self._at) * self.per_minute / 60)
        self._at = now
        return max(0.0, self._used + amount - self.per_minute) * 60 / self.per_minute if self.per_minute else 0.0

    def use(self, amount: float) -> None:
        """It was."""
        self._used += amount

    @property
    def used(self) -> int:
        """How much of it is used now."""
        return math.ceil(self._used)


class OpenAIServer(QuietServer):
    """``faults`` are taken one for each request; ``requests`` keeps what was asked.

    ``chance`` of each request to meet one of ``kinds``, as the seeded ``dice`` say. The account's limits per minute are
    ``tokens`` and ``calls`` (0: none); a minute passes ``speed`` times as fast.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Fault] = []
        self.chance = 0.0
        self.kinds: list[Fault] = []
        self.dice = random.Random(7)
        self.requests: list[dict[str, Any]] = []
        self.delay_s = 0.0
        self.tokens, self.calls = Budget(), Budget()
        self.speed = 1.0
        self.names_waits = True
        self.answers: list[tuple[float, int]] = []  # when, by the account's clock, and how many tokens
        self.max_tokens_of_request = 300_000
        self.max_tokens_of_text = 8_192
        self.too_long = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens"
        self.sends_numbers = False  # whatever it is asked for, as some compatible servers do
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def now(self) -> float:
        """By the clock of the account's limits."""
        return time.monotonic() * self.speed

    def over_rate(self, tokens: int) -> Fault | None:
        """What the account's limits say to a request (none: it is counted). The lock is held."""
        now, limit = self.now(), self.tokens.per_minute
        name = "text-embedding in organization org-x"
        if limit and tokens > limit:
            message = (
                f"Request too large for {name} on tokens per min (TPM): Limit {limit}, Requested {tokens}. The input"
            )
            return Fault(status=429, code="rate_limit_exceeded", type="tokens", message=message)
        for budget, amount, what in ((self.calls, 1, "requests"), (self.tokens, tokens, "tokens")):
            if wait_s := budget.wait_s(amount, now) / self.speed:
                said = f"on {what} per min: Limit {budget.per_minute}, Used {budget.used}, Requested {amount}."
                message = f"Rate limit reached for {name} {said} Please try again in {wait_s:.3f}s."
                headers = {"retry-after-ms": str(math.ceil(wait_s * 1_000)), "retry-after": str(math.ceil(wait_s))}
                headers = headers if self.names_waits else {}
                return Fault(status=429, code="rate_limit_exceeded", type=what, message=message, headers=headers)
        self.calls.use(1)
        self.tokens.use(tokens)
        self.answers.append((now, tokens))
        return None

    def most_in_a_minute(self) -> int:
        """Tokens that were answered in the fullest sixty seconds."""
        return max(
            sum(tokens for at, tokens in self.answers[start:] if at < began + 60)
            for start, (began, _) in enumerate(self.answers)
        )

    def next_fault(self) -> Fault | None:
        """What the next request meets. The lock is held."""
        if self.faults:
            return self.faults.pop(0)
        return self.dice.choice(self.kinds) if self.dice.random() < self.chance else None


@contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    """A running server."""
    with running(OpenAIServer()) as server:
        yield server


class _Handler(QuietHandler):
    server: OpenAIServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.requests.append(body)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            fault = server.next_fault()
        try:
            time.sleep(server.delay_s)
            self._answer(body, fault)
        finally:
            with server.lock:
                server.in_flight -= 1

    def _answer(self, body: dict[str, Any], fault: Fault | None) -> None:
        server = self.server
        if fault is not None and fault.kind == "status":
            self._error(fault.status, fault.code, fault.message, fault)
            return
        if fault is not None and fault.kind in _RAW:
            self._raw(fault.kind)
            return
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._error(401, "invalid_api_key", f"Incorrect API key provided: {self.headers.get('Authorization')}.")
            return
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if refusal := self._refusal(body, texts):
            self._error(*refusal)
            return
        with server.lock:
            over = server.over_rate(sum(map(len, texts)))
        if over is not None:
            self._error(over.status, over.code, over.message, over)
            return
        self._send(200, self._vectors(body, texts, fault.kind if fault else ""))

    def _refusal(self, body: dict[str, Any], texts: list[str]) -> tuple[int, str, str] | None:
        """What the documentation says is refused. A token is counted for each character here."""
        if body["model"] not in _DIMS:
            return 404, "model_not_found", f"The model `{body['model']}` does not exist."
        if len(texts) > 2_048:
            return 400, "", "'$.input' is invalid. array too long"
        if not all(texts):
            return 400, "", "'$.input' is invalid: input cannot be an empty string"
        if any(len(text) > self.server.max_tokens_of_text for text in texts):
            return 400, "", self.server.too_long
        asked, most = sum(map(len, texts)), self.server.max_tokens_of_request
        if asked > most:
            return 400, "max_tokens_per_request", f"Requested {asked} tokens, max {most} tokens per request"
        if any("%REFUSE" in text for text in texts):
            return 400, "invalid_value", f"refused: {texts}"
        return None

    def _vectors(self, body: dict[str, Any], texts: list[str], spoilt: str) -> dict[str, Any]:
        dim = body.get("dimensions") or _DIMS[body["model"]]
        data = []
        for index, text in enumerate(texts):
            vector = vector_of(body["model"], text, dim - (spoilt == "short"))
            if spoilt in ("nan", "zero") or "%NAN" in text:
                vector[:] = 0.0 if spoilt == "zero" else np.nan
            is_packed = body.get("encoding_format") == "base64" and not self.server.sends_numbers
            shown: Any = base64.b64encode(vector.tobytes()).decode() if is_packed else vector.tolist()
            shown = {"garbled": "%%%", "odd": "AAAAAAA="}.get(spoilt, shown)
            item = {"object": "embedding", "index": 0 if spoilt == "twice" else index, "embedding": shown}
            if spoilt == "unnumbered":
                del item["index"]
            data.append(item)
        random.Random(len(data)).shuffle(data)
        if spoilt == "drop":
            data = data[1:]
        tokens = sum(map(len, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": body["model"], "usage": usage}

    def _error(self, status: int, code: str, message: str, fault: Fault = _NO_FAULT) -> None:
        error = {"message": message, "type": fault.type, "param": fault.param, "code": code or None}
        self._send(status, {"error": error}, fault.headers)

    def _raw(self, kind: str) -> None:
        """Something that is no answer of the API; nothing at all for ``cut``."""
        media_type, content = _RAW[kind]
        self.close_connection = True
        if media_type:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content) + (kind == "half")))
            self.end_headers()
            self.wfile.write(content)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

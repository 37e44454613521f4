"""Requests to Document Parse: at once, or submitted and asked for again."""

import json
import threading
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from s3_to_milvus.adapters.limits import limit_name
from s3_to_milvus.adapters.pacing import Pace
from s3_to_milvus.adapters.parsers.upstage.refusals import (
    KEY_HINT,
    Forgotten,
    NoResult,
    NoSuchAddress,
    TookTooLong,
    asked_s,
    refused,
)
from s3_to_milvus.errors import Unauthorized, Unavailable, UnreadableDocument
from s3_to_milvus.ports import Limits

__all__ = ["Answer", "UpstageClient"]

_PATH = "/document-digitization"
Answer = tuple[int, int, dict[str, Any] | None]
"""The first and the last page of what was sent, and what was read of them; None: they could not be read."""


class UpstageClient:
    """``url`` is that of the synchronous call, or the address above it. Shared by all threads.

    ``per_second``: documents that may be sent; ``limits``: who else keeps to that rate.
    """

    def __init__(self, url: str, key: str, timeout_s: float, per_second: float, limits: Limits | None = None) -> None:
        self._url = _address(url)
        self._key = key
        self._timeout_s = timeout_s
        name = limit_name(urlsplit(self._url).netloc.rpartition("@")[2], key, "requests")
        # What was not used is lost: the service counts what comes within any second.
        self._pace = Pace(per_second * 60, burst_s=0.0, name=name, limits=limits)
        self._lock = threading.Lock()
        self._client: Any = None

    def parse(self, name: str, data: bytes, fields: Mapping[str, str]) -> dict[str, Any]:
        """The answer to one document. Raises `DocumentTooLarge`, `TookTooLong` where it must be submitted instead."""
        return self._json(self._post(self._url, name, data, fields))

    def submit(self, name: str, data: bytes, fields: Mapping[str, str]) -> str:
        """The id of the request that was made of the document."""
        answer = self._json(self._post(f"{self._url}/async", name, data, fields))
        request_id = answer.get("request_id")
        if not isinstance(request_id, str) or not request_id:
            raise Unavailable("Upstage took a document, but named no request.")
        return request_id

    def results(self, request_id: str) -> list[Answer] | None:
        """What was read of a submitted document, in the order of its pages; None: the service is still at work.

        Raises `Forgotten`, and `UnreadableDocument` where every batch failed.
        """
        state = self._state(request_id)
        if state.get("status") not in ("completed", "failed"):
            return None
        batches = _batches(state)
        if not any(map(_is_read, batches)):
            raise UnreadableDocument("Upstage could not read the document.")
        answers: list[Answer] = []
        for number, batch in enumerate(batches):
            first, last = _first_page(batch), batch.get("end_page")
            answer = self._downloaded(request_id, number, batch["download_url"]) if _is_read(batch) else None
            answers.append((first, last if isinstance(last, int) else first, answer))
        return answers

    def check(self) -> None:
        """Ask for a request that is not there: the key is looked at first, and nothing is read or paid."""
        try:
            self._state("00000000-0000-0000-0000-000000000000")
        except Forgotten:
            return

    def _state(self, request_id: str) -> dict[str, Any]:
        try:
            return self._json(self._get(f"{self._url}/requests/{request_id}"))
        except NoSuchAddress as exc:
            raise Forgotten("Upstage does not know the request any more.") from exc

    def _downloaded(self, request_id: str, number: int, url: str) -> dict[str, Any]:
        """A batch; its address is good for some minutes only, so a new one is asked for once."""
        try:
            return self._json(self._get(url, is_signed=True))
        except NoResult:
            batches = _batches(self._state(request_id))
            if number >= len(batches) or not _is_read(batches[number]):
                raise Unavailable("Upstage does not say where the result is.") from None
            return self._json(self._get(batches[number]["download_url"], is_signed=True))

    def _post(self, url: str, name: str, data: bytes, fields: Mapping[str, str]) -> Any:
        self._pace.wait(1)
        return self._send("POST", url, files={"document": (name, data)}, data=dict(fields), headers=self._auth())

    def _get(self, url: str, *, is_signed: bool = False) -> Any:
        return self._send("GET", url, headers={} if is_signed else self._auth())

    def _auth(self) -> dict[str, str]:
        if not self._key:
            raise Unauthorized("No key for Upstage is set.", hint=KEY_HINT)
        return {"Authorization": f"Bearer {self._key}"}

    def _send(self, method: str, url: str, **more: Any) -> Any:
        import httpx

        try:
            answer = self._connected().request(method, url, **more)
        except httpx.ReadTimeout as exc:
            raise TookTooLong("Upstage does not answer in time.") from exc
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise Unavailable(f"Upstage does not answer: {type(exc).__name__}.") from exc
        if answer.status_code >= 300:
            if "Authorization" not in more["headers"]:  # the store where results lie, which is not the service
                raise NoResult(f"The store of Upstage's results answered {answer.status_code}.")
            self._pace.pause(asked_s(answer))
            raise refused(answer, has_document="files" in more)
        return answer

    def _json(self, answer: Any) -> dict[str, Any]:
        try:
            found = json.loads(answer.content)
        except ValueError as exc:
            raise Unavailable("Upstage answered with something that is no JSON.") from exc
        if not isinstance(found, dict):
            raise Unavailable("Upstage answered with something unexpected.")
        return found

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                import httpx

                timeout = httpx.Timeout(self._timeout_s, connect=10.0)
                self._client = httpx.Client(timeout=timeout, follow_redirects=False)
                weakref.finalize(self, self._client.close)
            return self._client


def _address(url: str) -> str:
    """Where documents are sent to, made of any address that people have of the service, old ones too."""
    parts = urlsplit(url.strip() or "https://api.upstage.ai/v1")
    path = parts.path.rstrip("/")
    if _PATH in path:
        path = path.partition(_PATH)[0]
    elif "/v1/" in f"{path}/":
        path = path[: f"{path}/".index("/v1/") + 3]
    elif not path:
        path = "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}{_PATH}"


def _batches(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """In the order of their pages."""
    return sorted((each for each in state.get("batches") or [] if isinstance(each, dict)), key=_first_page)


def _is_read(batch: Mapping[str, Any]) -> bool:
    """Whether there is a result to fetch."""
    return batch.get("status", "completed") == "completed" and isinstance(batch.get("download_url"), str)


def _first_page(batch: Mapping[str, Any]) -> int:
    page = batch.get("start_page")
    return page if isinstance(page, int) and page > 0 else 1

"""The service that owns the data, asked over HTTP."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from s3_to_milvus.cli.desk import Answer, Checked, OnProgress, Step, Synced
from s3_to_milvus.cli.unix import SCHEME, UnixHandler
from s3_to_milvus.errors import ConfigError, FatalError, RemovalGuard, S3ToMilvusError, Unavailable

__all__ = ["Remote", "error_of"]

_TOKEN_FILE = "door.token"  # noqa: S105 - the name of the file, not what is in it
_CONNECT_S = 10.0
_ANSWER_S = 120.0
_SETTLED = ("indexed", "empty", "failed")
_WAIT_FOR = 100


class Remote:
    """Speaks to the service on this machine; never through a proxy."""

    is_remote = True

    def __init__(self, url: str, pid: int, data_dir: Path) -> None:
        self._named = url
        self._url = "http://localhost" if url.startswith(SCHEME) else url.rstrip("/")
        self._pid = pid
        self._token = data_dir / _TOKEN_FILE
        way = [UnixHandler(url.removeprefix(SCHEME))] if url.startswith(SCHEME) else []
        self._opener = build_opener(ProxyHandler({}), *way)

    def sync(self, source: str, *, is_dry_run: bool, is_confirmed: bool, on_progress: OnProgress) -> Synced:
        """See `Desk.sync`. A folder is named as the service finds it, too."""
        if "://" not in source:
            source = str(Path(source).expanduser().resolve())
        body = {"source": source, "dry_run": is_dry_run, "yes": is_confirmed}
        job = self._job("sync", body, on_progress)
        return Synced(job["report"], job.get("retrying", 0), job.get("failures", []))

    def search(self, query: str, top: int, collection: str | None) -> Answer:
        """See `Desk.search`."""
        return self._ask("POST", "/api/v1/search", {"query": query, "top": top, "collection": collection})

    def status(self) -> Answer:
        """See `Desk.status`."""
        return self._ask("GET", "/api/v1/status")

    def find(self, key: str) -> list[Answer]:
        """See `Desk.find`."""
        query = quote(key, safe="", errors="surrogateescape")
        lines = self._ask("GET", f"/api/v1/objects?key={query}")["objects"]
        return [self._ask("GET", f"/api/v1/objects/{line['id']}") for line in lines]

    def retry(self, ids: Sequence[str] | None, on_progress: OnProgress) -> int:
        """See `Desk.retry`. Named objects are waited for; all that failed are tried in the service's own time."""
        body: Answer = {"all": True} if ids is None else {"keys": list(ids)}
        before = {object_id: self._newest_run(object_id) for object_id in (ids or ())[:_WAIT_FOR]}
        count: int = self._ask("POST", "/api/v1/retry", body)["retried"]
        for object_id, run in before.items():
            for _ in _ticks():
                on_progress(Step())
                if self._has_ended(object_id, run):
                    break
        return count

    def check(self, *, is_repairing: bool, on_progress: OnProgress) -> Checked:
        """See `Desk.check`."""
        job = self._job("check", {"repair": is_repairing}, on_progress)
        return Checked(job["report"], job.get("repaired", 0))

    def backup(self, folder: Path, on_progress: OnProgress) -> Answer:
        """See `Desk.backup`."""
        report: Answer = self._job("backup", {"folder": str(folder)}, on_progress)["report"]
        return report

    def keys(self) -> list[Answer]:
        """See `Desk.keys`."""
        found: list[Answer] = self._ask("GET", "/api/v1/keys")["keys"]
        return found

    def add_key(self, name: str, role: str) -> Answer:
        """See `Desk.add_key`."""
        return self._ask("POST", "/api/v1/keys", {"name": name, "role": role})

    def drop_key(self, name: str) -> bool:
        """See `Desk.drop_key`."""
        try:
            self._ask("DELETE", f"/api/v1/keys/{quote(name, safe='')}")
        except _Answered as error:
            if error.code == "unknown_key":
                return False
            raise
        return True

    def quarantined(self) -> list[Answer]:
        """See `Desk.quarantined`."""
        found: list[Answer] = []
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"/api/v1/quarantine?after={after}&limit=1000")
            found += page["bodies"]
            after = page["next"]
        return found

    def replay(self, ids: Sequence[int] | None) -> Answer:
        """See `Desk.replay`."""
        return self._ask("POST", "/api/v1/quarantine/replay", {"ids": None if ids is None else list(ids)})

    def drop_quarantined(self, ids: Sequence[int] | None) -> Answer:
        """See `Desk.drop_quarantined`."""
        return self._ask("POST", "/api/v1/quarantine/drop", {"ids": None if ids is None else list(ids)})

    def close(self) -> None:
        """See `Desk.close`."""
        self._opener.close()

    def _object(self, object_id: str) -> Answer | None:
        """One object; None when there is none any more."""
        try:
            return self._ask("GET", f"/api/v1/objects/{object_id}")
        except _Answered as error:
            if error.code == "unknown_object":
                return None
            raise

    def _newest_run(self, object_id: str) -> int:
        found = self._object(object_id)
        return found["timeline"][0]["run"] if found and found["timeline"] else 0

    def _has_ended(self, object_id: str, run_before: int) -> bool:
        """True once an attempt after ``run_before`` is over; one that is put off for another try is over, too."""
        found = self._object(object_id)
        if found is None:
            return True
        runs = found["timeline"]
        if not runs or runs[0]["run"] == run_before or runs[0]["finished_at"] is None:
            return False
        return found["state"] in _SETTLED or (found["state"] == "waiting" and found["attempts"] > 0)

    def _job(self, kind: str, body: Answer, on_progress: OnProgress) -> Answer:
        job = self._ask("POST", f"/api/v1/{kind}", body)
        for _ in _ticks():
            on_progress(Step(**job["progress"]))
            if job["state"] != "running":
                break
            job = self._ask("GET", f"/api/v1/{kind}/{job['job']}")
        if job["problem"] is not None:
            raise error_of(job["problem"])
        return job

    def _ask(self, method: str, path: str, body: Answer | None = None) -> Answer:
        """One request; a service that is just starting is waited for."""
        deadline = time.monotonic() + _CONNECT_S
        while True:
            try:
                return self._once(method, path, body)
            except HTTPError as error:
                with error:
                    raise error_of(_problem(error)) from None
            except (URLError, http.client.HTTPException, OSError) as error:
                if not _is_refused(error) or time.monotonic() > deadline:
                    raise Unavailable(
                        f"The service (process {self._pid}) owns the data, but does not answer at {self._named}.",
                        hint="Wait for it, or stop it and run the command again.",
                    ) from error
                time.sleep(0.1)

    def _once(self, method: str, path: str, body: Answer | None) -> Answer:
        headers = {"Accept": "application/json"}
        if self._token.exists():
            headers["Authorization"] = f"Bearer {self._token.read_text(encoding='ascii')}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = Request(self._url + path, data, headers, method=method)  # noqa: S310 - our own http URL
        with self._opener.open(request, timeout=_ANSWER_S) as answer:
            text = answer.read()
            found: Answer = json.loads(text) if text else {}
            return found


class _Answered(ConfigError):
    """A refusal of the service with a code that no class of ours has: we asked for something wrong."""

    def __init__(self, problem: Answer) -> None:
        super().__init__(str(problem.get("message", "")), hint=str(problem.get("hint", "")))
        self.code = str(problem.get("code", "error"))  # type: ignore[misc]


def error_of(problem: Answer) -> S3ToMilvusError:
    """The error that the service named, of the same class as here."""
    message, hint = str(problem.get("message", "")), str(problem.get("hint", ""))
    code = problem.get("code")
    if code == RemovalGuard.code:
        removals, indexed = int(problem.get("removals", 0)), int(problem.get("indexed", 0))
        return RemovalGuard(message, removals=removals, indexed=indexed, hint=hint)
    if code == "defect":
        return FatalError(message, hint=hint)
    known = next((each for each in _families(S3ToMilvusError) if each.code == code), None)
    return known(message, hint=hint) if known else _Answered(problem)


def _families(above: type[S3ToMilvusError]) -> Iterator[type[Any]]:
    for each in above.__subclasses__():
        if each.__module__ == S3ToMilvusError.__module__:
            yield each
            yield from _families(each)


def _problem(error: HTTPError) -> Answer:
    try:
        found = json.load(error)
        return {**found, "message": found["detail"]}
    except (ValueError, KeyError, TypeError):
        return {"code": "error", "message": f"The service answered {error.code} {error.reason}.", "hint": ""}


def _is_refused(error: Exception) -> bool:
    cause = getattr(error, "reason", error)
    return isinstance(cause, ConnectionRefusedError | FileNotFoundError)  # the latter: a socket that is not made yet


def _ticks() -> Iterator[None]:
    """Now, and then again and again, less often with time."""
    pause_s = 0.02
    while True:
        yield
        time.sleep(pause_s)
        pause_s = min(0.5, pause_s * 1.5)

"""From an event to searchable: an idle service, the hash embedder, files of 4 KB, each new or rewritten just before.

"inside": the engine without HTTP, until the ledger says so (a search then proves it). "HTTP": from
``POST /process_s3_event`` until ``POST /api/v1/search`` finds the new text. "watch": from the write of the file, no
event sent, until it is found.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.corpus import make_folder, make_text
from bench.tools import build_app, cpu_s, head, is_found, line, percentile, run_part, serving, wait
from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.engine.mirror import Mirror

__all__ = ["main"]

_EVENTS = 120
_STANDING = 200


class _Files:
    """Writes files with a word that stands nowhere else: every second one is new, the others replace one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._random = random.Random(13)
        self._count = 0

    def write(self) -> tuple[str, str]:
        """The key that was written, and its word."""
        self._count += 1
        name = f"new{self._count:06d}.txt" if self._count % 2 else f"file{self._random.randrange(_STANDING):06d}.txt"
        word = f"zebrafish{self._count:06d}q{self._random.randrange(10**9):09d}"
        text = f"{word}\n\n{make_text(self._random, 4_000)}"
        (self._folder / "folder00" / name).write_text(text, encoding="utf-8")
        return f"folder00/{name}", word

    def rest(self) -> None:
        """Let the service become idle; never in step with its own loops."""
        time.sleep(0.05 + self._random.random() * 0.1)


def inside(folder: Path, data: Path) -> dict[str, Any]:
    """Latencies in seconds, and CPU seconds per event."""
    app = build_app(folder, data, **{"events.kind": "none"})
    app.start()
    mirror, files = app.mirror, _Files(folder)
    wait(lambda: app.service.is_ready)
    mirror.wait(app.sources)
    bucket = app.sources[0].name
    waits = []
    spent_s = 0.0
    for _ in range(_EVENTS):
        files.rest()
        key, word = files.write()
        ref = ObjectRef(bucket, key)
        began, began_cpu = time.perf_counter(), cpu_s()
        mirror.take([ObjectEvent(ref, EventType.UPLOAD)])
        wait(lambda ref=ref: _is_settled(mirror, ref))  # type: ignore[misc]
        waits.append(time.perf_counter() - began)
        spent_s += cpu_s() - began_cpu
        assert mirror.search(word, 1)[0].key == key
    app.stop()
    return {"waits": waits, "cpu_s": spent_s / _EVENTS}


def _is_settled(mirror: Mirror, ref: ObjectRef) -> bool:
    status = mirror.parts.ledger.status(ref)
    return status is not None and status.state.value == "indexed"


def outside(folder: Path, data: Path, *, is_watched: bool) -> dict[str, Any]:
    """As `inside`, over HTTP from another process."""
    more = {} if is_watched else {"S2M_EVENTS__KIND": "none"}
    with serving(folder, data, **more) as (url, _), httpx.Client(base_url=url, timeout=10) as client:
        wait(lambda: _is_all_there(client), 0.2)
        files, waits = _Files(folder), []
        for _ in range(_EVENTS):
            files.rest()
            began = time.perf_counter()
            key, word = files.write()
            if not is_watched:
                began = time.perf_counter()
                event = {"bucket_name": folder.name, "file_key": key, "event_type": "upload"}
                client.post("/process_s3_event", json=event).raise_for_status()
            wait(lambda word=word: is_found(client, word))  # type: ignore[misc]
            waits.append(time.perf_counter() - began)
        return {"waits": waits}


def _is_all_there(client: httpx.Client) -> bool:
    counts = client.get("/api/v1/status").json()["objects"]
    return bool(counts["indexed"] >= _STANDING and not counts["waiting"] and not counts["running"])


_PARTS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "inside": inside,
    "HTTP": lambda folder, data: outside(folder, data, is_watched=False),
    "watch": lambda folder, data: outside(folder, data, is_watched=True),
}


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as name:
        for part in _PARTS:
            folder = Path(name, part, "docs")
            make_folder(folder, _STANDING)
            found = run_part("bench.freshness", part, folder, Path(name, part, "data"))
            waits_ms = [each * 1e3 for each in found["waits"]]
            line(f"{part}: p50 of {len(waits_ms)} events", percentile(waits_ms, 0.5), "ms", 150)
            line(f"{part}: p95", percentile(waits_ms, 0.95), "ms", 500)
            if "cpu_s" in found:
                line(f"{part}: CPU per event", found["cpu_s"] * 1e3, "ms")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _PARTS:
        print(json.dumps(_PARTS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()

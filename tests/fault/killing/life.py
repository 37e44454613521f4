"""One life of the real service over a data folder: it looks, works, and mostly dies by SIGKILL."""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus import compaction, connection, pending
from s3_to_milvus.bootstrap import Application, build, configure_logging
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.engine import suspects
from s3_to_milvus.settings import Settings, load
from tests.fault.killing.documents import SPLITTER
from tests.fault.killing.points import AT_REST, Trap, set_trap, stop_comparing

__all__ = ["Tell", "finish", "live_and_die", "make_settings", "tell_by"]

_ALL = 8_000
_LONGEST_S = 200.0
"""After this a life that neither died nor came to rest is a failure."""

Tell = Callable[[dict[str, Any]], None]


def make_settings(root: Path) -> Settings:
    """Everything small, so that little work passes many points."""
    return load(
        {
            "data_dir": root / "data",
            "source": (str(root / "docs"),),
            "embedder.kind": "hash",
            **{f"splitter.blocks.{name}": value for name, value in SPLITTER.items()},
            "engine.workers": 2,
            "engine.claim_batch": 3,
            "engine.load_rows": 4,
            "engine.recheck_s": 0.05,
            "engine.guard_objects": 1_000,
            "log.level": "error",
        },
        environ={},
        folder=root,
    )


def live_and_die(settings: Settings, point: str, nth: int, tell: Tell, *, is_forgetful: bool) -> None:
    """Say what a search shows at the start; then run the service until the trap springs, or, at rest, end likewise."""
    trap = Trap(point, nth, lambda name: tell({"killed": name}))
    set_trap(trap, is_forgetful=is_forgetful)
    _hurry()
    configure_logging(settings.log)
    vars(connection).update(_LITE_TIMEOUT_S=1e6)  # gRPC measures it by the wall clock, which may leap
    application = build(settings)
    tell({"shown": _shown(application)})
    if "tend" in point or any(word in point for word in ("manifest", "flush", "swap")):
        threading.Thread(target=_tend, args=(application,), daemon=True).start()
    application.start()
    _rest(application)
    trap.spring(AT_REST)


def finish(settings: Settings, tell: Tell, *, is_forgetful: bool) -> None:
    """Live undisturbed until nothing is left to do, compare everything, stop, and read the rows past our own code."""
    _hurry()
    if is_forgetful:
        stop_comparing()
    configure_logging(settings.log)
    vars(connection).update(_LITE_TIMEOUT_S=1e6)  # gRPC measures it by the wall clock, which may leap
    application = build(settings)
    tell({"shown": _shown(application)})
    application.start()
    _rest(application)
    mirror = application.mirror
    ledger = mirror.parts.ledger
    report = mirror.check(application.sources)
    failed = ledger.objects(state=ObjectState.FAILED, limit=_ALL)
    deadline = time.monotonic() + _LONGEST_S
    while ledger.outbox(time.time() + 1e6, 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    tell(
        {
            "check": repr((report.missing, report.stale, report.orphaned)) if not report.is_ok else "",
            "indexed": sorted(each.ref.key for each in ledger.records() if each.ids),
            "failed": sorted((each.ref.key, each.error_code) for each in failed),
            "unsettled": ledger.counts().waiting + ledger.counts().running,
            "due": ledger.next_due(),
            "undelivered": len(ledger.outbox(time.time() + 1e6, 10)),
        }
    )
    application.stop()
    tell({"rows": _rows(settings.data_dir / "milvus.db")})


def _hurry() -> None:
    vars(suspects).update(_INNOCENT_DEATHS=10_000)  # nobody waits here; `storm` is about that
    vars(pending).update(_FLUSH_ROWS=25, _FLUSH_ROWS_SEARCHED=25)
    vars(compaction).update(_IDLE_TOMBSTONES=15, _BUSY_TOMBSTONES=15)


def _tend(application: Application) -> None:
    while True:
        application.mirror.parts.vectors.tend(is_idle=True)
        time.sleep(0.005)


def _shown(application: Application) -> dict[str, list[str]]:
    """By key, every text that a search can show: it asks for more rows than there are."""
    found: dict[str, list[str]] = defaultdict(list)
    for hit in application.mirror.search("문서", top=_ALL):
        found[hit.key].append(hit.text)
    return found


def _rest(application: Application) -> None:
    """Wait until the folder was scanned and nothing is due any more, re-checks included."""
    deadline = time.monotonic() + _LONGEST_S
    mirror = application.mirror
    while not application.service.is_ready or mirror.parts.ledger.next_due() is not None or mirror.pool.is_busy:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no rest: {mirror.status().counts}, {mirror.pool.held}")
        time.sleep(0.005)


def _rows(path: Path) -> list[tuple[str, str, int]]:
    """Key, text and run of every row, read by the vendor's own client."""
    from pymilvus import MilvusClient

    client = MilvusClient(str(path))
    found: list[tuple[str, str, int]] = []
    for name in client.list_collections():
        client.load_collection(name)
        page = client.query(name, filter="id > 0", output_fields=["file_key", "text", "run"], limit=16_000)
        found += [(row["file_key"], row["text"], row["run"]) for row in page]
    client.close()
    return found


def tell_by(descriptor: int) -> Tell:
    """Writes a line into a pipe, at once."""

    def tell(words: dict[str, Any]) -> None:
        data = json.dumps(words).encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]

    return tell

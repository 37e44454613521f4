"""Kills the real service over good documents as soon as it is at work, again and again; then lets it live.

``python -m tests.fault.killing.storm ROOT KILLS LEASE_S SEED SIGNAL``

SIGNAL ``KILL`` ends each life, ``TERM`` asks it to end, ``STOP`` freezes it for longer than its lease and then lets it
go on. What was found at the end is printed as JSON.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from s3_to_milvus.bootstrap import Application, build, configure_logging
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.settings import Settings, load
from tests.fault.killing.life import Tell, tell_by
from tests.fault.killing.program import warm_up

__all__ = ["main"]

_DOCUMENTS = 40
_IDLE_S = 3.0
_REST_S = 120.0


def _settings(root: Path, lease_s: float) -> Settings:
    return load(
        {
            "data_dir": root / "data",
            "source": (str(root / "docs"),),
            "embedder.kind": "hash",
            "engine.lease_s": lease_s,
            "engine.claim_batch": 8,
            "engine.recheck_s": 0.05,
            "log.level": "error",
        },
        environ={},
        folder=root,
    )


def _live(settings: Settings, tell: Tell, number: int, *, is_last: bool) -> None:
    """Say when there is work under way; end when told to, or, in the last life, when nothing is left to do."""
    configure_logging(settings.log)
    application = build(settings)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    application.start()
    ledger = application.mirror.parts.ledger
    began, is_told = time.monotonic(), False
    while not stop.is_set():
        counts = ledger.counts()
        if not is_told and not is_last and (counts.running or time.monotonic() - began > _IDLE_S):
            is_told = True
            tell({"life": number})
        if is_last and application.service.is_ready and not counts.running and ledger.next_due() is None:
            break
        if time.monotonic() - began > _REST_S:
            break
        time.sleep(0.001)
    tell(_found(application))
    application.stop()


def _found(application: Application) -> dict[str, Any]:
    ledger = application.mirror.parts.ledger
    counts = ledger.counts()
    failed = [each.error for each in ledger.objects(state=ObjectState.FAILED, limit=1_000)]
    return {"indexed": counts.indexed, "waiting": counts.waiting + counts.running, "failed": failed}


def _fork(body: Any) -> tuple[int, Any]:
    mine, its = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(mine)
        try:
            body(tell_by(its))
        finally:
            os._exit(0)
    os.close(its)
    return child, os.fdopen(mine, "rb")


def _end(child: int, name: str, wait_s: float, lease_s: float) -> None:
    time.sleep(wait_s)
    if name == "STOP":
        os.kill(child, signal.SIGSTOP)
        time.sleep(2.2 * lease_s)
        os.kill(child, signal.SIGCONT)
        time.sleep(1.0)
        name = "KILL"
    os.kill(child, signal.Signals[f"SIG{name}"])
    os.waitpid(child, 0)


def main() -> None:
    """Kill, then live, then say what is there."""
    root, kills, lease_s, seed, name = Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
    draw = random.Random(seed)
    docs = root / "docs"
    docs.mkdir(parents=True)
    warm_up()
    settings = _settings(root, lease_s)
    for life in range(kills):
        for number in range(3):  # new ones, and changed ones
            which = draw.randrange(_DOCUMENTS)
            (docs / f"{which}.md").write_text(f"# A good document\n\nword{which} of life {life}.{number}\n" * 20)
        child, pipe = _fork(lambda tell, life=life: _live(settings, tell, life, is_last=False))
        pipe.readline()
        _end(child, name, draw.choice((0.0, 0.002, 0.01, 0.05, 0.2)), lease_s)
        pipe.close()
    child, pipe = _fork(partial(_live, settings, number=kills, is_last=True))
    found = json.loads(pipe.readlines()[-1])
    os.waitpid(child, 0)
    print(json.dumps(found | {"files": len(list(docs.iterdir()))}))


if __name__ == "__main__":
    main()

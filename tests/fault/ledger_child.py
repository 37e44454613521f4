"""A process that works on a ledger until it is killed, and tells beforehand and afterwards what it does.

Started once, it forks a child for each line on its standard input: forking is cheaper than starting Python anew.
"""

import json
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import Claim, Commit, Failure, Outcome, Record
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.ports import Ledger

__all__ = ["apply", "record_of"]

LEASE_S = 50.0
RECHECK_S = 20.0
CROWD = 8


def record_of(claim: Claim) -> Record:
    """What a run makes: every seventh fails."""
    outcome = Outcome.FAILED if claim.run % 7 == 0 else Outcome.INDEXED
    ids = IdRanges.of(range(claim.run * 10, claim.run * 10 + 5)) if outcome is Outcome.INDEXED else IdRanges()
    run = claim.run if ids else 0
    return Record(claim.ref, ObjectVersion("etag", 1), outcome, "recipe", "", "docs", run, ids, len(ids), 1.0)


def apply(ledger: Ledger, held: list[Claim], step: dict[str, Any]) -> None:
    """Do one step; ``held`` are the claims of this life of the process, oldest first."""
    kind, now, count = step["kind"], step["now"], step.get("count", 0)
    if kind == "expire":
        ledger.expire_all(now)
    elif kind == "observe":
        ledger.observe([ObjectRef("docs", key) for key in step["keys"]], Lane.LIVE, now)
    elif kind == "claim":
        held += ledger.claim("worker", count, now, LEASE_S)
    elif kind == "commit":
        ledger.commit([Commit(claim, record_of(claim)) for claim in held[:count]], now)
    elif kind == "remove":
        ledger.commit([Commit(claim, None, "remove") for claim in held[:count]], now)
    elif kind == "settle":
        ledger.settle(held[:count], now, RECHECK_S)
        del held[:count]
    elif held:
        claim = held.pop(0)
        failure = Failure("broken", "깨졌다")
        if kind == "bury":
            ledger.bury(claim, failure, now, RECHECK_S)
        else:
            ledger.retry(claim, failure, now, now + 3, is_unclean=True, is_charged=True)


def _steps(chance: random.Random, now: float) -> Any:
    yield {"kind": "expire", "now": now}
    while True:
        now += 0.25
        kind = chance.choice(("observe", "claim", "commit", "settle", "commit", "settle", "remove", "retry", "bury"))
        keys = [f"키/{chance.randrange(40)}" for _ in range(chance.randrange(1, 4))]
        yield {"kind": kind, "now": now, "count": chance.randrange(1, 5), "keys": keys}


def _tell_a_story(path: Path, log: int, order: dict[str, Any]) -> None:
    ledger = SqliteLedger(SqliteLedger.Options(), path)
    held: list[Claim] = []
    for step in _steps(random.Random(order["seed"]), order["now"]):
        os.write(log, json.dumps(step).encode() + b"\n")
        apply(ledger, held, step)
        os.write(log, b"ok\n")


def _be_a_crowd(path: Path, log: int, order: dict[str, Any]) -> None:
    ledger = SqliteLedger(SqliteLedger.Options(), path)

    def observe(name: int) -> None:
        number = 0
        while True:
            number += 1
            key = f"{order['seed']}/{name}/{number}"
            ledger.observe([ObjectRef("crowd", key)], Lane.LIVE, 1.0)
            os.write(log, key.encode() + b"\n")

    for name in range(CROWD):
        threading.Thread(target=observe, args=(name,), daemon=True).start()
    threading.Event().wait()


def _main() -> None:
    path, log_path = Path(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            (_tell_a_story if order["mode"] == "story" else _be_a_crowd)(path, log, order)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    _main()

"""Kills the real service again and again while its folder changes.

``python -m tests.fault.killing.program ROOT WORLDS KILLS SEED [POINT…] [--forgetful]``


Everything heavy is imported once and started never; then each world (a folder, a ledger, a Milvus Lite) gets a process
that forks one life after the other. What a life tells goes through a pipe; what was found wrong ends in
``ROOT/world-N/result.json``.
"""

import importlib
import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.fault.killing.documents import Documents
from tests.fault.killing.life import Tell, finish, live_and_die, make_settings, tell_by
from tests.fault.killing.points import AT_REST, POINTS

__all__ = ["main", "warm_up"]

_NEEDED = (
    "s3_to_milvus.adapters.clock",
    "s3_to_milvus.adapters.events.watch",
    "s3_to_milvus.adapters.journals.log",
    "s3_to_milvus.adapters.ledger.sqlite",
    "s3_to_milvus.adapters.object_stores.folder",
    "s3_to_milvus.adapters.parsers.html",
    "s3_to_milvus.adapters.parsers.isolated",
    "s3_to_milvus.adapters.parsers.pdf",
    "s3_to_milvus.testing.hash_embedder",
    "grpc._channel",
    "grpc._server",
    "milvus_lite.adapter.grpc.servicer",
    "milvus_lite.engine.collection",
    "milvus_lite.index.faiss_ivf_flat",
    "milvus_lite.search.filter.cache",
    "numpy.ma",
    "pymilvus",
)
_HUNG_S = 300.0
_MAX_UNREST = 3


class World:
    """A folder and the data folder of the service that mirrors it. ``is_forgetful`` plants a defect: see `points`."""

    def __init__(self, root: Path, seed: int, points: Sequence[str], *, is_forgetful: bool) -> None:
        root.mkdir(parents=True)
        self._root = root
        self._random = random.Random(seed)
        self._points = points
        self._is_forgetful = is_forgetful
        self._first = self._random.randrange(len(points))
        self._settings = make_settings(root)
        self._documents = Documents(root / "docs", seed)
        self.killed: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, kills: int) -> dict[str, Any]:
        """Kill that often at a point of the work, then let it live, and say what was found."""
        lives = since_rest = 0
        while self.killed.total() - self.killed[AT_REST] < kills and lives < 3 * kills and not self.wrong:
            self._documents.change(self._random.randrange(2, 7))
            # An object in whose work many workers died in a row waits for a while: so now and then they come to rest.
            point = AT_REST if since_rest == _MAX_UNREST else self._points[(self._first + lives) % len(self._points)]
            killed = self._kill(lives, point)
            since_rest = 0 if killed == AT_REST else since_rest + 1
            lives += 1
        self._documents.change(2)
        return {"last": self._end(), "killed": self.killed, "wrong": self.wrong, "refused": self._documents.refused}

    def _kill(self, life: int, point: str) -> str:
        """One life that ends at the point, or at rest where it never comes there; where it ended."""
        nth = self._random.choice((1, 1, 1, 2, 3))
        told, status = self._life(partial(live_and_die, self._settings, point, nth, is_forgetful=self._is_forgetful))
        killed = str(told.get("killed", ""))
        if os.WIFSIGNALED(status) and killed:
            self.killed[killed] += 1
        else:
            self.wrong.append(f"life {life} ({point}) ended by itself with {status}: {told.get('failed')}")
        self._judge(f"life {life}, before {point}", told)
        return killed

    def _end(self) -> dict[str, Any]:
        told, status = self._life(partial(finish, self._settings, is_forgetful=self._is_forgetful))
        if status or "rows" not in told:
            self.wrong.append(f"the last life ended with {status}: {told.get('failed')}")
            return told
        self._judge("at the end", told)
        rows = told.pop("rows")
        self.wrong += self._documents.compare((key, text) for key, text, _ in rows)
        runs: dict[str, set[int]] = {}
        for key, _, run in rows:
            runs.setdefault(key, set()).add(run)
        self.wrong += [f"{key!r} has rows of runs {found}" for key, found in runs.items() if len(found) > 1]
        del told["shown"]
        return told | {"rows": len(rows), "files": len(self._documents.now)}

    def _judge(self, where: str, told: dict[str, Any]) -> None:
        if "shown" in told:
            self.wrong += [f"{where}: {each}" for each in self._documents.judge(told["shown"])]

    def _life(self, body: Callable[[Tell], None]) -> tuple[dict[str, Any], int]:
        """Fork a life; what it told, and how it ended."""
        mine, its = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(mine)
            _live(body, tell_by(its))
        os.close(its)
        with os.fdopen(mine, "rb") as pipe:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, _HUNG_S)
            lines = pipe.read().splitlines()
            status = os.waitpid(child, 0)[1]
            signal.setitimer(signal.ITIMER_REAL, 0)
        told: dict[str, Any] = {}
        for line in lines:
            told |= json.loads(line)
        return told, status


def _live(body: Callable[[Tell], None], tell: Tell) -> None:
    try:
        body(tell)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        tell({"failed": traceback.format_exc()})
    os._exit(1)


def warm_up() -> None:
    """Import what every life needs; start nothing."""
    from s3_to_milvus.adapters.vector_stores.milvus.tuning import tune

    tune()
    for name in _NEEDED:
        importlib.import_module(name)


def main() -> None:
    """Run the worlds side by side."""
    root, worlds, kills, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    points = [each for each in sys.argv[5:] if each != "--forgetful"] or POINTS
    is_forgetful = "--forgetful" in sys.argv
    warm_up()
    children = []
    for number in range(worlds):
        child = os.fork()
        if child == 0:
            place = root / f"world-{number}"
            world = World(place, seed + number, points, is_forgetful=is_forgetful)
            (place / "result.json").write_text(json.dumps(world.run(kills // worlds)))
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()

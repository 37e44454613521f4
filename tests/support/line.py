"""The real line over a data folder: `bootstrap.build` with the hashing embedder, and short questions about it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s3_to_milvus.bootstrap import Application, build, configure_logging
from s3_to_milvus.domain.records import Outcome, Record
from s3_to_milvus.engine.search import Found
from s3_to_milvus.engine.tally import SyncReport
from s3_to_milvus.ports import SourceEntry
from s3_to_milvus.settings import load
from tests.support.patience import LEASE_S

__all__ = ["Line", "line_over"]

_ALL = 8_000


class Line:
    """An application whose workers run; ``source`` is its first source, if it was given any."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.mirror = application.mirror
        self.source = next(iter(application.sources), SourceEntry("none", "none"))

    def sync(self, **more: Any) -> SyncReport:
        """Bring the first source in line."""
        return self.mirror.sync(self.source, **more)

    def records(self) -> dict[str, Record]:
        """What is recorded, by key."""
        return {record.ref.key: record for record in self.mirror.parts.ledger.records(self.source.name)}

    def indexed(self) -> set[str]:
        """Keys that have rows."""
        return {key for key, record in self.records().items() if record.outcome is Outcome.INDEXED}

    def hits(self, query: str, top: int = 5) -> list[Found]:
        """What a search shows."""
        return self.mirror.search(query, top)

    def shown(self) -> dict[str, list[str]]:
        """By key, every text that a search can show, in document order."""
        found: dict[str, list[tuple[int, str]]] = {}
        for hit in self.mirror.search("?", _ALL):
            found.setdefault(hit.key, []).append((hit.chunk_no, hit.text))
        return {key: [text for _, text in sorted(rows)] for key, rows in found.items()}

    def stored(self) -> int:
        """How many rows there really are."""
        vectors = self.mirror.parts.vectors
        return sum(vectors.count(name) for name in vectors.collections())

    def expect_equal(self) -> None:
        """Bucket, ledger and Milvus say the same; every row is somebody's truth."""
        report = self.mirror.check(self.application.sources)
        assert report.is_ok, report
        assert self.stored() == sum(record.chunk_count for record in self.records().values())


@contextmanager
def line_over(folder: Path, sources: Sequence[str | Path], **settings: Any) -> Iterator[Line]:
    """Build, run the workers (no watcher, no scans), stop. ``settings`` by dotted name, ``__`` for the dot."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    values = {"data_dir": folder, "embedder.kind": "hash", "log.level": "error", "engine.lease_s": LEASE_S, **named}
    made = load(values, environ={}, folder=folder.parent)
    configure_logging(made.log)
    application = build(made, [os.fspath(source) for source in sources])
    try:
        application.mirror.start()
        yield Line(application)
    finally:
        application.stop()

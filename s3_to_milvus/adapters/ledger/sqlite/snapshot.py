"""A moment of the ledger's file: a read transaction that stays open while the pages are copied."""

import sqlite3
from contextlib import closing
from pathlib import Path

from s3_to_milvus.adapters.ledger.sqlite.connections import open_reader
from s3_to_milvus.adapters.ledger.sqlite.health import FileHealth, examine
from s3_to_milvus.errors import LedgerDamaged

__all__ = ["LedgerSnapshot"]

_PAGES = 4_096  # copied at a time; 16 MiB


class LedgerSnapshot:
    """Implements `ports.Frozen`. Writers go on; their log can't be emptied meanwhile."""

    def __init__(self, path: Path, busy_timeout_s: float, health: FileHealth) -> None:
        health.verify()
        self.paused_s = 0.0
        self._health = health
        try:
            self._reader = open_reader(path, busy_timeout_s)
            self._reader.execute("BEGIN")
            pages = self._reader.execute("PRAGMA page_count").fetchone()[0]
            self._reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on, nothing changes
            self.size_bytes: int = pages * self._reader.execute("PRAGMA page_size").fetchone()[0]
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            raise health.noted(exc) from exc

    def write(self, target: Path) -> None:
        """See `Frozen`. The copy is read once more, page by page: a damaged ledger makes no backup."""
        try:
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                copy.execute("PRAGMA synchronous = OFF")
                self._reader.backup(copy, pages=_PAGES)
            with closing(sqlite3.connect(f"{target.absolute().as_uri()}?immutable=1", uri=True)) as copy:
                examine(copy, target)
        except (sqlite3.Error, UnicodeDecodeError, LedgerDamaged) as exc:
            raise self._health.noted(exc) from exc

    def close(self) -> None:
        """See `Frozen`."""
        self._reader.close()

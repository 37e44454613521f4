"""What tests of backups share: documents, a backup of a line, and whether what was restored is whole."""

import hashlib
from pathlib import Path

from s3_to_milvus.bootstrap import build
from s3_to_milvus.settings import Settings, load
from tests.support.line import Line

__all__ = ["expect_whole", "make_backup", "settings_over", "tree", "write"]


def write(docs: Path, number: int, what: str = "first") -> None:
    """A document of one chunk."""
    (docs / f"{number}.txt").write_text(f"낱말{number} {what} version", encoding="utf-8")


def settings_over(data: Path) -> Settings:
    """The settings of `line_over`."""
    values = {"data_dir": data, "embedder.kind": "hash", "log.level": "error"}
    return load(values, environ={}, folder=data.parent)


def make_backup(line: Line, folder: Path) -> None:
    """While the line works."""
    line.application.backup.make(folder)


def expect_whole(data: Path) -> None:
    """Every row that the ledger calls true is there, before anybody works or compares anything with the bucket."""
    application = build(settings_over(data), [])
    try:
        parts = application.mirror.parts
        for record in parts.ledger.records():
            rows = parts.vectors.fetch(record.collection, record.rows)
            assert len(rows) == record.chunk_count, record.ref
    finally:
        application.stop()


def tree(folder: Path) -> dict[str, str]:
    """Digests of all files below, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

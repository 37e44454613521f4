"""Power cuts on a loop device: what the disk holds at a moment is what a cut at that moment leaves.

Needs root, loop devices and ext4. The service stands still while its disk is copied, and the copy is taken again where
the kernel wrote meanwhile: so it is one moment.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s3_to_milvus.adapters.ledger.sqlite.ledger import SqliteLedger
from s3_to_milvus.adapters.vector_stores.milvus.store import MilvusVectorStore
from s3_to_milvus.domain.objects import ObjectRef

__all__ = ["Disk", "acknowledged", "lost_rows", "standing_still", "why_not"]

DISK_MB = 400


def why_not() -> str:
    """Why no such disk can be made here; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "loop devices need Linux and root"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    return f"the program {missing[0]} is missing" if missing else ""


class Disk:
    """An ext4 file system in a file."""

    def __init__(self, image: Path) -> None:
        self.image = image

    @classmethod
    def make(cls, image: Path) -> "Disk":
        """A fresh one."""
        with image.open("wb") as file:
            file.truncate(DISK_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        return cls(image)

    @contextmanager
    def mounted(self, at: Path) -> Iterator[Path]:
        """Its folder, while it is mounted there."""
        at.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-o", "loop", self.image, at], check=True)
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True)

    def cut(self, target: Path, pid: int) -> "Disk":
        """What a power cut leaves now. To be called while the process stands still."""
        os.kill(pid, 0)
        while True:
            before = self.image.stat().st_mtime_ns
            subprocess.run(["cp", "--sparse=always", self.image, target], check=True)
            if self.image.stat().st_mtime_ns == before:
                return Disk(target)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The process does nothing meanwhile: not even the system call that a thread was in goes on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while any(_state_of(task) != "T" for task in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state_of(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def acknowledged(data: Path) -> dict[ObjectRef, int]:
    """By object, the run that the ledger calls true. SQLite shows a commit once it is on the disk."""
    connection = sqlite3.connect(f"file:{data}/ledger.db?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT bucket, key, run FROM objects WHERE has_rows = 1").fetchall()
        return {ObjectRef(bucket, key.decode()): run for bucket, key, run in rows}
    finally:
        connection.close()


def lost_rows(data: Path, expected: dict[ObjectRef, int]) -> list[str]:
    """What of it the stores that lie here do not hold; nothing repairs them.

    They may be newer: what was on the disk and not acknowledged yet is no loss.
    """
    ledger = SqliteLedger(SqliteLedger.Options(), data / "ledger.db")
    vectors = MilvusVectorStore(MilvusVectorStore.Options(), data / "milvus.db")
    try:
        records = {record.ref: record for record in ledger.records() if record.ids}
        lost = [
            f"{ref.key} is older than what was acknowledged"
            for ref, run in expected.items()
            if (ref not in records or records[ref].run < run) and not _was_removed(ledger, ref, run)
        ]
        for ref, record in records.items():
            if len(vectors.fetch(record.collection, record.rows)) != len(record.ids):
                lost.append(f"rows of {ref.key} are missing")
        return lost
    finally:
        vectors.close()
        ledger.close()


def _was_removed(ledger: SqliteLedger, ref: ObjectRef, run: int) -> bool:
    return any(each.run > run and each.outcome == "removed" for each in ledger.runs(ref))

"""Peak memory: 1,000 and 10,000 files of 4 KB, and one text file of 500 MB; ours beside what Milvus Lite takes.

Milvus Lite keeps every row in memory, so its share grows with the rows; "Lite alone" inserts the same rows by a bare
loop. "Rows counted only" replaces Milvus and the embedder by ones that keep nothing: what grows there, grows in ours.
"""

import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import psutil

from bench.corpus import make_folder, make_text
from bench.tools import build_app, head, line, run_part
from s3_to_milvus.domain.rows import CollectionSpec, Row, RowIdentity, RowSet, StoredRow
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.ports import Incident, SourceEntry, VectorStore

__all__ = ["main"]

_LIMIT_MIB = 370
_LARGE_BYTES = 500_000_000
_REST_S = 2.5


class _Sink:
    """A vector store that counts rows and keeps none."""

    kind = "sink"
    is_shared = False
    originals = None
    folder: Path | None = None

    def __init__(self) -> None:
        self._ids = count(1)
        self._lock = threading.Lock()
        self.rows = 0

    def ensure(self, spec: CollectionSpec, after_id: int = 0) -> None:
        pass

    def insert(self, collection: str, rows: Sequence[Row]) -> list[int]:
        with self._lock:
            self.rows += len(rows)
            return [next(self._ids) for _ in rows]

    def delete(self, collection: str, rows: Sequence[RowSet]) -> None:
        pass

    def sync(self, collections: Collection[str]) -> None:
        pass

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        pass

    def fetch(self, collection: str, rows: RowSet, *, with_vectors: bool = False) -> list[StoredRow]:
        return []

    def search(self, collection: str, vector: Any, limit: int) -> list[Any]:
        return []

    def freeze(self, meanwhile: Callable[[], None]) -> None:
        meanwhile()

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        return iter(())

    def count(self, collection: str, after_id: int = -1) -> int:
        return self.rows

    def mark(self, collection: str) -> str:
        return ""

    def put_mark(self, collection: str, mark: str) -> None:
        pass

    def incidents(self) -> list[Incident]:
        return []

    def collections(self) -> list[str]:
        return []

    def drop(self, collection: str) -> None:
        pass

    def tend(self, *, is_idle: bool) -> bool:
        return False

    def check(self) -> str:
        return "counts"

    def close(self) -> None:
        pass


class _Blank:
    """An embedder that remembers nothing: the hashing one keeps up to 65,536 words, file names among them."""

    kind, fingerprint, dim, max_batch_texts = "blank", "blank", 384, 1_024

    def embed_documents(self, texts: Sequence[str]) -> Any:
        import numpy as np

        return np.zeros((len(texts), self.dim), np.float32)

    def embed_query(self, text: str) -> Any:
        return self.embed_documents([text])[0]

    def check(self) -> str:
        return "blank"


def _mib(name: str) -> float:
    """``VmHWM``: the most that this process ever had (`ru_maxrss` would count its parent, too), ``VmRSS``: now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def _result(vectors: VectorStore, chunks: int) -> dict[str, Any]:
    peak = _mib("VmHWM")
    children = sum(each.memory_info().rss for each in psutil.Process().children(recursive=True)) / (1 << 20)
    time.sleep(_REST_S)
    while vectors.tend(is_idle=True):
        pass
    return {"peak": peak, "kept": _mib("VmRSS"), "children": children, "chunks": chunks}


def _run(mirror: Mirror, source: SourceEntry) -> dict[str, Any]:
    mirror.start()
    report = mirror.sync(source)
    assert report.failed == 0
    found = _result(mirror.parts.vectors, report.chunks)
    mirror.stop()
    return found


def whole(folder: Path, data: Path) -> dict[str, Any]:
    """The whole product."""
    app = build_app(folder, data)
    return _run(app.mirror, app.sources[0])


def counted(folder: Path, data: Path) -> dict[str, Any]:
    """The product, its vectors zeros and its rows only counted."""
    app = build_app(folder, data)
    return _run(Mirror(replace(app.mirror.parts, vectors=_Sink(), embedder=_Blank())), app.sources[0])


def lite(folder: Path, data: Path) -> dict[str, Any]:
    """Milvus Lite alone with the same rows, a thousand at a time, housekeeping after each."""
    from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(MilvusVectorStore.Options(), data / "milvus.db")
    store.ensure(CollectionSpec("folder00", "folder00", 384, "none"))
    rows, total = _rows(folder), 0
    while batch := list(islice(rows, 1_000)):
        total += len(store.insert("folder00", batch))
        store.tend(is_idle=False)
    found = _result(store, total)
    store.close()
    return found


def _rows(folder: Path) -> Iterator[Row]:
    from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
    from s3_to_milvus.domain.documents import Block, BlockKind, Document
    from s3_to_milvus.testing.hash_embedder import HashEmbedder

    embedder, splitter = HashEmbedder(), BlocksSplitter(BlocksSplitter.Options())
    for number, path in enumerate(sorted(folder.rglob("*.txt"))):
        parts = path.read_text(encoding="utf-8").split("\n\n")
        document = Document([Block(BlockKind.PARAGRAPH, part) for part in parts], "text/plain")
        texts = [chunk.text for chunk in splitter.split(document, "folder00")]
        for place, vector in enumerate(embedder.embed_documents(texts)):
            name, meta = path.name, {"media_type": "text/plain"}
            yield Row(vector, texts[place], name, "2026", f"{number:064x}", 1, place, folder.name, name, 0, meta)


def _many(folder: Path, small: int = 1_000, large: int = 10_000) -> None:
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for files in (small, large):
        docs = folder / f"docs{files}"
        make_folder(docs, files)
        for part in ("whole", "lite", "counted"):
            found[part, files] = run_part("bench.memory", part, docs, folder / f"{part}{files}")
        ours, alone = found["whole", files], found["lite", files]
        assert ours["chunks"] == alone["chunks"], found
        limit = _LIMIT_MIB if files == small else None
        line(f"{files:,} files ({ours['chunks']:,} chunks), whole product: peak", ours["peak"], "MiB", limit)
        line(f"{files:,} files, child processes beside it", ours["children"], "MiB")
        line(f"{files:,} files, Lite alone with the same rows: peak", alone["peak"], "MiB")
        line(f"{files:,} files, whole product / Lite alone at rest", ours["kept"] / alone["kept"], "times", 1.2)
        line(f"{files:,} files, rows counted only: peak", found["counted", files]["peak"], "MiB")
    for part, what in (("whole", "whole product"), ("lite", "Lite alone")):
        growth = found[part, large]["peak"] / found[part, small]["peak"]
        line(f"growth of the peak from 1,000 to 10,000 files, {what}", growth, "times")
    growth = found["counted", large]["peak"] / found["counted", small]["peak"]
    line("growth of the peak from 1,000 to 10,000 files, rows counted only", growth, "times", 1.2)


def _one_large(folder: Path) -> None:
    docs = folder / "large-docs"
    make_folder(docs, 50)
    without = run_part("bench.memory", "counted", docs, folder / "without")
    random_ = random.Random(3)
    piece = "\n\n".join(make_text(random_) for _ in range(250)).encode() + b"\n\n"
    with (docs / "large.txt").open("wb") as file:
        for number in range(_LARGE_BYTES // len(piece)):
            file.write(b"%08d " % number + piece)
    found = run_part("bench.memory", "counted", docs, folder / "with")
    line(f"a text file of 500 MB ({found['chunks']:,} chunks), rows counted only", found["peak"], "MiB", _LIMIT_MIB)
    line("more than without that file (gate: 64 MiB)", found["peak"] - without["peak"], "MiB", 64)


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as name:
        _many(Path(name))
        _one_large(Path(name))


_PARTS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"whole": whole, "counted": counted, "lite": lite}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _PARTS:
        print(json.dumps(_PARTS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()

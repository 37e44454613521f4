"""A second run: nothing changed among 1,000 and 100,000 files, then one paragraph in 1 % of them."""

import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.corpus import make_folder, make_text
from bench.tools import build_app, cpu_s, head, line, run_part
from s3_to_milvus.domain.objects import Lane, ListedObject, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import Commit, Outcome, Record
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.ports import Content, Embedder, ObjectStore, Unchanged

__all__ = ["main"]

_CHANGED = 10
_DOCUMENT = re.compile(r"\bfile\d{6}\.txt$")


class _CountingStore:
    """A store that counts what it is asked for."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.kind = inner.kind
        self.check = inner.check
        self.gets = 0
        self.listed = 0

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> Content | Unchanged | None:
        self.gets += 1
        return self._inner.get(ref, unless)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        for each in self._inner.list(bucket, prefix):
            self.listed += 1
            yield each


class _CountingEmbedder:
    """An embedder that counts texts."""

    def __init__(self, inner: Embedder) -> None:
        self.kind, self.fingerprint, self.dim = inner.kind, inner.fingerprint, inner.dim
        self.max_batch_texts = inner.max_batch_texts
        self.embed_query, self.check = inner.embed_query, inner.check
        self._inner = inner
        self.texts = 0

    def embed_documents(self, texts: Sequence[str]) -> Any:
        self.texts += len(texts)
        return self._inner.embed_documents(texts)


def sync(folder: Path, data: Path) -> dict[str, Any]:
    """One run in this process: its report, what it cost, and what it touched."""
    opened: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and _DOCUMENT.search(str(arguments[0])):
            opened.append(str(arguments[0]))

    sys.addaudithook(hook)
    app = build_app(folder, data)
    source = app.sources[0]
    store = _CountingStore(app.mirror.parts.stores[source.name])
    embedder = _CountingEmbedder(app.mirror.parts.embedder)
    mirror = Mirror(replace(app.mirror.parts, stores={source.name: store}, embedder=embedder))
    mirror.start()
    began, began_cpu = time.perf_counter(), cpu_s()
    report = mirror.sync(source)
    found = {"wall_s": time.perf_counter() - began, "cpu_s": cpu_s() - began_cpu}
    mirror.stop()
    touched = {"opened": len(opened), "gets": store.gets, "listed": store.listed, "embedded": embedder.texts}
    is_milvus_there = bool({"pymilvus", "milvus_lite"} & sys.modules.keys())
    counts = {"unchanged": report.unchanged, "changed": report.changed, "chunks": report.chunks, "added": report.added}
    return {**found, **touched, **counts, "is_milvus_there": is_milvus_there}


def fill(folder: Path, data: Path) -> dict[str, Any]:
    """Tell the ledger that everything in the folder is indexed, without indexing it."""
    app = build_app(folder, data)
    parts, source = app.mirror.parts, app.sources[0]
    readers = parts.readers_of(ObjectRef(source.name, "a"))
    recipe = readers.recipe_for(readers.require("text/plain"))
    versions = {
        each.key: ObjectVersion(each.etag, each.size_bytes, None, each.modified_at)
        for each in parts.stores[source.name].list(source.name)
    }
    keys = list(versions)
    for start in range(0, len(keys), 1_000):
        parts.ledger.observe([ObjectRef(source.name, key) for key in keys[start : start + 1_000]], Lane.BACKFILL, 1.0)
        claims = parts.ledger.claim("bench", 1_000, 2.0, 60.0)
        records = [
            Record(
                claim.ref,
                versions[claim.ref.key],
                Outcome.INDEXED,
                recipe,
                collection="folder00",
                run=claim.run,
                ids=IdRanges(((claim.run * 10, claim.run * 10 + 4),)),
                chunk_count=5,
            )
            for claim in claims
        ]
        parts.ledger.commit([Commit(claim, record) for claim, record in zip(claims, records, strict=True)], 3.0)
        parts.ledger.settle(claims, 3.0, 60.0)
    app.stop()
    return {"files": len(keys)}


def _edit(folder: Path) -> None:
    """Replace one paragraph in some files, at a place that differs from file to file."""
    random_ = random.Random(11)
    for path in random_.sample(sorted(folder.rglob("*.txt")), _CHANGED):
        paragraphs = path.read_text(encoding="utf-8").split("\n\n")
        paragraphs[random_.randrange(len(paragraphs))] = make_text(random_, 200)
        path.write_text("\n\n".join(paragraphs), encoding="utf-8")


def _expect_untouched(found: dict[str, Any], files: int) -> None:
    touched = {name: found[name] for name in ("opened", "gets", "embedded", "changed", "added")}
    assert found["unchanged"] == found["listed"] == files, found
    assert not any(touched.values()), touched
    assert not found["is_milvus_there"]


def _unchanged(what: str, found: dict[str, Any], wanted_s: float, files: int) -> None:
    _expect_untouched(found, files)
    line(f"{what}: wall", found["wall_s"], "s", wanted_s)
    line(f"{what}: CPU", found["cpu_s"], "s", wanted_s)
    line(f"{what}: files opened + GETs + texts embedded", 0, "", 0)


def _small(folder: Path, data: Path) -> None:
    make_folder(folder, 1_000, size_bytes=8_192)
    first = run_part("bench.rescan", "sync", folder, data)
    line(f"first run of 1,000 files of 8 KB ({first['chunks']} chunks)", first["cpu_s"], "s CPU")
    again = min((run_part("bench.rescan", "sync", folder, data) for _ in range(3)), key=lambda found: found["cpu_s"])
    _unchanged("1,000 files, nothing changed", again, 0.3, 1_000)
    _edit(folder)
    edited = run_part("bench.rescan", "sync", folder, data)
    assert (edited["changed"], edited["unchanged"]) == (_CHANGED, 1_000 - _CHANGED), edited
    line("1 % changed: files opened", edited["opened"], "", _CHANGED)
    line("1 % changed: GETs", edited["gets"], "", _CHANGED)
    share = f"1 % changed: texts embedded, of {edited['chunks']} chunks in the changed files"
    line(share, edited["embedded"], "", 3 * _CHANGED)
    line("1 % changed: CPU, Milvus Lite opened and its rows read", edited["cpu_s"], "s")


def _large(folder: Path, data: Path) -> None:
    make_folder(folder, 100_000, folders=100, size_bytes=64)
    run_part("bench.rescan", "fill", folder, data)
    again = min((run_part("bench.rescan", "sync", folder, data) for _ in range(2)), key=lambda found: found["cpu_s"])
    _unchanged("100,000 files, nothing changed", again, 6.0, 100_000)


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as name:
        _small(Path(name, "small"), Path(name, "small-data"))
        _large(Path(name, "large"), Path(name, "large-data"))


if __name__ == "__main__":
    if sys.argv[1:2] in (["sync"], ["fill"]):
        print(json.dumps({"sync": sync, "fill": fill}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()

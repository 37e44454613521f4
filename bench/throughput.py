"""Documents per CPU-second from a folder into Milvus Lite, against a bare read-split-embed-insert loop.

``python -m bench.throughput [FILES]``. Both sides run in processes of their own, in turn and twice, with the
hash embedder and the same splitter; imports are not counted, everything else is, child processes too.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.corpus import make_folder

__all__ = ["measure"]

_SIZE_BYTES = 4_608  # a thousand of them make more than 5,000 chunks


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bare_loop(folder: Path, work: Path) -> dict[str, float]:
    """The floor: no ledger, no versions, no recovery; one insert per file, as a script would do it."""
    from pymilvus import DataType, MilvusClient

    from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
    from s3_to_milvus.domain.documents import Block, BlockKind, Document
    from s3_to_milvus.testing.hash_embedder import HashEmbedder

    import milvus_lite.server_manager  # noqa: F401  isort: skip  # imports are not counted

    started_s, started_cpu_s = time.perf_counter(), _cpu_s()
    embedder, splitter = HashEmbedder(), BlocksSplitter(BlocksSplitter.Options())
    client = MilvusClient(str(work / "bare.db"))
    schema = client.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=embedder.dim)
    schema.add_field("file_name", DataType.VARCHAR, max_length=255)
    schema.add_field("file_date", DataType.VARCHAR, max_length=255)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="IVF_FLAT", metric_type="L2", params={"nlist": 16})
    client.create_collection("bare", schema=schema, index_params=index)
    chunks = 0
    files = 0
    for path in sorted(folder.rglob("*.txt")):
        text = path.read_text(encoding="utf-8")
        blocks = [Block(BlockKind.PARAGRAPH, part) for part in text.split("\n\n")]
        parts = [chunk.text for chunk in splitter.split(Document(blocks, "text/plain"), "bare")]
        vectors = embedder.embed_documents(parts)
        rows = [
            {"vector": vector, "file_name": path.name, "file_date": "2026", "text": part}
            for part, vector in zip(parts, vectors, strict=True)
        ]
        client.insert("bare", rows)
        chunks += len(parts)
        files += 1
    return _result(files, chunks, started_s, started_cpu_s)


def ours(folder: Path, work: Path) -> dict[str, float]:
    """The whole product, its ledger durable."""
    import milvus_lite.server_manager  # noqa: F401  # imports are not counted
    import pymilvus  # noqa: F401

    from s3_to_milvus.bootstrap import build, configure_logging
    from s3_to_milvus.settings import load

    started_s, started_cpu_s = time.perf_counter(), _cpu_s()
    arguments = {"data_dir": work / "data", "embedder.kind": "hash", "log.level": "warning"}
    settings = load(arguments, environ={}, folder=work)
    configure_logging(settings.log)
    app = build(settings, [str(folder)])
    app.mirror.start()
    report = app.mirror.sync(app.sources[0])
    result = _result(report.added, report.chunks, started_s, started_cpu_s)
    app.stop()
    return result


def _result(files: int, chunks: int, started_s: float, started_cpu_s: float) -> dict[str, float]:
    cpu_s = _cpu_s() - started_cpu_s
    return {
        "files": files,
        "chunks": chunks,
        "wall_s": round(time.perf_counter() - started_s, 2),
        "cpu_s": round(cpu_s, 2),
        "files_per_cpu_s": round(files / cpu_s, 1),
        "peak_mb": round(_peak_mb(), 1),
    }


def measure(files: int = 1_000, rounds: int = 2) -> dict[str, dict[str, float]]:
    """Best of ``rounds`` for each side, and ``ratio``: ours divided by the floor, in documents per CPU-second."""
    best: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "docs")
        make_folder(folder, files, size_bytes=_SIZE_BYTES)
        for number in range(rounds):
            for side in ("bare_loop", "ours"):
                work = Path(name, f"{side}{number}")
                work.mkdir()
                command = [sys.executable, "-m", "bench.throughput", "--side", side, str(folder), str(work)]
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(answer.splitlines()[-1])
                if side not in best or found["files_per_cpu_s"] > best[side]["files_per_cpu_s"]:
                    best[side] = found
    return best


def main() -> None:
    """Print a table and the ratio."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    found = measure(files)
    names = list(found["ours"])
    print("| |", " | ".join(names), "|")
    print("| --- |", " | ".join("---" for _ in names), "|")
    for side, values in found.items():
        print(f"| {side} |", " | ".join(str(values[name]) for name in names), "|")
    ratio = found["ours"]["files_per_cpu_s"] / found["bare_loop"]["files_per_cpu_s"]
    print(f"\nRatio of documents per CPU-second, ours / bare loop: {ratio:.2f} (wanted: at least 0.8).")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run = {"bare_loop": bare_loop, "ours": ours}[sys.argv[2]]
        print(json.dumps(run(Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main()

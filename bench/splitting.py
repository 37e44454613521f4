"""Splitters: speed against LangChain alone, cost of a small file, memory of a large one, chunks changed by an edit."""

import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.tools import head, line, run_part
from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
from s3_to_milvus.adapters.splitters.recursive import RecursiveSplitter
from s3_to_milvus.domain.documents import Block, BlockKind, Chunk, Document
from s3_to_milvus.ports import Splitter

__all__ = ["main"]

_EDITS = 40
_HANGUL = "가나다라마바사아자차카타파하"
_CHARS = 2_000_000


def main() -> None:
    """Print a table."""
    head()
    letters = "abcdefghijklmnopqrstuvwxyz"
    small = [Block(BlockKind.PARAGRAPH, text) for text in _paper(random.Random(1), 4_096, 12, letters)]
    blocks = BlocksSplitter(BlocksSplitter.Options())
    cost = _best_s(lambda: _chunks(blocks, small), 100) * 1e3
    line(f"blocks: one text of 4 KB in {len(small)} paragraphs", cost, "ms CPU", 0.25)
    line("blocks: its chunks", len(_chunks(blocks, small)), "")
    _speed(blocks)
    peak = run_part("bench.splitting", "large")
    line("blocks: 500 MB as a stream, memory gained", peak["gained_mib"], "MiB", 10)
    _edits("blocks", blocks)
    for sizes in ((3_000, 300), (1_000, 100)):
        _edits(f"recursive {sizes[0]}/{sizes[1]}", _recursive(*sizes))


def _speed(blocks: BlocksSplitter) -> None:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    paper = _paper(random.Random(2), _CHARS)
    text = "\n\n".join(paper)
    megabytes = len(text.encode()) / 1e6
    plain = RecursiveCharacterTextSplitter(chunk_size=1_000, chunk_overlap=100)
    theirs = megabytes / _best_s(lambda: plain.split_text(text), 1)
    ours = megabytes / _best_s(lambda: _split(_recursive(1_000, 100), paper), 1)
    fast = megabytes / _best_s(lambda: _split(blocks, paper), 1)
    line("LangChain's recursive alone, 1000/100, Korean", theirs, "MB/CPU s")
    line("recursive, 1000/100, with headings and pages", ours, "MB/CPU s")
    line("blocks", fast, "MB/CPU s")
    line("blocks against LangChain alone", fast / theirs, "times")


def _edits(name: str, splitter: Splitter) -> None:
    """Insert one paragraph somewhere: how many chunks have a text that was not there before?"""
    paper = _paper(random.Random(4), 200_000)
    before = set(_split(splitter, paper))
    draw, changed = random.Random(5), []
    for _ in range(_EDITS):
        place = draw.randrange(len(paper))
        edited = [*paper[:place], "새로 넣은 문단이다. " * 6, *paper[place:]]
        changed.append([len(text) for text in _split(splitter, edited) if text not in before])
    name = f"{name}: of {len(before)} chunks, changed by an inserted paragraph"
    line(f"{name}, mean", statistics.mean(map(len, changed)), "")
    line(f"{name}, characters to embed again, mean", statistics.mean(map(sum, changed)), "")
    line(f"{name}, most", max(map(len, changed)), "")


def _split(splitter: Splitter, paper: Iterable[str]) -> list[str]:
    return [chunk.text for chunk in _chunks(splitter, (Block(BlockKind.PARAGRAPH, text) for text in paper))]


def _chunks(splitter: Splitter, blocks: Iterable[Block]) -> list[Chunk]:
    return list(splitter.split(Document(blocks, "text/plain"), ""))


def _recursive(size: int, overlap: int) -> RecursiveSplitter:
    return RecursiveSplitter(RecursiveSplitter.Options(chunk_size=size, chunk_overlap=overlap))


def _best_s(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


def _paper(draw: random.Random, size: int, mean_words: int = 40, letters: str = _HANGUL) -> list[str]:
    words = ["".join(draw.choices(letters, k=draw.randint(1, 4))) for _ in range(3_000)]
    paper: list[str] = []
    while size > 0:
        count = max(2, round(draw.expovariate(1 / mean_words)))
        sentences = [" ".join(draw.choices(words, k=min(10, count - at))) + "이다." for at in range(0, count, 10)]
        paper.append(" ".join(sentences)[:size])
        size -= len(paper[-1]) + 2
    return paper


def _large() -> dict[str, Any]:
    splitter = BlocksSplitter(BlocksSplitter.Options())
    text = "정부는 오늘 새로운 정책을 발표했다. And the harbour office counted the ships. "

    def blocks(count: int) -> Iterator[Block]:
        for number in range(count):
            yield Block(BlockKind.PARAGRAPH, f"{number} {text * 10}")

    _drain(splitter, blocks(100))
    before = _peak_mib()
    _drain(splitter, blocks(500_000_000 // len((text * 10).encode())))
    return {"gained_mib": _peak_mib() - before}


def _drain(splitter: Splitter, blocks: Iterator[Block]) -> None:
    for _ in splitter.split(Document(blocks, "text/plain"), ""):
        pass


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        print(json.dumps(_large()))
    else:
        main()

"""Folders of made-up documents for benchmarks; the same seed gives the same files."""

import random
from pathlib import Path

__all__ = ["make_folder", "make_text"]

_WORDS = [
    "storage",
    "bucket",
    "object",
    "version",
    "vector",
    "search",
    "index",
    "collection",
    "document",
    "chunk",
    "upload",
    "change",
    "delete",
    "event",
    "queue",
    "ledger",
    "commit",
    "lease",
    "worker",
    "scan",
    "문서",
    "검색",
    "규정",
    "휴가",
    "신청",
    "승인",
    "보고서",
    "회의",
    "자료",
    "계약",
    "고객",
    "매출",
    "분기",
    "예산",
    "개발",
    "운영",
]


def make_text(random_: random.Random, size_bytes: int = 4_096) -> str:
    """Paragraphs of a few hundred characters, about ``size_bytes`` of UTF-8 in all."""
    paragraphs: list[str] = []
    size = 0
    while size < size_bytes:
        sentences = [
            " ".join(random_.choice(_WORDS) for _ in range(random_.randint(6, 14))) + "."
            for _ in range(random_.randint(3, 6))
        ]
        paragraph = " ".join(sentences)
        size += len(paragraph.encode()) + 2
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def make_folder(folder: Path, files: int, *, folders: int = 1, size_bytes: int = 4_096, seed: int = 7) -> None:
    """``files`` text files spread over ``folders`` sub folders."""
    random_ = random.Random(seed)
    for number in range(files):
        path = folder / f"folder{number % folders:02d}" / f"file{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make_text(random_, size_bytes), encoding="utf-8")

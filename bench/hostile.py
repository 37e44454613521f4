"""A thousand hostile files through the parsers in their child processes: every one ends well, and in time.

Files made to hurt (`bench.bombs`) and damaged copies of good files (`bench.mutations`), with a fixed seed, two at a
time, with short limits: 10 s and 1,024 MB for a child. A file must end in a document or in one of our errors; after a
crash or a timeout a good file must be read at once. Attachments are read, and of scans the first two pages.
``python -m bench.hostile WORD`` takes only the files whose name has the word; ``-v`` behind it lists crashes, too.
"""

import contextlib
import gc
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import psutil

from bench.bombs import BOMBS
from bench.references import CORPUS
from bench.tools import head, line
from bench.whole import parser_kinds
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.bootstrap.chosen import Chosen
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.errors import ParserCrashed, ParserTimeout, PermanentError, S3ToMilvusError, UnsupportedFormat
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.settings import load
from tests.support.mutations import mutated

__all__ = ["main"]

_SEED = 20_261_125
_COUNT = 1_000
_WARM = 100
_TIMEOUT_S, _MEMORY_MB, _GRACE_S = 10.0, 1_024, 5.0
_GOOD = b"<html><body><p>The harbour office counts the ships.</p></body></html>"
_MIB = 1 << 20


@dataclass
class _Tally:
    """What happened, guarded by a lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    outcomes: Counter[str] = field(default_factory=Counter)
    defects: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    jobs: list[tuple[float, str]] = field(default_factory=list)
    bombs: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    good: int = 0
    sizes: list[int] = field(default_factory=list)


class _Peak(threading.Thread):
    """Looks at the children's memory twenty times in a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.done.wait(0.05):
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    self.peak_bytes = max(self.peak_bytes, child.memory_info().rss)


def main(word: str = "") -> int:
    """Print a table, then what the parsers did not foresee; 1 where a promise was broken."""
    if not CORPUS.is_dir():
        print(f"Not measured: there is no corpus in {CORPUS} (set S2M_TEST_CORPUS).")
        return 1
    tally, peak = _Tally(), _Peak()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {"parsing.timeout_s": _TIMEOUT_S, "parsing.memory_mb": _MEMORY_MB, "parser.kind": parser_kinds()}
        settings = load({"data_dir": folder / "data", **given}, environ={}, folder=folder)
        making = get_context("spawn").Process(target=_make, args=(folder, word))  # its memory is not the service's
        making.start()
        making.join()
        chosen = Chosen(settings)
        parsers = chosen.parsers()
        peak.start()
        count = _feed(parsers, folder, tally, word)
        peak.done.set()
        left = [path for path in (folder / "data").rglob("*") if path.is_file()]
        chosen.close()
        left += (folder / "data" / "parsing").iterdir()
    _print(tally, peak.peak_bytes / _MIB, len(left), time.monotonic() - began, count)
    return 1 if tally.broken else 0


def _make(folder: Path, word: str) -> None:
    """Every file made to hurt whose name has the word."""
    for number, (what, (name, make)) in enumerate(BOMBS.items()):
        if word in what:
            make(folder / f"bomb{number}-{name}")


def _feed(parsers: Sequence[Parser], folder: Path, tally: _Tally, word: str) -> int:
    """Every input, two at a time; the memory of the service is noted on the way."""
    me = psutil.Process()
    inputs = _inputs(folder, word)
    count = 0
    with ThreadPoolExecutor(2) as threads:
        while batch := list(islice(inputs, 20)):
            list(threads.map(lambda each: _one(parsers, each[0], each[1], tally), batch))
            count += len(batch)
            gc.collect()
            tally.sizes.append(me.memory_info().rss)
    return count


def _inputs(folder: Path, word: str) -> Iterator[tuple[str, Path]]:
    """What each input is, and its file; made when it is asked for."""
    chance = random.Random(_SEED)
    good = [path for path in sorted(CORPUS.iterdir()) if path.suffix != ".tsv" and path.stat().st_size]
    plan: list[str | int] = [*BOMBS, *range(_COUNT - len(BOMBS))]
    chance.shuffle(plan)
    for number, what in enumerate(plan):
        if isinstance(what, str):
            if word in what:
                yield what, folder / f"bomb{[*BOMBS].index(what)}-{BOMBS[what][0]}"
            continue
        own = random.Random(_SEED + what)
        source = good[what % len(good)]
        data, how = mutated(source.read_bytes(), own)
        path = folder / f"{number}-{source.name}"
        if word in source.name:
            path.write_bytes(data)
            yield f"{source.name} ({how}, {what})", path


def _one(parsers: Sequence[Parser], what: str, path: Path, tally: _Tally) -> None:
    """One input, its outcome and its time; then a good file, if it was bad enough."""
    began = time.monotonic()
    error: S3ToMilvusError | None = None
    try:
        outcome = "document" if _read(parsers, path, what, tally) else "empty"
    except S3ToMilvusError as exc:
        error, outcome = exc, exc.code
    except Exception as exc:  # noqa: BLE001 - the promise that is measured: nothing but our errors
        outcome = f"broken: {type(exc).__name__}"
        tally.broken.append(f"{what}: {exc!r}"[:300])
    took = time.monotonic() - began
    with tally.lock:
        tally.outcomes[outcome] += 1
        if what in BOMBS:
            tally.bombs.append(f"{what}: {outcome} after {took:.1f} s")
        if isinstance(error, ParserCrashed | ParserTimeout):
            tally.ends.append(f"{what}: {error.message}"[:220])
        if isinstance(error, ParserCrashed) and error.message.startswith("The parser failed"):
            tally.defects[what] = f"{error.message[:150]} | {_place(error)}"
    path.unlink()
    if isinstance(error, ParserCrashed | ParserTimeout):
        _good(parsers, what, tally)


def _place(error: S3ToMilvusError) -> str:
    """The last line of our own code in the traceback of a child."""
    lines = [text.strip() for note in getattr(error, "__notes__", ()) for text in note.splitlines()]
    ours = [text for text in lines if "s3_to_milvus" in text and "isolated" not in text]
    return ours[-1].partition("s3_to_milvus")[2] if ours else ""


def _good(parsers: Sequence[Parser], after: str, tally: _Tally) -> None:
    source = ParserInput("text/html", "good.html", len(_GOOD), data=_GOOD)
    try:
        (block,) = _job(parsers, source, "a good file", tally).blocks
        is_well = block.text == "The harbour office counts the ships."
    except S3ToMilvusError:
        is_well = False
    with tally.lock:
        tally.good += is_well
        if not is_well:
            tally.broken.append(f"a good file after {after}")


def _read(parsers: Sequence[Parser], path: Path, what: str, tally: _Tally) -> bool:
    """The document, the first two pages that are pictures, and what is attached; whether there was any text."""
    size = path.stat().st_size
    media_type = sniff(None, path, path.name)
    data = path.read_bytes() if size <= _MIB else None
    source = ParserInput(media_type, path.name, size, data=data, path=None if data is not None else path)
    document = _job(parsers, source, what, tally)
    is_text = _drained(document)
    for page in document.unread_pages[:2]:
        reader = [each for each in parsers if media_type in each.page_media_types]
        with contextlib.suppress(PermanentError):
            is_text |= _drained(_job(reader, replace(source, pages=(page,)), what, tally))
    for attachment in islice(document.attachments, 20):
        with contextlib.suppress(PermanentError):
            if attachment.error is not None:
                raise attachment.error
            kind = sniff(attachment.data, attachment.path, attachment.name)
            inner = ParserInput(kind, attachment.name, 0, attachment.data, attachment.path)
            is_text |= _drained(_job(parsers, inner, what, tally))
    return is_text


def _job(parsers: Sequence[Parser], source: ParserInput, what: str, tally: _Tally) -> Document:
    """One document by one parser, and how long it took."""
    is_page = source.pages is not None
    parser = next((each for each in parsers if is_page or source.media_type in each.media_types), None)
    if parser is None:
        raise UnsupportedFormat(source.media_type)
    began = time.monotonic()
    try:
        return parser.parse(source)
    finally:
        took = time.monotonic() - began
        with tally.lock:
            tally.jobs.append((took, what))
            if took > _TIMEOUT_S + _GRACE_S:
                tally.broken.append(f"{what}: {took:.1f} s")


def _drained(document: Document) -> bool:
    return sum(any(char.isalnum() for char in block.text) or bool(block.rows) for block in document.blocks) > 0


def _print(tally: _Tally, peak_mb: float, left: int, took_s: float, count: int) -> None:
    head()
    line("hostile files", count, "files")
    for outcome, times in tally.outcomes.most_common():
        line(f"ended as `{outcome}`", times, "files")
    line("ended otherwise, or too late, or spoilt the next file", len(tally.broken), "files", 0)
    line("good files read after a crash or a timeout", tally.good, "files")
    slowest, what = max(tally.jobs)
    line(f"slowest job ({what})", slowest, "s", _TIMEOUT_S + _GRACE_S)
    line("largest memory of a child", peak_mb, "MB", _MEMORY_MB)
    warm = tally.sizes[min(_WARM // 20, len(tally.sizes)) - 1]
    line(f"growth of the service after {_WARM} files", (tally.sizes[-1] - warm) / _MIB, "MB", 50)
    line("files left in the scratch folder", left, "files", 0)
    line("whole run", took_s, "s", 600)
    for title, lines in (
        ("Not foreseen by a parser", [f"{what}: {why}" for what, why in sorted(tally.defects.items())]),
        ("Broken promises", tally.broken),
        ("Files made to hurt", sorted(tally.bombs) if "-v" in sys.argv else []),
        ("Crashes and timeouts", sorted(tally.ends) if "-v" in sys.argv else []),
    ):
        if lines:
            print(f"\n{title}:\n\n" + "\n".join(f"- {each}" for each in lines))


if __name__ == "__main__":
    sys.exit(main(*[each for each in sys.argv[1:2] if each != "-v"]))

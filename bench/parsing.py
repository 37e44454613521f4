"""What parsing costs: small texts, PDFs and Word files of many pages, small PDFs in a warm child, 500 MB of text."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.parsers.office import OfficeParser
from s3_to_milvus.adapters.parsers.pdf import PdfParser
from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.ports import Parser, ParserInput
from tests.support.large_files import make_document

__all__ = ["main"]

_PAGE = [
    f"The quick brown fox number {line} jumps over the lazy dog, and the harbour office counts it."
    for line in range(45)
]


def main() -> None:
    """Print a table."""
    print("| what | figure |")
    print("| --- | --- |")
    _small_texts()
    _pdfs()
    _word()
    _large_text()


def _line(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def _best_ms(work: Callable[[], object], count: int) -> float:
    """CPU milliseconds of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - began) / count * 1e3)
    return best


def _small_texts() -> None:
    parser = TextParser()
    for name, paragraph in (
        ("Korean", "정부는 오늘 새로운 정책을 발표했다. 국민의 의견을 듣겠다고 밝혔다. " * 4),
        ("English", "The harbour office counts the ships every morning and writes it down. " * 6),
    ):
        data = (f"{paragraph}\n\n" * 20).encode()[:4096].rsplit(b"\n", 1)[0]

        def work(data: bytes = data) -> int:
            media_type = sniff(data, None, "a.txt")
            return len(list(parser.parse(ParserInput(media_type, "a.txt", len(data), data=data)).blocks))

        _line(f"{name} text of 4 KB, detected and parsed", f"{_best_ms(work, 400):.3f} ms CPU")


def _pdfs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.pdf"), Path(folder, "large.pdf")
        small.write_bytes(_make_pdf(2))
        large.write_bytes(_make_pdf(400))
        bare = _best_ms(lambda: _bare_pdfium(large), 1)
        ours = _best_ms(lambda: list(PdfParser().parse(_input(large)).blocks), 1)
        _line("PDF of 400 pages, bare PDFium text", f"{bare:.0f} ms CPU")
        _line("PDF of 400 pages, ours", f"{ours:.0f} ms CPU, ratio {ours / bare:.2f} (wanted: at most 3)")
        _in_children(small, Path(folder))


def _word() -> None:
    """A Word file of about 872 pages: 40 paragraphs on each."""
    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    with tempfile.TemporaryDirectory() as folder:
        path = make_document(Path(folder, "large.docx"), 872 * 40)
        source = ParserInput(media_type, path.name, path.stat().st_size, path=path)
        count = len(list(OfficeParser().parse(source).blocks))
        spent_s = _best_ms(lambda: list(OfficeParser().parse(source).blocks), 1) / 1e3
        _line("Word file of 872 pages", f"{spent_s:.2f} s CPU, {count:,} blocks (wanted: at most 0.5)")


def _in_children(small: Path, folder: Path) -> None:
    pool = ParsingPool(ParsingPool.Options(workers=1), folder)
    parser: Parser = pool.wrap(
        f"{PdfParser.__module__}:{PdfParser.__name__}",
        kind=PdfParser.kind,
        fingerprint=PdfParser.fingerprint,
        media_types=PdfParser.media_types,
        preload=PdfParser.preload,
    )
    try:
        began = time.monotonic()
        parser.check()
        _line("first child ready", f"{(time.monotonic() - began) * 1e3:.0f} ms wall")
        inside = _best_ms(lambda: list(PdfParser().parse(_input(small)).blocks), 40)
        began, began_cpu = time.monotonic(), time.process_time()
        for _ in range(200):
            list(parser.parse(_input(small)).blocks)
        wall, cpu = (time.monotonic() - began) * 5, (time.process_time() - began_cpu) * 5
        _line(
            "PDF of 2 pages in a warm child",
            f"{wall:.1f} ms wall ({inside:.1f} ms of it parsing), {cpu:.2f} ms CPU in the service",
        )
        sizes = [child.memory_info().rss >> 20 for child in psutil.Process().children(recursive=True)]
        _line("memory of fork server, child", f"{', '.join(map(str, sizes))} MiB RSS")
    finally:
        began = time.monotonic()
        pool.close()
        _line("closing the pool", f"{(time.monotonic() - began) * 1e3:.0f} ms wall")


def _large_text() -> None:
    """In a process of its own, so that its peak memory is its own."""
    run = subprocess.run([sys.executable, "-m", "bench.parsing", "large"], capture_output=True, text=True, check=True)
    print(run.stdout, end="", flush=True)


def _stream_large_text() -> None:
    unit = ("정부는 오늘 새로운 정책을 발표했다. And the harbour office counted 4711 ships.\n" * 8 + "\n").encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.txt")
        with path.open("wb") as file:
            for _ in range(500_000_000 // (len(unit) * 100)):
                file.write(unit * 100)
        list(TextParser().parse(ParserInput("text/plain", "a.txt", 3, data=b"a b")).blocks)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        for media_type in ("text/plain", "text/markdown"):
            began = time.process_time()
            source = ParserInput(media_type, "a.txt", path.stat().st_size, path=path)
            count = sum(1 for _ in TextParser().parse(source).blocks)
            seconds = time.process_time() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            speed = path.stat().st_size / 1e6 / seconds
            _line(
                f"{media_type} of 500 MB as a stream",
                f"{seconds:.1f} s CPU, {speed:.0f} MB/s, {count} blocks, peak {peak} MiB ({before} MiB before)",
            )


def _input(path: Path) -> ParserInput:
    return ParserInput("application/pdf", path.name, path.stat().st_size, path=path)


def _bare_pdfium(path: Path) -> int:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    total = 0
    for page in document:
        text_page = page.get_textpage()
        total += len(text_page.get_text_range())
        text_page.close()
        page.close()
    document.close()
    return total


def _make_pdf(pages: int) -> bytes:
    from tests.support.pdfs import make_pdf

    return make_pdf([[f"Page {number}.", *_PAGE] for number in range(1, pages + 1)])


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        _stream_large_text()
    else:
        main()

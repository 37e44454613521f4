"""Run in the environment of one converter: paths come in, a line of JSON for each file goes out.

Needs nothing but the converter. A file is read a second time where that is quick, so that its CPU time is that of a
warm process; the peak memory is the whole process's.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["main"]

_QUICK_S = 5.0
_Text = tuple[str, list[str]]


def main(name: str) -> None:
    """Answer until there are no more paths."""
    convert = _CONVERTERS[name]()
    print(json.dumps({"ready": name}), flush=True)
    for path in map(str.strip, sys.stdin):
        began = time.process_time()
        answer: dict[str, Any] = {"error": "", "text": "", "cells": []}
        try:
            answer["text"], answer["cells"] = convert(path)
            if time.process_time() - began < _QUICK_S:
                began = time.process_time()
                convert(path)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is what the user gets
            answer["error"] = f"{type(exc).__name__}: {str(exc).strip()[:60]}"
        answer["cpu_s"] = time.process_time() - began
        answer["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


def _markdown_cells(text: str) -> list[str]:
    """The cells of tables in Markdown, and of those that were left HTML."""
    cells = []
    for row in re.findall(r"^\s*\|(.*)\|\s*$", text, re.MULTILINE):
        cells += [cell.replace("\\|", "|").replace("<br>", " ").strip() for cell in re.split(r"(?<!\\)\|", row)]
    return cells + [re.sub(r"<[^>]+>", " ", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", text, re.DOTALL)]


def _ours() -> Callable[[str], _Text]:
    from pathlib import Path

    from bench.whole import our_parsers, read_whole

    parsers = our_parsers()

    def convert(path: str) -> _Text:
        whole = read_whole(parsers, Path(path))
        return whole.text, list(whole.cells)

    return convert


def _markitdown() -> Callable[[str], _Text]:
    from markitdown import MarkItDown  # type: ignore[import-not-found, unused-ignore]

    converter = MarkItDown()

    def convert(path: str) -> _Text:
        text = converter.convert(path).text_content
        return text, _markdown_cells(text)

    return convert


def _kreuzberg() -> Callable[[str], _Text]:
    import kreuzberg  # type: ignore[import-not-found, unused-ignore]

    config = kreuzberg.ExtractionConfig(
        output_format="markdown",
        use_cache=False,
        ocr=kreuzberg.OcrConfig(backend="tesseract", language="kor+eng"),
    )

    def convert(path: str) -> _Text:
        found = kreuzberg.extract_file_sync(path, config=config)
        tables = [cell for table in found.tables for row in table.cells for cell in row]
        return found.content, tables or _markdown_cells(found.content)

    return convert


_CONVERTERS: dict[str, Callable[[], Callable[[str], _Text]]] = {
    "s3-to-milvus": _ours,
    "markitdown": _markitdown,
    "kreuzberg": _kreuzberg,
}

if __name__ == "__main__":
    main(sys.argv[1])

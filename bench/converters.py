"""Our parsers beside other open-source converters, on the same files, through the same driver.

Each converter in a process of its own, warm, with 60 s for a file (`scripts/compare-converters` makes their
environments). A file is read if any text came out; files with a password or without text are left out. Recall and cells
as in `bench.recall`: the mean of the files that have an independent reference, a file that is not read counting as 0.
CPU and memory include the reading of pictures where a converter does that.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.references import CORPUS, Reference, cells_found, family_of, recall, reference_of, tokens
from bench.tools import ROOT

__all__ = ["main"]

_HOME = ROOT / ".tools" / "converters"
_OURS = "s3-to-milvus"
_OTHERS = ("markitdown", "kreuzberg")
_LIMIT_S = 60.0
_START_S = 120.0
_NO_TEXT = {"txt_empty.txt", "img_flower_notext.jpg", "img_24.bmp", "bin_random.bin", "hwp_table.hwp"}


@dataclass(frozen=True, slots=True)
class _Result:
    """What a converter made of a file; recall and cells are None where there is no reference for them."""

    path: Path
    is_read: bool
    error: str
    cpu_s: float
    recall: float | None
    cells: float | None
    as_cells: float | None


def main() -> int:
    """Print two tables and the failures; 1 where there is no corpus."""
    if not CORPUS.is_dir():
        print(f"Not measured: there is no corpus in {CORPUS} (set S2M_TEST_CORPUS).")
        return 1
    paths = [path for path in sorted(CORPUS.iterdir()) if _is_wanted(path)]
    references = {path: reference_of(path) for path in paths}
    found: dict[str, list[_Result]] = {}
    peaks: dict[str, float] = {}
    for name in (_OURS, *_OTHERS):
        if python := _python(name):
            found[name], peaks[name] = _measured(name, python, references)
    _print_whole(found, peaks)
    _print_families(found)
    for name in _OTHERS:
        if name not in found:
            print(f"\n{name} was not measured: its environment is missing (run `scripts/compare-converters`).")
    for name, results in found.items():
        failed = [f"{each.path.name} ({each.error or 'no text'})" for each in results if not each.is_read]
        print(f"\nNot read by {name}: {'; '.join(failed) or 'none'}")
    return 0


def _is_wanted(path: Path) -> bool:
    return family_of(path) != "none" and "password" not in path.name and path.name not in _NO_TEXT


def _python(name: str) -> Path | None:
    python = Path(sys.executable) if name == _OURS else _HOME / name / "bin" / "python"
    return python if python.exists() else None


def _measured(name: str, python: Path, references: dict[Path, Reference | None]) -> tuple[list[_Result], float]:
    """Every file, and the peak memory in MB; a process that hangs or dies is replaced."""
    results: list[_Result] = []
    peak_mb = 0.0
    driver: _Driver | None = None
    for path, reference in references.items():
        driver = driver or _Driver(name, python)
        answer = driver.ask(path)
        if answer is None:
            driver.close()
            driver = None
            answer = {"error": f"hung for {_LIMIT_S:.0f} s or died", "text": "", "cells": [], "cpu_s": _LIMIT_S}
        peak_mb = max(peak_mb, answer.get("peak_mb", 0.0))
        results.append(_judged(path, reference, answer))
    if driver:
        driver.close()
    return results, peak_mb


class _Driver:
    """One process of a converter."""

    def __init__(self, name: str, python: Path) -> None:
        script = str(ROOT / "bench" / "_convert.py")
        command = [str(python), "-m", "bench._convert", name] if name == _OURS else [str(python), script, name]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self._next(_START_S) is None:
            raise RuntimeError(f"{name} did not start")

    def ask(self, path: Path) -> dict[str, Any] | None:
        """The answer for a file; None where there is none in time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return self._next(2 * _LIMIT_S)  # it is read twice

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        for text in self._process.stdout or ():
            if text.startswith("{"):
                self._lines.put(text)
        self._lines.put("")

    def _next(self, seconds: float) -> dict[str, Any] | None:
        try:
            text = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found


def _judged(path: Path, reference: Reference | None, answer: dict[str, Any]) -> _Result:
    text, cells = answer["text"], answer["cells"]
    present: float | None = None
    kept: float | None = None
    if reference and reference.cells:
        present, kept = cells_found(reference.cells, text + "\n" + "\n".join(cells), cells)
    share = recall(reference.text, text) if reference else None
    is_read = bool(tokens(text))
    return _Result(path, is_read, answer["error"], answer["cpu_s"], share, present, kept)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else ""


def _print_whole(found: dict[str, list[_Result]], peaks: dict[str, float]) -> None:
    print("| converter | files read | recall | cells present | as cells | CPU s, no images | CPU s, images | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, results in found.items():
        texts = sum(each.cpu_s for each in results if family_of(each.path) != "images")
        images = sum(each.cpu_s for each in results) - texts
        shares = [_mean([getattr(each, what) for each in results]) for what in ("recall", "cells", "as_cells")]
        read = f"{sum(each.is_read for each in results)} of {len(results)}"
        print(f"| {name} | {read} | {' | '.join(shares)} | {texts:.2f} | {images:.2f} | {peaks[name]:.0f} |")


def _print_families(found: dict[str, list[_Result]]) -> None:
    """Files read, and recall and cells as cells, of each family of formats."""
    print(f"\nRead, recall, cells as cells:\n\n| family | {' | '.join(found)} |\n| --- |{' --- |' * len(found)}")
    families = dict.fromkeys(family_of(each.path) for results in found.values() for each in results)
    for family in families:
        texts = []
        for results in found.values():
            own = [each for each in results if family_of(each.path) == family]
            shares = [_mean([each.recall for each in own]), _mean([each.as_cells for each in own])]
            texts.append(", ".join(filter(None, [f"{sum(each.is_read for each in own)} of {len(own)}", *shares])))
        print(f"| {family} | {' | '.join(texts)} |")


if __name__ == "__main__":
    sys.exit(main())

"""What comes out of real files, against texts read by independent ways: the share of words, and of table cells.

Words in one form (NFKC, folded, cut where no letter or digit stands), each as often as it stands in the reference. A
cell is present where its words stand together in the text or in a table, and kept as a cell where a cell of a table
holds just them. Wanted is a recall of 0.95 for Office, HWP and PDF files with text, each file by itself. Large files
made on the spot (`tests.support.large_files`) stand at the end.
"""

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.references import CORPUS, cells_found, family_of, recall, reference_of, tokens
from bench.whole import our_parsers, read_whole
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.ports import Parser
from tests.support.large_files import make_large

__all__ = ["main"]

_WANTED = 0.95
_MEASURED = ("office", "HWP", "PDF")


def main() -> int:
    """Print a table; 1 where there is no corpus."""
    if not CORPUS.is_dir():
        print(f"Not measured: there is no corpus in {CORPUS} (set S2M_TEST_CORPUS).")
        return 1
    print("| file | words | recall | cells | present | as cells | wanted ≥ 0.95 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    parsers = our_parsers()
    sums: dict[str, list[float]] = defaultdict(list)
    for path in sorted(CORPUS.iterdir(), key=lambda path: (family_of(path), path.name)):
        if family_of(path) != "none":
            _file(parsers, path, sums)
    with tempfile.TemporaryDirectory() as folder:
        for path in make_large(Path(folder)):
            _file(parsers, path, defaultdict(list))
    for family, shares in sums.items():
        print(f"| **mean of {family}, {len(shares)} files** | | {sum(shares) / len(shares):.3f} | | | | |")
    return 0


def _file(parsers: Sequence[Parser], path: Path, sums: dict[str, list[float]]) -> None:
    """The row of one file."""
    reference = reference_of(path)
    try:
        whole = read_whole(parsers, path)
    except S3ToMilvusError as error:
        why = "no independent reference" if reference is None else f"{len(tokens(reference.text)):,} words, **lost**"
        print(f"| {path.name} | {why} | {error.code} | | | | |", flush=True)
        if reference is not None:
            sums[family_of(path)].append(0.0)
        return
    if reference is None:
        print(f"| {path.name} | no independent reference | {len(tokens(whole.text)):,} words | | | | |", flush=True)
        return
    share = recall(reference.text, whole.text)
    sums[family_of(path)].append(share)
    cells = "| | |"
    if reference.cells:
        present, kept = cells_found(reference.cells, whole.text, whole.cells)
        cells = f"| {len(reference.cells)} | {present:.3f} | {kept:.3f}"
    verdict = "" if family_of(path) not in _MEASURED else "met" if share >= _WANTED else "**missed**"
    print(f"| {path.name} | {len(tokens(reference.text)):,} | {share:.3f} {cells} | {verdict} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())

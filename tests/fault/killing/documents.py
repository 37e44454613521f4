"""The folder whose files change between the kills, and what each version of each must look like in a search."""

import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
from s3_to_milvus.ports import ParserInput

__all__ = ["SPLITTER", "Documents", "texts_of"]

SPLITTER = {"max_chars": 200, "min_chars": 60}
_PLACES = ("인사", "", "sales/2026", "인사/깊은 폴더")
_ENDINGS = (".txt", ".md", ".txt", "")
_UNREADABLE = b"PK\x03\x04 no archive at all"
_MAX_FILES = 24


@cache
def texts_of(key: str, data: bytes | None) -> tuple[str, ...]:
    """The texts of the rows that these bytes make, in order of the alphabet; none for a file that is not there."""
    if not data or data == _UNREADABLE:
        return ()
    name = key.rpartition("/")[2]
    source = ParserInput(sniff(data, None, name), name, len(data), data)
    splitter = BlocksSplitter(BlocksSplitter.Options(**SPLITTER))
    return tuple(sorted(chunk.text for chunk in splitter.split(TextParser().parse(source), "any")))


class Documents:
    """Creates, changes, renames and deletes files, and remembers every version that there was."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._random = random.Random(seed)
        self._history: dict[str, list[bytes | None]] = {}
        self._shown: dict[str, int] = {}
        self._number = 0
        folder.mkdir()

    @property
    def now(self) -> dict[str, bytes]:
        """What lies in the folder."""
        return {key: data for key, states in self._history.items() if (data := states[-1]) is not None}

    @property
    def refused(self) -> list[str]:
        """Files that no parser reads."""
        return sorted(key for key, data in self.now.items() if data == _UNREADABLE)

    def change(self, count: int) -> None:
        """Do ``count`` things to the folder; there is always a new version and, mostly, a deletion among them."""
        for turn in range(count):
            keys = sorted(self.now)
            kind = ("change", "delete", "create")[turn] if turn < 3 else self._random.choice(("create", "rename"))
            if len(keys) < 6 or kind == "create":
                self._write(self._new_key(), self._content())
            elif kind == "delete" or len(keys) > _MAX_FILES:
                self._delete(self._random.choice(keys))
            elif kind == "rename":
                old, new = self._random.choice(keys), self._new_key()
                self._write(new, self.now[old])
                self._delete(old)
            else:
                key = self._random.choice(keys)
                self._write(key, self._edited(self.now[key]))

    def judge(self, shown: dict[str, list[str]]) -> list[str]:
        """What is wrong with what a search shows: each file must be one whole version, never an older than before."""
        wrong = [f"{key!r}: was never there" for key in shown.keys() - self._history.keys()]
        for key, states in self._history.items():
            texts = tuple(sorted(shown.get(key, ())))
            start = self._shown.get(key, 0)
            place = next((n for n in range(start, len(states)) if texts_of(key, states[n]) == texts), None)
            if place is None:
                wrong.append(f"{key!r}: {len(texts)} rows are no version from {start} to {len(states) - 1}: {texts}")
            else:
                self._shown[key] = place
        return wrong

    def compare(self, rows: Iterable[tuple[str, str]]) -> list[str]:
        """What is wrong with (key, text) of all rows when nothing is left to do."""
        found: dict[str, list[str]] = {}
        for key, text in rows:
            found.setdefault(key, []).append(text)
        wanted = {key: texts for key, data in self.now.items() if (texts := texts_of(key, data))}
        return [
            f"{key!r}: {sorted(found.get(key, ()))}, not {wanted.get(key, ())}"
            for key in found.keys() | wanted.keys()
            if tuple(sorted(found.get(key, ()))) != wanted.get(key, ())
        ]

    def _write(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._history.setdefault(key, [None]).append(data)

    def _delete(self, key: str) -> None:
        (self.folder / key).unlink()
        self._history[key].append(None)

    def _new_key(self) -> str:
        place = self._random.choice(_PLACES)
        known = [key for key, states in self._history.items() if states[-1] is None]
        if known and self._random.random() < 0.4:
            return self._random.choice(known)  # a name that was there before
        return "/".join(filter(None, (place, f"문서 {self._random.randrange(10**6)}{self._random.choice(_ENDINGS)}")))

    def _content(self) -> bytes:
        if (kind := self._random.random()) < 0.12:
            return b"" if kind < 0.06 else _UNREADABLE
        return "\n\n".join(self._paragraph() for _ in range(self._random.randrange(1, 7))).encode()

    def _edited(self, data: bytes) -> bytes:
        """A paragraph more, less or other, mostly; the others stay as they are."""
        parts = data.decode().split("\n\n")
        if data == _UNREADABLE or len(parts) < 2:
            return self._content()
        parts[self._random.randrange(len(parts))] = self._paragraph()
        return "\n\n".join(parts[: self._random.randrange(1, len(parts) + 1)]).encode()

    def _paragraph(self) -> str:
        self._number += 1
        words = " ".join(self._random.choice(("문서", "규정", "report", "휴가", "budget")) for _ in range(14))
        heading = "# " if self._number % 5 == 0 else ""
        return f"{heading}단락 {self._number} {words}."

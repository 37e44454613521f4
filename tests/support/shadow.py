"""What a power cut leaves of a folder: of each file and folder, the state in which it was last synced.

It stands in the place of `os.fsync`. Strict: a name that was not synced does not exist, data that was not is not there
(the file is empty). With a ``chance``, what was not synced may have come to the disk as well: a name, the beginning of
what was added to a file, or zeros in its place. A name removed without a sync comes back in both.
"""

import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Shadow"]


class Shadow:
    """Of the folder ``root``; what lies in it at the beginning is on the disk.

    Each file and folder that was ever seen stays open, so that no other one gets its inode.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._handles: dict[int, int] = {}
        self._data: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self.on_sync: Callable[[], None] = lambda: None
        self._top = self._see(root)
        for path in [root, *sorted(root.rglob("*"))]:
            self._note(path)

    @contextmanager
    def recording(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """While this holds, `os.fsync` says what is on the disk; ``on_sync`` is called before each."""
        with patch.context() as own:
            own.setattr(os, "fsync", self.fsync)
            yield

    def fsync(self, handle: int) -> None:
        """As that of `os`."""
        path = Path(f"/proc/self/fd/{handle}")
        if path.readlink().is_relative_to(self.root):
            with self._lock:
                self.on_sync()
                self._note(path)

    def close(self) -> None:
        """Let go of all files."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def cut(self, target: Path, chance: random.Random | None = None) -> Path:
        """Write into ``target`` what a power cut leaves now."""
        with self._lock:
            self._write(self._top, target, chance)
        return target

    def _see(self, path: Path) -> int:
        handle = os.open(path, os.O_PATH)
        inode = os.fstat(handle).st_ino
        if inode in self._handles:
            os.close(handle)
        else:
            self._handles[inode] = handle
        return inode

    def _note(self, path: Path) -> None:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            self._names[self._see(path)] = self._found(path)
        elif stat.S_ISREG(mode):
            self._data[self._see(path)] = path.read_bytes()

    def _found(self, folder: Path) -> dict[str, int]:
        return {each.name: self._see(each) for each in folder.iterdir() if not each.is_socket()}

    def _now(self, inode: int) -> Path:
        return Path(f"/proc/self/fd/{self._handles[inode]}")

    def _write(self, inode: int, target: Path, chance: random.Random | None) -> None:
        now = self._now(inode)
        if not now.is_dir():
            target.write_bytes(self._data_of(inode, chance))
            return
        target.mkdir()
        for name, each in self._names_of(inode, chance).items():
            self._write(each, target / name, chance)

    def _names_of(self, inode: int, chance: random.Random | None) -> dict[str, int]:
        names = dict(self._names.get(inode, {}))
        if chance is None:
            return names
        found = self._found(self._now(inode))
        for name in sorted(names.keys() | found.keys()):
            if chance.random() < 0.5:
                names.pop(name, None)
                if name in found:
                    names[name] = found[name]
        return names

    def _data_of(self, inode: int, chance: random.Random | None) -> bytes:
        data = self._data.get(inode, b"")
        if chance is None:
            return data
        now = self._now(inode).read_bytes()
        if not now.startswith(data):
            return chance.choice([data, now])
        added = now[len(data) : len(data) + chance.randint(0, len(now) - len(data))]
        return data + chance.choice([added, bytes(len(added)), b""])

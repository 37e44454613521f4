"""A folder as object store: bucket = a root folder, key = path below it with ``/``.

The etag is what the file system knows of a file (times, inode, size), so an unchanged folder is listed and compared
without opening a file. POSIX only: every step below the root is opened relative to the one above it and never through
a symbolic link, so nobody who may write into the folder can make us read outside of it.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Never

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.folder_names import DEFAULT_IGNORE, components, name_rule
from s3_to_milvus.domain.objects import ListedObject, ObjectRef, ObjectVersion
from s3_to_milvus.errors import Superseded, Unauthorized, Unavailable, UnreadableDocument
from s3_to_milvus.ports import UNCHANGED, Unchanged

__all__ = ["FolderContent", "FolderStore"]

_CANNOT_BE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_GONE = {errno.ENOENT, errno.ENOTDIR}
_DENIED = {errno.EACCES, errno.EPERM}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TICK_NS = 20_000_000  # kernels stamp times in steps of 1 to 10 ms; within one step two writes may look like one
_COARSE_TICK_NS = 2_100_000_000  # file systems without fractions of a second: steps of 1 s, FAT 2 s
_MAX_SETTLING = 50
_CHUNK_BYTES = 1 << 20


class FolderStore:
    """Files below the given roots. Only regular files; names that match ``ignore`` are not there, nor what lies below.

    A symbolic link to a file is followed when it ends inside its root; links to folders are not followed.
    Raises `Unavailable` when a root is gone (also: unmounted), so that this never looks like a removal.
    """

    kind = "folder"

    class Options(BaseModel):
        """``ignore``: shell patterns for the names of files and folders to leave out."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        ignore: tuple[str, ...] = DEFAULT_IGNORE

    def __init__(
        self,
        options: Options,
        roots: Mapping[str, Path],
        *,
        sleep: Callable[[float], None] = time.sleep,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._roots = {bucket: os.path.abspath(root) for bucket, root in roots.items()}  # noqa: PTH100 - links stay links
        self._is_ignored = name_rule(options.ignore)
        self._sleep = sleep
        self._now_ns = now_ns
        self._devices: dict[str, int] = {}
        for root in self._roots.values():
            with contextlib.suppress(OSError):
                self._devices[root] = Path(root).stat().st_dev

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> "FolderContent | Unchanged | None":
        """See `ObjectStore.get`. A file that this user may not read raises `UnreadableDocument`."""
        root = self._root(ref.bucket)
        parts = components(ref.key)
        with _folder(self._open_root(root)) as root_fd:
            if parts is None or any(map(self._is_ignored, parts)):
                return None
            try:
                found = self._get(root, root_fd, parts, unless)
            except OSError as error:
                if error.errno not in _CANNOT_BE:
                    _refuse(error, ref.key)
                found = None
            if found is None:
                self._expect_mounted(root, root_fd)
            return found

    def _get(
        self, root: str, root_fd: int, parts: Sequence[str], unless: ObjectVersion | None
    ) -> "FolderContent | Unchanged | None":
        with _folder(_descend(root_fd, parts[:-1])) as parent_fd:
            facts = os.stat(parts[-1], dir_fd=parent_fd, follow_symlinks=False)
            if not stat.S_ISLNK(facts.st_mode):
                return self._open(parent_fd, f"{root}/{'/'.join(parts)}", facts, unless)
        target = _target(root, f"{root}/{'/'.join(parts)}")
        if target is None:
            return None
        with _folder(_descend(root_fd, target[:-1])) as parent_fd:
            facts = os.stat(target[-1], dir_fd=parent_fd, follow_symlinks=False)
            return self._open(parent_fd, f"{root}/{'/'.join(target)}", facts, unless)

    def _open(
        self, parent_fd: int, path: str, facts: os.stat_result, unless: ObjectVersion | None
    ) -> "FolderContent | Unchanged | None":
        if not stat.S_ISREG(facts.st_mode):
            return None
        if unless is not None and _version(facts).is_same_as(unless):
            return UNCHANGED
        return self._content(os.open(path.rpartition("/")[2], _FILE, dir_fd=parent_fd), path, unless)

    def _content(self, fd: int, path: str, unless: ObjectVersion | None) -> "FolderContent | Unchanged | None":
        """The open file, after its time stamp is old enough to show every later change; closes ``fd`` otherwise."""
        try:
            facts = self._settled(fd, path)
        except BaseException:
            os.close(fd)
            raise
        version = _version(facts)
        if stat.S_ISREG(facts.st_mode) and not version.is_same_as(unless):
            return FolderContent(fd, path, version)
        os.close(fd)
        return UNCHANGED if stat.S_ISREG(facts.st_mode) else None

    def _settled(self, fd: int, path: str) -> os.stat_result:
        """What the file is, once a write from now on must get another time stamp than it has.

        A wait that begins after the stamp was read is enough whatever clock the file system stamps by; the local
        clock only tells when none is needed. https://www.kernel.org/doc/html/latest/filesystems/multigrain-ts.html
        """
        facts = os.fstat(fd)
        for _ in range(_MAX_SETTLING):
            now_ns = self._now_ns()
            youngest_ns = max(facts.st_ctime_ns, facts.st_mtime_ns if facts.st_mtime_ns <= now_ns else 0)
            tick_ns = _TICK_NS if facts.st_ctime_ns % 1_000_000_000 else _COARSE_TICK_NS
            age_ns = now_ns - youngest_ns
            if age_ns >= tick_ns:
                return facts
            self._sleep((tick_ns - max(age_ns, 0)) / 1e9)
            seen, facts = facts, os.fstat(fd)
            if _version(seen) == _version(facts):
                return facts
        raise Superseded(f"{path!r} is being written to all the time")

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`. One folder that can't be read ends the listing with `Unauthorized`."""
        root = self._root(bucket)
        with _folder(self._open_root(root)) as root_fd:  # held open: its inode can't be given to another folder
            is_empty = True
            for listed in self._walk(root, prefix):
                is_empty = False
                yield listed
            with _folder(self._open_root(root)) as fd_now:
                if not os.path.samestat(os.fstat(root_fd), os.fstat(fd_now)):
                    raise Unavailable(f"the folder {root!r} was replaced while it was being listed")
            if is_empty:
                self._expect_mounted(root, root_fd)

    def _walk(self, root: str, prefix: str) -> Iterator[ListedObject]:
        above, slash, start = prefix.rpartition("/")
        parts = components(above) if slash else []
        if parts is None or any(map(self._is_ignored, parts)) or not _is_real(root, parts):
            return
        stack = [self._lines(root, above + slash, start)]
        while stack:
            for line in stack[-1]:
                if isinstance(line, ListedObject):
                    yield line
                else:
                    stack.append(self._lines(root, line))
                    break
            else:
                stack.pop()

    def _lines(self, root: str, base: str, start: str = "") -> Iterator[ListedObject | str]:
        """What lies in the folder ``base`` ("" or ends in a slash), in key order: files as listed, folders as base."""
        for raw in self._names(f"{root}/{base}", start):
            key = base + os.fsdecode(raw)
            if key.endswith("/"):
                yield key
            elif (facts := _facts(root, f"{root}/{key}")) is not None:
                yield ListedObject(key, _etag(facts), facts.st_size, facts.st_mtime)

    def _names(self, path: str, start: str) -> Sequence[bytes]:
        """Names in a folder, those of folders with a slash, in the order of keys. Bytes: there may be a million."""
        names = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(start) and not self._is_ignored(name):
                        slash = b"/" if entry.is_dir(follow_symlinks=False) else b""
                        names.append(os.fsencode(name) + slash)
        except OSError as error:
            if error.errno not in _GONE:  # gone meanwhile is no error here: `list` looks at the root again
                _refuse_listing(error, path)
        names.sort()
        return names

    def check(self, bucket: str) -> str:
        """See `ObjectStore.check`."""
        root = self._root(bucket)
        listed = next(self.list(bucket), None)
        if listed is None:
            return f"{root}: readable, no documents in it yet"
        try:
            content = self.get(ObjectRef(bucket, listed.key))
        except UnreadableDocument as error:
            raise Unauthorized(error.message, hint=error.hint) from error
        if isinstance(content, FolderContent):
            content.close()
        return f"{root}: listing and reading work"

    def _root(self, bucket: str) -> str:
        try:
            return self._roots[bucket]
        except KeyError:
            raise Unavailable(f"no folder is set up as bucket {bucket!r}") from None

    def _open_root(self, root: str) -> int:
        try:
            fd = os.open(root, _FOLDER)
        except OSError as error:
            if error.errno not in _CANNOT_BE:
                _refuse_listing(error, root)
            message = f"the folder {root!r} is not there: {error.strerror}"
            raise Unavailable(message, hint="Mount or create it, or correct the source.") from error
        self._devices.setdefault(root, os.fstat(fd).st_dev)
        return fd

    def _expect_mounted(self, root: str, root_fd: int) -> None:
        """Raise `Unavailable` for an empty folder on another device than before: a mount point without its disk."""
        if os.fstat(root_fd).st_dev != self._devices[root] and not os.listdir(root):  # noqa: PTH208 - names only
            raise Unavailable(f"{root!r} is empty and on another file system than before", hint="Is its disk mounted?")


class FolderContent:
    """An open file, bound to the version it had when it was opened. See `Content`."""

    __slots__ = ("_fd", "_path", "_unread", "version")

    def __init__(self, fd: int, path: str, version: ObjectVersion) -> None:
        self.version = version
        self._fd: int | None = fd
        self._path = path
        self._unread = version.size_bytes

    def read(self, size: int = -1) -> bytes:
        """See `Content.read`: the last bytes are handed out only if the file still is what it was."""
        if self._fd is None:
            raise ValueError("read of closed content")
        wanted = self._unread if size < 0 else min(size, self._unread)
        pieces = []
        try:
            while wanted:
                piece = os.read(self._fd, min(wanted, _CHUNK_BYTES) if size < 0 else wanted)
                if not piece:
                    raise Superseded(f"{self._path!r} was cut short while it was being read")
                pieces.append(piece)
                wanted -= len(piece)
                self._unread -= len(piece)
            if not self._unread:
                self._verify(self._fd)
        except OSError as error:
            raise Unavailable(f"{self._path!r} can't be read: {error.strerror}") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _verify(self, fd: int) -> None:
        try:
            named = _version(os.stat(self._path, follow_symlinks=False))  # noqa: PTH116 - one call, no object
        except FileNotFoundError:
            named = None
        if not (_version(os.fstat(fd)) == named == self.version):
            raise Superseded(f"{self._path!r} changed while it was being read")

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        """A content that nobody closed does not leak its file."""
        if getattr(self, "_fd", None) is not None:
            self.close()


@contextlib.contextmanager
def _folder(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _descend(root_fd: int, parts: Sequence[str]) -> int:
    """An open folder below the root; no step goes through a symbolic link."""
    fd = os.dup(root_fd)
    for part in parts:
        try:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _target(root: str, path: str) -> list[str] | None:
    """Where a symbolic link really ends, as components below the root; None outside of it or for a loop."""
    real_root, real = os.path.realpath(root).rstrip("/"), os.path.realpath(path)
    return components(real[len(real_root) + 1 :]) if real.startswith(f"{real_root}/") else None


def _is_real(root: str, parts: Sequence[str]) -> bool:
    """True when no folder on the way is a symbolic link (one that is not there is none)."""
    return os.path.realpath("/".join((root, *parts))) == "/".join((os.path.realpath(root), *parts))


def _facts(root: str, path: str) -> os.stat_result | None:
    """What a regular file is; None for everything else and for what vanished meanwhile."""
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            target = _target(root, path)
            if target is None:
                return None
            facts = os.lstat("/".join((root, *target)))
    except OSError as error:
        if error.errno in _GONE:
            return None
        _refuse_listing(error, path)
    return facts if stat.S_ISREG(facts.st_mode) else None


def _etag(facts: os.stat_result) -> str:
    return f"{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}-{facts.st_ino:x}-{facts.st_size:x}"


def _version(facts: os.stat_result) -> ObjectVersion:
    return ObjectVersion(_etag(facts), facts.st_size, None, facts.st_mtime)


def _refuse(error: OSError, key: str) -> Never:
    if error.errno in _DENIED:
        hint = "Give the user that runs s3-to-milvus the right to read this file."
        raise UnreadableDocument(f"{key!r} can't be read: {error.strerror}", hint=hint) from error
    raise Unavailable(f"{key!r} can't be opened: {error.strerror}") from error


def _refuse_listing(error: OSError, path: str) -> Never:
    if error.errno in _DENIED:
        hint = "Give the user that runs s3-to-milvus the right to read this folder, or ignore it by name."
        raise Unauthorized(f"the folder {path!r} can't be listed: {error.strerror}", hint=hint) from error
    raise Unavailable(f"the folder {path!r} can't be listed: {error.strerror}") from error

"""The data folder is its owner's alone: 0700, and 0600 for the files in it.

It holds the text of every document, the list of all keys, and the token of the service.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from s3_to_milvus.engine.observe import log

__all__ = ["keep_private", "tighten"]

_OTHERS = 0o007
_GROUP_AND_OTHERS = 0o077
_ACL = "system.posix_acl_access"
# What stands in a data folder. Where other things do, too, its own mode is not ours to change.
_FOLDERS = frozenset({"models", "parsing", "scratch"})
_FILES = ("ledger.db", "milvus.db", "owner.lock", "door.token")
_SYSTEM = frozenset({"lost+found"})


def keep_private(data_dir: Path) -> None:
    """From now on all files that this process makes are its user's alone; make the data folder, if it is not there.

    The mask is the process's: it holds for files elsewhere, too, for threads and for child processes. Raises OSError.
    """
    os.umask(os.umask(_GROUP_AND_OTHERS) | _GROUP_AND_OTHERS)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def tighten(data_dir: Path) -> None:
    """Take from group and others what an earlier version, or somebody, left them; say so where there was anything.

    Never follows a link out of the folder. With an access control list the group keeps what that list grants. What
    belongs to another user is left as it is, with a warning. To be called by who holds the folder.
    """
    folder = data_dir.resolve()
    mode = folder.stat()
    if mode.st_uid != os.geteuid():
        if mode.st_mode & _excess(str(folder)):
            log.warning(
                "data_folder.open",
                path=str(folder),
                owner=mode.st_uid,
                hint="It belongs to another user, so its mode is left as it is: make it 0700, or give it to this user.",
            )
        return
    ours = [path for path in folder.iterdir() if path.name in _FOLDERS or path.name.startswith(_FILES)]
    foreign = {path.name for path in folder.iterdir()} - {path.name for path in ours} - _SYSTEM
    if foreign and mode.st_mode & _excess(str(folder)):
        log.warning(
            "data_folder.open",
            path=str(folder),
            beside=sorted(foreign)[:5],
            hint="Other things lie in it, so its own mode is left as it is: choose a folder of its own (S2M_DATA_DIR).",
        )
    elif _narrow(str(folder)):
        log.warning("data_folder.tightened", path=str(folder))
    count = sum(_narrow(path) for top in ours for path in _below(top))
    if count:
        log.warning("data_folder.files_tightened", path=str(folder), count=count)


def _below(top: Path) -> Iterator[str]:
    """It and everything in it."""
    yield str(top)
    if top.is_dir() and not top.is_symlink():
        for place, folders, files in os.walk(top):
            yield from (os.path.join(place, each) for each in (*folders, *files))  # noqa: PTH118 - many of them


def _narrow(path: str) -> bool:
    """Whether something was taken from its mode. Files with several names are left: one may lie elsewhere."""
    try:
        found = os.lstat(path)
        is_folder = stat.S_ISDIR(found.st_mode)
        if not is_folder and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
            return False
        if found.st_uid != os.geteuid() or not found.st_mode & _GROUP_AND_OTHERS:
            return False
        excess = _excess(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if not mode & excess:
                return False
            os.fchmod(descriptor, mode & ~excess)
            return True
        finally:
            os.close(descriptor)
    except OSError:  # gone meanwhile, or a file system without modes
        return False


def _excess(path: str) -> int:
    """What is too much in a mode. Where a list of access stands beside it, the group's part is that list's mask."""
    if hasattr(os, "getxattr"):
        try:
            os.getxattr(path, _ACL, follow_symlinks=False)
            return _OTHERS
        except OSError:
            pass
    return _GROUP_AND_OTHERS

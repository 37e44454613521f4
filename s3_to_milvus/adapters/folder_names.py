"""Which files of a folder are documents: one rule for the folder store and for the folder watch."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable

__all__ = ["DEFAULT_IGNORE", "components", "name_rule"]

DEFAULT_IGNORE: tuple[str, ...] = (
    ".*",
    "~$*",
    "*~",
    "*.tmp",
    "*.part",
    "*.crdownload",
    "*.swp",
    "Thumbs.db",
    "desktop.ini",
    "lost+found",
)
"""Shell patterns for names of files and folders that are never documents: hidden, temporary, locks, half downloads."""


def name_rule(patterns: Iterable[str]) -> Callable[[str], object]:
    """A function that is true for names (one path component, never a path) that match any of the shell patterns."""
    joined = "|".join(fnmatch.translate(pattern) for pattern in patterns)
    return re.compile(joined or r"(?!)").match


def components(key: str) -> list[str] | None:
    """The path components of a key; None when no file below a root can have this key.

    A root holds no key that is empty, absolute, climbs (``..``), repeats or ends in a slash, or that no file system
    can spell (NUL, lone surrogates).
    """
    try:
        os.fsencode(key)
    except UnicodeEncodeError:
        return None
    parts = key.split("/")
    if "\0" in key or any(part in {"", ".", ".."} for part in parts):
        return None
    return parts

"""Lines that chats are told of finished jobs, read back."""

import re
from collections.abc import Iterable

__all__ = ["jobs_told"]

_LINE = re.compile(r"(\w+): bucket/(.*) \(replace, 1\.\d s, #(\d+)\) 3 chunks")


def jobs_told(texts: Iterable[str]) -> list[tuple[int, str, str]]:
    """Number, key and outcome of each job that the contract of journals writes."""
    found = [_LINE.fullmatch(line) for text in texts for line in text.split("\n")]
    return [(int(each[3]), _as_given(each[2]), each[1]) for each in found if each]


def _as_given(name: str) -> str:
    name = re.sub(r"\\u(d[89a-f]..)", lambda found: chr(int(found[1], 16)), name)
    return name.replace("\\n", "\n")

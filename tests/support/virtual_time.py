"""An event loop whose time passes only while everybody waits, and at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["in_virtual_time"]

_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now_s += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def in_virtual_time(work: Coroutine[Any, Any, _T]) -> tuple[_T, float]:
    """What the work gives, and how many seconds it took it to believe."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        found = runner.run(work)
        return found, runner.get_loop().time()

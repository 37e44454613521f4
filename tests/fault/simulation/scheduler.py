"""Runs several actors of ordinary blocking code in one thread, and decides at every outside call who goes on.

Each actor is a greenlet. A port wrapped in `Stepped` pauses before and after each call; there the seeded scheduler may
let another actor run, move the clock, or crash the actor.
"""

import random
from collections.abc import Callable
from typing import Any

import greenlet

__all__ = ["Crash", "Scheduler", "Stepped"]


class Crash(BaseException):
    """The process of an actor is killed: nothing catches this."""


class Scheduler:
    """Owns the actors. ``trace`` lists every pause, so that two runs of one seed can be compared."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trace: list[tuple[str, str]] = []
        self._last: dict[str, str] = {}
        self._hub = greenlet.getcurrent()
        self._actors: dict[str, greenlet.greenlet] = {}

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Make (or, after a crash, make anew) the actor of this name."""
        self._actors[name] = greenlet.greenlet(body, parent=self._hub)
        self._last[name] = ""

    def names(self) -> list[str]:
        """All actors."""
        return list(self._actors)

    def is_alive(self, name: str) -> bool:
        """False once the actor's body has returned or crashed."""
        return not self._actors[name].dead

    def trace_of(self, name: str) -> str:
        """Where an actor stands: the label of its last pause, empty before its first."""
        return self._last.get(name, "")

    def run(self, name: str) -> None:
        """Let an actor go on to its next pause."""
        self._actors[name].switch()

    def crash(self, name: str) -> None:
        """Kill an actor where it stands."""
        actor = self._actors[name]
        if actor:
            try:
                actor.throw(Crash())
            except Crash:
                return

    def pause(self, label: str) -> None:
        """Called inside an actor: let the scheduler decide. Outside of one it does nothing."""
        current = greenlet.getcurrent()
        if current is self._hub:
            return
        name = next(each for each, actor in self._actors.items() if actor is current)
        self.trace.append((name, label))
        self._last[name] = label
        self._hub.switch()


class Stepped:
    """A port whose every call pauses before and after; ``fault`` may make it fail, before or after it is applied."""

    def __init__(
        self,
        inner: Any,
        pause: Callable[[str], None],
        calls: frozenset[str],
        fault: Callable[[str], None] = lambda label: None,
    ) -> None:
        self._inner = inner
        self._pause = pause
        self._calls = calls
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._calls:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._pause(f"before {name}")
            self._fault(f"before {name}")
            answer = found(*args, **kwargs)
            self._pause(f"after {name}")
            self._fault(f"after {name}")
            return answer

        setattr(self, name, call)
        return call

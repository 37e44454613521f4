"""``python -m tests.fault.simulation FIRST LAST [loss]``: run these seeds; print each that fails, and a summary."""

import sys
import time
from collections.abc import Callable

import structlog

from tests.fault.simulation.world import Chances, World

__all__ = ["main", "play"]


def play(seed: int, loss: float = 0.0, mutate: Callable[[World], None] = lambda world: None) -> World:
    """One schedule. Without lost events no scan is needed; with them one scan must heal everything."""
    world = World(seed, Chances.of(seed, loss), mutate=mutate)
    world.run()
    world.calm_down()
    if loss:
        world.scan()
        world.calm_down()
    return world


def main(arguments: list[str]) -> int:
    """Exit code 1 when a seed failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    first, last = int(arguments[0]), int(arguments[1])
    loss = float(arguments[2]) if len(arguments) > 2 else 0.0
    started, crashes, failed = time.monotonic(), 0, 0
    for seed in range(first, last):
        world = play(seed, loss)
        crashes += world.crashes
        if problems := world.problems():
            failed += 1
            print(f"seed {seed}: {'; '.join(problems[:3])}")
    spent_s = time.monotonic() - started
    print(f"{last - first} schedules, {crashes} crashes, {failed} failed, {(last - first) / spent_s:.0f}/s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

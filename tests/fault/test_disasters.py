"""The real engine while its stores are lost, put back or cut off: it ends equal, and nobody asks for a check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from s3_to_milvus.testing.fakes.vector_store import StoreCopy
from tests.fault.simulation.disasters import DisasterWorld, endure
from tests.fault.simulation.lossy_mutants import LOSSY_MUTANTS, delete_by_id, read_by_id
from tests.fault.simulation.world import Chances

ROOT = Path(__file__).parents[2]
SCHEDULES = int(os.environ.get("S2M_TEST_DISASTERS", "2000"))


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def _run(first: int, last: int) -> None:
    command = [sys.executable, "-m", "tests.fault.simulation.disasters", str(first), str(last)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=7_000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


@pytest.mark.parametrize("part", range(4))
@pytest.mark.timeout(1_600)
def test_lost_and_older_stores_and_power_cuts_end_equal(part):
    size = SCHEDULES // 4
    _run(part * size, (part + 1) * size)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("part", range(2))
def test_twenty_thousand_schedules_with_disasters_end_equal(part):
    _run(100_000 + part * 10_000, 110_000 + part * 10_000)


@pytest.mark.parametrize("name", LOSSY_MUTANTS)
def test_every_planted_defect_is_found(name):
    for seed in range(400, 2_400):  # the rarest is found at 421
        try:
            problems = endure(seed, LOSSY_MUTANTS[name]).problems()
        except Exception as error:  # noqa: BLE001 - a defect may also end in an exception: found
            problems = [repr(error)]
        if problems:
            return
    pytest.fail(f"{name!r} was not found in 2,000 schedules")


def test_a_seed_reproduces_its_story():
    first, second = endure(11), endure(11)
    assert first.scheduler.trace == second.scheduler.trace
    assert first.disasters == second.disasters
    assert first.present() == second.present()


def _after_a_loss(mutate=lambda world: None) -> DisasterWorld:
    """The rows of old objects are lost, and new objects get their ids; nothing has compared the stores yet."""
    world = DisasterWorld(0, Chances(), mutate=mutate)
    _put(world, "old")
    world.vectors.put_back(StoreCopy())
    world.disasters.append("vectors lost")
    for host in world.hosts:
        world.scheduler.crash(host)
    world.start()
    _put(world, "new")
    return world


def _put(world: DisasterWorld, name: str) -> None:
    for number in range(3):
        world.store.put("bucket", f"{name}{number}", f"{name} words {number}".encode())
        world.notify(f"{name}{number}")
    _work(world)


def _removed_after_a_loss(mutate=lambda world: None) -> DisasterWorld:
    world = _after_a_loss(mutate)
    for number in range(3):
        world.remove(f"old{number}")
    _work(world)
    return world


def _looked_at_after_a_loss(mutate=lambda world: None) -> DisasterWorld:
    world = _after_a_loss(mutate)
    world.calm_down()
    return world


def _work(world: DisasterWorld) -> None:
    while world.queue:
        world.deliver()
    world.drain()


def test_what_is_removed_after_a_loss_takes_nobody_elses_rows_with_it():
    assert _removed_after_a_loss().differences() == []


def test_deleting_by_id_alone_would():
    assert _removed_after_a_loss(delete_by_id).differences() != []


def test_lost_rows_are_missed_although_others_have_their_ids():
    assert _looked_at_after_a_loss().problems() == []


def test_reading_back_by_id_alone_would_find_them():
    assert _looked_at_after_a_loss(read_by_id).problems() != []

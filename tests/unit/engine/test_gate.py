"""The byte gate: bounds what is held, and lets a single large one pass."""

import threading

from s3_to_milvus.engine.gate import ByteGate
from tests.support.patience import SOON_S


def test_bytes_fit_or_must_wait():
    gate = ByteGate(10)
    assert gate.try_take(6)
    assert not gate.try_take(5)
    assert gate.try_take(4)
    gate.give(10)
    assert gate.try_take(10)


def test_more_than_the_gate_passes_only_when_nobody_else_holds_any():
    gate = ByteGate(10)
    assert gate.try_take(99)
    assert not gate.try_take(1)
    gate.give(99)
    assert gate.try_take(1)
    assert not gate.try_take(99)


def test_who_waits_goes_on_when_bytes_come_back():
    gate = ByteGate(10)
    gate.take(8)
    passed = threading.Event()

    def wait() -> None:
        gate.take(5)
        passed.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not passed.wait(0.05)
    gate.give(8)
    assert passed.wait(SOON_S)
    thread.join()

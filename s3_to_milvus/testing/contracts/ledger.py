"""What every ledger must do. Written against the port alone: any store of rows can stand behind it."""
# ruff: noqa: D102 - a test's name is its docstring

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Claim, SettleState
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger_deaths import LedgerDeathsContract
from s3_to_milvus.testing.contracts.ledger_doors import LedgerDoorsContract
from s3_to_milvus.testing.contracts.ledger_memory import LedgerMemoryContract
from s3_to_milvus.testing.contracts.ledger_queue import LedgerQueueContract
from s3_to_milvus.testing.contracts.ledger_shelves import LedgerShelvesContract
from s3_to_milvus.testing.contracts.ledger_tools import LEASE_S, RECHECK_S, A, Desk, T
from s3_to_milvus.testing.contracts.ledger_truth import LedgerTruthContract
from s3_to_milvus.testing.contracts.ledger_walk import Walk

__all__ = ["LedgerContract"]


class LedgerContract(
    LedgerQueueContract,
    LedgerDeathsContract,
    LedgerMemoryContract,
    LedgerShelvesContract,
    LedgerDoorsContract,
    LedgerTruthContract,
):
    """Inherit it and provide the fixtures ``ledger`` (empty, closed afterwards) and, if durable, ``reopen``."""

    @pytest.mark.parametrize("seed", range(12))
    def test_it_behaves_as_the_ledger_in_memory(self, ledger: Ledger, seed: int) -> None:
        Walk(ledger, seed).run(150)

    def test_every_object_has_one_runner_whatever_threads_do(self, ledger: Ledger) -> None:
        refs = [ObjectRef("docs", str(number)) for number in range(20)]
        held: set[ObjectRef] = set()
        guard = threading.Lock()
        stop = threading.Event()
        seen: set[ObjectRef] = set()

        def work(name: str) -> int:
            done = 0
            while not stop.is_set() or ledger.next_due() is not None:
                claims = ledger.claim(name, 3, T, LEASE_S)
                with guard:
                    assert not held & {claim.ref for claim in claims}
                    held.update(claim.ref for claim in claims)
                seen.update(claim.ref for claim in claims)
                with guard:
                    held.difference_update(claim.ref for claim in claims)
                done += ledger.settle(claims, T, RECHECK_S).count(SettleState.DONE)
            return done

        with ThreadPoolExecutor(6) as pool:
            workers = [pool.submit(work, f"w{number}") for number in range(3)]
            writers = [pool.submit(_observe_all, ledger, refs) for _ in range(3)]
            for writer in writers:
                writer.result()
            stop.set()
            assert sum(worker.result() for worker in workers) >= len(refs)
        assert seen == set(refs)
        assert ledger.next_due() is None

    def test_a_request_that_fails_fails_nobody_else(self, ledger: Ledger) -> None:
        ledger.add_collection(CollectionSpec("docs", "docs", 8, "hash"))
        start = threading.Barrier(16)

        def request(number: int) -> bool:
            start.wait()
            if number % 2:
                with pytest.raises(SchemaMismatch):
                    ledger.add_collection(CollectionSpec("docs", f"other {number}", 8, "hash"))
            else:
                ledger.observe([ObjectRef("docs", str(number))], Lane.LIVE, T)
            return True

        with ThreadPoolExecutor(16) as pool:
            for _ in range(5):
                assert all(pool.map(request, range(16)))
        assert ledger.counts().waiting == 8
        assert len(ledger.collections()) == 1

    def test_two_workers_never_get_the_same_claim(self, ledger: Ledger) -> None:
        ledger.observe([ObjectRef("docs", str(number)) for number in range(60)], Lane.LIVE, T)
        with ThreadPoolExecutor(4) as pool:
            taken: list[list[Claim]] = list(pool.map(lambda name: ledger.claim(name, 10, T, LEASE_S), "abcdefgh"))
        refs = [claim.ref for claims in taken for claim in claims]
        runs = {claim.run for claims in taken for claim in claims}
        assert len(refs) == len(set(refs)) == len(runs) == 60

    def test_a_round_of_work_ends_quietly(self, ledger: Ledger) -> None:
        desk = Desk(ledger)
        record = desk.index(A)
        assert [each.record for each in ledger.objects()] == [record]
        assert ledger.next_due() is None


def _observe_all(ledger: Ledger, refs: list[ObjectRef]) -> None:
    for ref in refs:
        ledger.observe([ref], Lane.LIVE, T)

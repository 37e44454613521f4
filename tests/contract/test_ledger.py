"""The ledger in memory and the ledger on SQLite keep the same contract."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger import LedgerContract
from s3_to_milvus.testing.fakes.ledger import MemoryLedger


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger()


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "데이터" / "ledger.db"

    @pytest.fixture
    def ledger(self, path: Path) -> Iterator[Ledger]:
        ledger = SqliteLedger(SqliteLedger.Options(), path)
        yield ledger
        ledger.close()

    @pytest.fixture
    def reopen(self, ledger: Ledger, path: Path) -> Iterator[Callable[[], Ledger]]:
        opened: list[Ledger] = []

        def again() -> Ledger:
            ledger.close()
            opened.append(SqliteLedger(SqliteLedger.Options(), path))
            return opened[-1]

        yield again
        for each in opened:
            each.close()

"""Group commit: who shares a transaction, and who fails when one of them does."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from s3_to_milvus.adapters.ledger.sqlite.health import FileHealth
from s3_to_milvus.adapters.ledger.sqlite.writer import Transaction, Writer
from s3_to_milvus.errors import FatalError, S3ToMilvusError

Request = Callable[[Transaction], int]


class Group:
    """Makes sure that requests are handed over together: the writer is kept busy until all of them wait."""

    def __init__(self, path: Path) -> None:
        self.path = path
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("CREATE TABLE counters (what, name, n, PRIMARY KEY (what, name))")
        self.writer = Writer(connection, FileHealth(path))

    def run(self, *requests: Request) -> list[int | BaseException | None]:
        is_busy, go = threading.Event(), threading.Event()

        def keep_busy(_: Transaction) -> None:
            is_busy.set()
            go.wait(30)

        with ThreadPoolExecutor(len(requests) + 1) as pool:
            pool.submit(self.writer.run, keep_busy)
            is_busy.wait(30)
            answers: list[Future[int]] = []
            for request in requests:
                waiting = self.writer._requests.qsize()
                answers.append(pool.submit(self.writer.run, request))
                while self.writer._requests.qsize() == waiting:
                    pass
            go.set()
            return [each.exception() or each.result() for each in answers]

    def rows(self) -> list[int]:
        connection = sqlite3.connect(self.path)
        try:
            return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]
        finally:
            connection.close()

    def counted(self) -> int:
        found: int = self.writer.run(lambda txn: txn.execute("SELECT coalesce(sum(n), 0) FROM counters").fetchone()[0])
        return found


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path / "db")
    yield group
    group.writer.close()


def _insert(value: int) -> Request:
    def request(txn: Transaction) -> int:
        txn.execute("INSERT INTO t VALUES (?)", (value,))
        txn.count("rows", "t", 1)
        return value

    return request


def _insert_and(then: Callable[[Transaction], object]) -> Request:
    def request(txn: Transaction) -> int:
        _insert(999)(txn)
        then(txn)
        return 999

    return request


def _raise(error: BaseException) -> Callable[[Transaction], object]:
    def then(_: Transaction) -> object:
        raise error

    return then


def test_what_waits_together_is_written_together(group: Group) -> None:
    transactions: list[int] = []

    def request(txn: Transaction) -> int:
        transactions.append(id(txn))
        return _insert(1)(txn)

    assert group.run(request, request, request) == [1, 1, 1]
    assert len(set(transactions)) == 1
    assert group.rows() == [1, 1, 1]


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_one_that_fails_leaves_nothing_and_its_neighbours_alone(group: Group, error: BaseException) -> None:
    answers = group.run(_insert(1), _insert_and(_raise(error)), _insert(2))
    assert answers == [1, error, 2]
    assert group.rows() == [1, 2]
    assert group.counted() == 2


def test_sqlite_errors_of_one_are_translated_for_it_alone(group: Group) -> None:
    first, failed, last = group.run(_insert(1), _insert_and(lambda txn: txn.execute("INSERT INTO missing")), _insert(2))
    assert (first, last) == (1, 2)
    assert isinstance(failed, FatalError)
    assert group.rows() == [1, 2]


def test_where_sqlite_undoes_everything_nobody_is_told_that_it_is_done(group: Group) -> None:
    def undo(txn: Transaction) -> None:
        txn.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    answers = group.run(_insert(1), _insert_and(undo), _insert(2))
    assert all(isinstance(answer, S3ToMilvusError) for answer in answers)
    assert group.rows() == []
    assert group.run(_insert(3)) == [3]
    assert group.counted() == 1


def test_one_alone_that_fails_leaves_nothing(group: Group) -> None:
    with pytest.raises(ValueError, match="ours"):
        group.writer.run(_insert_and(_raise(ValueError("ours"))))
    assert group.rows() == []
    assert group.writer.run(_insert(1)) == 1
    assert group.counted() == 1

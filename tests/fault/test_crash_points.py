"""A crash before and after every port call of create, replace and delete: the next process heals it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.parts import EngineConfig, Parts
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.engine.search import Searcher
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.testing.contracts.vector_store import all_rows
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.splitter import FakeSplitter
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.fault.points import Countdown, Watched
from tests.fault.simulation.scheduler import Crash

BUCKET = "bucket"
KEYS = ("one.txt", "폴더/둘.txt")
OLD = {"one.txt": b"alpha\n\nbeta", "폴더/둘.txt": "가나다\n\n라마바\n\n사아자".encode()}
NEW = {"one.txt": b"alpha\n\ngamma\n\ndelta", "폴더/둘.txt": "가나다\n\n하하하".encode()}


@dataclass
class Backend:
    """A ledger and a vector store that outlive a crash."""

    ledger: Any
    vectors: Any


@pytest.fixture(params=["memory", "sqlite and milvus lite"])
def make_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Backend]]:
    made: list[Backend] = []
    shared: list[Any] = []

    def make() -> Backend:
        if request.param == "memory":
            return Backend(MemoryLedger(), MemoryVectorStore())
        folder: Path = tmp_path_factory.mktemp("crash")
        if not shared:
            shared.append(MilvusVectorStore(MilvusVectorStore.Options(), folder / "milvus.db"))
        vectors = shared[0]
        for name in vectors.collections():
            vectors.drop(name)
        made.append(Backend(SqliteLedger(SqliteLedger.Options(), folder / "ledger.db"), vectors))
        return made[-1]

    yield make
    for backend in made:
        backend.ledger.close()
    for vectors in shared:
        vectors.close()


class Machine:
    """One process after another over the same backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = MemoryObjectStore([BUCKET])
        self.clock = FakeClock()

    def parts(self, countdown: Countdown) -> Parts:
        def watched(port: Any) -> Any:
            return Watched(port, countdown)

        return Parts(
            stores={BUCKET: watched(self.store)},
            parsers=[watched(FakeParser())],
            sniff=lambda data, path, name: "text/plain",
            describe=str,
            splitter=FakeSplitter(),
            embedder=watched(FakeEmbedder()),
            vectors=watched(self.backend.vectors),
            ledger=watched(self.backend.ledger),
            clock=self.clock,
            config=EngineConfig(load_rows=2, recheck_s=100.0),
        )

    def process(self, countdown: Countdown) -> None:
        """Start, recover as a sole owner does, work until nothing is due."""
        parts = self.parts(countdown)
        self.backend.ledger.expire_all(self.clock.now())
        collections = Collections(parts)
        leases = Leases(parts.ledger, self.clock, parts.config.lease_s)
        resolver = Resolver(parts, collections, leases)
        worker = Worker(parts, collections, leases, ByteGate(1 << 20), resolver, self.clock.token())
        while worker.step():
            pass

    def observe(self) -> None:
        self.backend.ledger.observe([ObjectRef(BUCKET, key) for key in KEYS], Lane.LIVE, self.clock.now())

    def put(self, contents: dict[str, bytes]) -> None:
        for key, data in contents.items():
            self.store.put(BUCKET, key, data)
        self.observe()

    def remove(self) -> None:
        for key in KEYS:
            self.store.delete(BUCKET, key)
        self.observe()

    def rows(self) -> dict[str, list[str]]:
        """By key, the texts really in Milvus, found without the ledger."""
        found: dict[str, list[str]] = {}
        by_id = {ObjectRef(BUCKET, key).object_id: key for key in KEYS}
        for collection in self.backend.vectors.collections():
            for row in all_rows(self.backend.vectors, collection):
                found.setdefault(by_id[row.object_id], []).append(row.text)
        return {key: sorted(texts) for key, texts in found.items()}

    def answers(self) -> dict[str, set[str]]:
        """By key, what a search over everything shows."""
        found: dict[str, set[str]] = {}
        for hit in Searcher(self.parts(Countdown())).search("alpha", top=100):
            found.setdefault(hit.key, set()).add(hit.text)
        return found


def _texts(contents: dict[str, bytes]) -> dict[str, list[str]]:
    return {key: sorted(data.decode().split("\n\n")) for key, data in contents.items()}


def _prepare(machine: Machine, case: str) -> dict[str, bytes]:
    if case != "create":
        machine.put(OLD)
        machine.process(Countdown())
    if case == "create":
        machine.put(OLD)
        return OLD
    if case == "replace":
        machine.put(NEW)
        return NEW
    machine.remove()
    return {}


@pytest.mark.parametrize("case", ["create", "replace", "delete"])
def test_a_crash_at_every_point_heals(case, make_backend):
    rehearsal = Countdown()
    machine = Machine(make_backend())
    _prepare(machine, case)
    machine.process(rehearsal)
    assert rehearsal.passed >= 8
    for point in range(rehearsal.passed):
        machine = Machine(make_backend())
        wanted = _prepare(machine, case)
        with pytest.raises(Crash):
            machine.process(Countdown(at=point))
        where = f"{case}: {rehearsal.names[point]} ({point})"
        shown = machine.answers()
        before = {} if case == "create" else {key: set(texts) for key, texts in _texts(OLD).items()}
        after = {key: set(texts) for key, texts in _texts(wanted).items()}
        for key in KEYS:
            assert shown.get(key, set()) in (before.get(key, set()), after.get(key, set())), f"{where}: a mix is shown"
        machine.process(Countdown())
        assert machine.answers() == after, where
        machine.clock.advance(101)
        machine.process(Countdown())
        assert machine.rows() == _texts(wanted), where
        assert machine.backend.ledger.next_due() is None, where

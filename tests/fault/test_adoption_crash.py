"""A crash before and after every port call of a take-over: the same command, given again, ends it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.engine.adoption import Adopter
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.parts import EngineConfig, Parts
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.ports import SourceEntry
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
from tests.support import original_system

NAME = "HR"
SOURCE = SourceEntry("bucket", "s3://bucket")
LATE = "2030-01-01T00:00:00Z"  # written after every object of the fake store
# What the original made of a.txt and b.txt: its own texts, which no splitter of ours makes. c.txt it never saw.
ORIGINAL = {"a.txt": ["<p>a1</p>", "<p>a2</p>", "<p>a3</p>"], "b.txt": ["<p>b1</p>"]}
WANTED = {f"{NAME}/{name}": texts for name, texts in ORIGINAL.items()} | {f"{NAME}/c.txt": ["new", "text"]}


class Place:
    """What outlives a crash: the bucket, the ledger, Milvus with the original's collection in it."""

    def __init__(self, ledger: Any, vectors: Any, fill: Callable[[str, list[Any], list[tuple[str, str, str]]], None]):
        self.ledger = ledger
        self.vectors = vectors
        self.clock = FakeClock()
        self.store = MemoryObjectStore(["bucket"])
        self.embedder = FakeEmbedder()
        for key in WANTED:
            self.store.put("bucket", key, b"new\n\ntext")
        rows = [(name, LATE, text) for name, texts in ORIGINAL.items() for text in texts]
        fill(NAME, list(FakeEmbedder().embed_documents([text for _, _, text in rows])), rows)

    def rename(self) -> None:
        """The first of the two steps of the succession, done behind everybody's back."""
        kept = f"{NAME}_original"
        if isinstance(self.vectors, MemoryVectorStore):
            self.vectors.originals._rows[kept] = self.vectors.originals._rows.pop(NAME)
            return
        with self.vectors._connection.gate() as client:
            client.rename_collection(NAME, kept)

    def adopt(self, countdown: Countdown) -> bool:
        """One process that takes the collection over; whether it answers under its name at the end."""

        class WatchedVectors(Watched):
            originals = Watched(self.vectors.originals, countdown)

        parts = Parts(
            stores={"bucket": Watched(self.store, countdown)},
            parsers=[Watched(FakeParser(), countdown)],
            sniff=lambda data, path, name: "text/plain",
            describe=str,
            splitter=FakeSplitter(),
            embedder=Watched(self.embedder, countdown),
            vectors=WatchedVectors(self.vectors, countdown),
            ledger=Watched(self.ledger, countdown),
            clock=self.clock,
            config=EngineConfig(load_rows=2, recheck_s=0.0),
        )
        self.ledger.expire_all(self.clock.now())
        collections = Collections(parts)
        adopter = Adopter(parts, collections)
        adoption = adopter.plan(NAME, [SOURCE])
        if adoption.is_over:
            return True
        adopter.begin(adoption)
        leases = Leases(parts.ledger, self.clock, parts.config.lease_s)
        resolver = Resolver(parts, collections, leases)
        worker = Worker(parts, collections, leases, ByteGate(1 << 20), resolver, self.clock.token())
        while worker.step():
            pass
        return adopter.finish(adoption).is_switched

    def rows(self) -> dict[str, list[str]]:
        """By key, the texts of all rows under the original's name, found without the ledger."""
        originals = self.vectors.originals
        name = originals.describe(NAME).name
        by_id = {ObjectRef("bucket", key).object_id: key for key in WANTED}
        found: dict[str, list[tuple[int, str]]] = {}
        for row in all_rows(self.vectors, name):
            found.setdefault(by_id[row.object_id], []).append((row.chunk_no, row.text))
        return {key: [text for _, text in sorted(rows)] for key, rows in found.items()}


@pytest.fixture(params=["memory", "sqlite and milvus lite"])
def make_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Place]]:
    made: list[Place] = []

    def make() -> Place:
        if request.param == "memory":
            vectors = MemoryVectorStore()

            def fill(name: str, given: list[Any], rows: list[tuple[str, str, str]]) -> None:
                ids = range(1, len(rows) + 1)
                vectors.originals.fill(
                    name, [(OriginalRow(n, *row), each) for n, row, each in zip(ids, rows, given, strict=True)]
                )

            return Place(MemoryLedger(), vectors, fill)
        folder: Path = tmp_path_factory.mktemp("crash")
        lite = MilvusVectorStore(MilvusVectorStore.Options(), folder / "milvus.db")

        def insert(name: str, given: list[Any], rows: list[tuple[str, str, str]]) -> None:
            with lite._connection.gate() as client:
                original_system.make_collection(client, name, len(given[0]))
                original_system.insert(client, name, given, rows)

        made.append(Place(SqliteLedger(SqliteLedger.Options(), folder / "ledger.db"), lite, insert))
        return made[-1]

    yield make
    for place in made:
        place.ledger.close()
        place.vectors.close()


def test_a_crash_at_every_point_is_ended_by_the_same_command(make_place: Callable[[], Place]):
    rehearsal = Countdown()
    place = make_place()
    assert place.adopt(rehearsal)
    assert place.rows() == WANTED
    assert {"before succeed", "after prepare", "before rows", "after insert"} <= set(rehearsal.names)
    step = 1 if isinstance(place.vectors, MemoryVectorStore) else 7  # Milvus Lite takes half a second for each
    for point in range(0, rehearsal.passed, step):
        where = f"{rehearsal.names[point]} ({point})"
        place = make_place()
        with pytest.raises(Crash):
            place.adopt(Countdown(at=point))
        place.clock.advance(1)
        assert place.adopt(Countdown()), where
        assert place.rows() == WANTED, where
        # Texts of the original are embedded alone, to compare; never with the name before them, as rows are.
        paid = {text for text in place.embedder.embedded if text.startswith(("a\n", "b\n"))}
        assert not paid, where
        kept = [row.text for row in place.vectors.originals.rows(f"{NAME}_original")]
        assert kept == [text for texts in ORIGINAL.values() for text in texts], where


def test_a_crash_between_the_last_two_steps_leaves_the_rest_to_the_next(make_place: Callable[[], Place]):
    """Old name gone, new one not given yet: the one moment at which the name leads nowhere."""
    place = make_place()
    originals = place.vectors.originals
    succeed = originals.succeed

    def crash(*args: str) -> None:
        originals.succeed = succeed
        raise Crash

    originals.succeed = crash
    with pytest.raises(Crash):
        place.adopt(Countdown())
    place.rename()
    assert originals.describe(NAME) is None
    assert place.adopt(Countdown())
    assert place.rows() == WANTED

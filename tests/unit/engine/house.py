"""A whole engine over fakes, driven by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Outcome, Record
from s3_to_milvus.domain.routing import Route
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.parts import EngineConfig, Parts
from s3_to_milvus.engine.resolve import Done, Resolver
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.splitter import FakeSplitter
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore

__all__ = ["BUCKET", "House"]

BUCKET = "bucket"


class House:
    """Everything public, so that a test can look at and spoil each part."""

    def __init__(
        self, scratch: Path, *, config: EngineConfig | None = None, routes: Sequence[Route] = (Route(),), **parts: Any
    ) -> None:
        self.clock = FakeClock()
        self.store = MemoryObjectStore([BUCKET])
        self.ledger: Any = MemoryLedger()
        self.vectors: Any = MemoryVectorStore()
        self.embedder = FakeEmbedder()
        self.done: list[Done] = []
        made = Parts(
            stores={BUCKET: self.store},
            parsers=[FakeParser()],
            sniff=lambda data, path, name: "application/zip" if name.endswith(".zip") else "text/plain",
            describe=lambda media_type: f"A {media_type} file",
            splitter=FakeSplitter(),
            embedder=self.embedder,
            vectors=self.vectors,
            ledger=self.ledger,
            clock=self.clock,
            routes=routes,
            scratch=scratch,
            config=config or EngineConfig(),
        )
        self.parts = replace(made, **parts)
        self.vectors = self.parts.vectors
        self.ledger = self.parts.ledger
        self.collections = Collections(self.parts)
        self.leases = Leases(self.parts.ledger, self.clock, self.parts.config.lease_s)
        self.gate = ByteGate(self.parts.config.gate_bytes)
        resolver = Resolver(self.parts, self.collections, self.leases, self.done.append)
        self.worker = Worker(self.parts, self.collections, self.leases, self.gate, resolver, "owner")

    def put(self, key: str, data: bytes | str) -> ObjectRef:
        """Store and announce an object."""
        self.store.put(BUCKET, key, data.encode() if isinstance(data, str) else data)
        return self.observe(key)

    def observe(self, key: str) -> ObjectRef:
        """Announce an object."""
        ref = ObjectRef(BUCKET, key)
        self.ledger.observe([ref], Lane.LIVE, self.clock.now())
        return ref

    def work(self) -> None:
        """Step until nothing is due."""
        while self.worker.step():
            pass

    def later(self, seconds: float) -> None:
        """Let time pass, then work."""
        self.clock.advance(seconds)
        self.work()

    def record(self, ref: ObjectRef) -> Record:
        """What the ledger says is indexed; there must be something."""
        status = self.ledger.status(ref)
        assert status is not None
        assert status.record is not None
        record: Record = status.record
        return record

    def outcome(self, ref: ObjectRef) -> Outcome | None:
        """How the last look ended; None: it has not."""
        status = self.ledger.status(ref)
        return status.record.outcome if status and status.record else None

    def texts(self, key: str | None = None) -> list[str]:
        """The texts of all rows (of one object), in document order."""
        rows = [row for name in self.vectors.collections() for row in self.vectors.rows(name).values()]
        return [
            row.text
            for row in sorted(rows, key=lambda row: (row.file_key, row.run, row.chunk_no))
            if key in (None, row.file_key)
        ]

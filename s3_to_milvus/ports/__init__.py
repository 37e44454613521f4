"""What the engine needs from outside: one small protocol per outside system.

Adapters implement these as plain classes (no base class) and raise only errors of `s3_to_milvus.errors`.
All calls block; all may be made from several threads at once. Each protocol has a contract suite in
`s3_to_milvus.testing.contracts`.
"""

from s3_to_milvus.ports.clock import Clock
from s3_to_milvus.ports.documents import Embedder, Parser, ParserInput, Splitter
from s3_to_milvus.ports.frozen import Frozen
from s3_to_milvus.ports.journal import Journal
from s3_to_milvus.ports.ledger import CollectionCounts, Ledger, SourceEntry, Standing
from s3_to_milvus.ports.limits import Limits
from s3_to_milvus.ports.metering import Meter, metered, spend
from s3_to_milvus.ports.objects import UNCHANGED, Content, EventSource, ObjectStore, Unchanged
from s3_to_milvus.ports.originals import OriginalCollection, Originals, RowReader
from s3_to_milvus.ports.tickets import Tickets
from s3_to_milvus.ports.vectors import Incident, VectorStore

__all__ = [
    "UNCHANGED",
    "Clock",
    "CollectionCounts",
    "Content",
    "Embedder",
    "EventSource",
    "Frozen",
    "Incident",
    "Journal",
    "Ledger",
    "Limits",
    "Meter",
    "ObjectStore",
    "OriginalCollection",
    "Originals",
    "Parser",
    "ParserInput",
    "RowReader",
    "SourceEntry",
    "Splitter",
    "Standing",
    "Tickets",
    "Unchanged",
    "VectorStore",
    "metered",
    "spend",
]

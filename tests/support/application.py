"""An application over fakes in memory, for tests of the doors."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from s3_to_milvus.adapters.clock import SystemClock
from s3_to_milvus.adapters.events.sns import Certificates, SnsMessages
from s3_to_milvus.bootstrap.events import decode_each
from s3_to_milvus.engine.backup import Backup
from s3_to_milvus.engine.hints import Hints
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.parts import EngineConfig, Parts
from s3_to_milvus.engine.service import Service
from s3_to_milvus.errors import ConfigError, Unavailable
from s3_to_milvus.ports import SourceEntry
from s3_to_milvus.settings import Settings
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.journal import MemoryJournal
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.splitter import FakeSplitter
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.support.patience import SOON_S

if TYPE_CHECKING:
    from s3_to_milvus.bootstrap import Application

__all__ = ["BUCKET", "FakeApplication", "until"]

BUCKET = "docs"


def until(is_true: Callable[[], bool], timeout_s: float = SOON_S) -> None:
    """Wait until something holds; fails where it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@dataclass
class FakeApplication:
    """Behaves as `bootstrap.Application`; ``store`` holds the buckets, an address is ``s3://bucket/prefix``.

    ``certificate``: what lies where SNS keeps its certificates.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    store: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore([BUCKET]))
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    vectors: MemoryVectorStore = field(default_factory=MemoryVectorStore)
    config: EngineConfig = field(default_factory=lambda: EngineConfig(workers=2, scan_interval_s=3600))
    urls: list[str] = field(default_factory=list)
    is_started: bool = False
    is_stopped: bool = False
    on_stop: Callable[[], None] = lambda: None
    certificate: Callable[[str], bytes] = lambda address: b""

    def __post_init__(self) -> None:
        self.settings = Settings(data_dir=self.data_dir, host=self.host)
        self.stores = dict.fromkeys([BUCKET], self.store)
        parts = Parts(
            stores=self.stores,
            parsers=[FakeParser()],
            sniff=lambda data, path, name: "text/plain" if name.endswith((".txt", ".md")) else "application/zip",
            describe=lambda media_type: media_type,
            splitter=FakeSplitter(),
            embedder=FakeEmbedder(),
            vectors=self.vectors,
            ledger=self.ledger,
            clock=SystemClock(),
            scratch=self.data_dir,
            config=self.config,
        )
        self.mirror = Mirror(parts)
        self.sources: list[SourceEntry] = [self.open_source(f"s3://{BUCKET}/")]
        self.backup = Backup(self.ledger, self.vectors, parts.clock, self.data_dir / "data")
        self.hints = Hints(self.ledger, parts.clock, decode_each, self.mirror.take)
        self.confirmed: list[bytes] = []
        self.service = Service(self.mirror, self.sources, [], MemoryJournal())

    def confirm_subscription(self, content: bytes) -> bool:
        """As `bootstrap.Application`; opens nothing. An address that names ``away`` cannot be reached."""
        self.confirmed.append(content)
        if b"away" in content:
            raise Unavailable("SNS cannot be reached.")
        return True

    def signed_by_sns(self, content: bytes) -> bytes:
        """As `bootstrap.Application`; the certificate comes from the test."""
        return SnsMessages(self.settings.auth.sns_topics, Certificates(self.certificate)).verified(content)

    def open_source(self, uri: str) -> SourceEntry:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if bucket not in self.store._buckets:
            raise ConfigError(f"There is no bucket {bucket}.")
        self.stores[bucket] = self.store
        entry = SourceEntry(bucket, f"s3://{bucket}/{prefix}", prefix)
        self.ledger.put_source(entry)
        return entry

    def open_known_sources(self) -> list[SourceEntry]:
        for entry in self.ledger.sources():
            if entry.name not in self.stores:
                self.sources.append(self.open_source(entry.uri))
        return self.sources

    def announce(self, url: str) -> None:
        self.urls.append(url)

    def start(self) -> None:
        self.is_started = True
        self.service.start()

    def stop(self) -> None:
        self.is_stopped = True
        self.service.stop()
        self.on_stop()

    def as_real(self) -> "Application":
        return cast("Application", self)

    def put(self, key: str, text: str) -> None:
        self.store.put(BUCKET, key, text.encode())

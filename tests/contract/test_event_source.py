"""Event sources keep the contract."""

from pathlib import Path

import pytest

from s3_to_milvus.adapters.events.watch import FolderWatch
from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.ports import EventSource
from s3_to_milvus.testing.contracts.event_source import EventSourceContract
from s3_to_milvus.testing.fakes.event_source import MemoryEventSource


class TestMemory(EventSourceContract):
    @pytest.fixture
    def source(self) -> EventSource:
        return MemoryEventSource()

    @pytest.fixture
    def bucket(self) -> str:
        return "bucket"

    def change(self, source: EventSource, ref: ObjectRef, number: int) -> None:
        assert isinstance(source, MemoryEventSource)
        source.push(ObjectEvent(ref))

    def test_a_simulation_can_drain_it(self) -> None:
        source = MemoryEventSource()
        source.push(ObjectEvent(ObjectRef("b", "1")), ObjectEvent(ObjectRef("b", "2")))
        source.push(ObjectEvent(ObjectRef("b", "3")))
        taken: list[int] = []
        source.drain(lambda events: taken.append(len(events)))
        assert (taken, source.waiting) == ([2, 1], 0)


class _InFolder(EventSourceContract):
    """What the two ways of watching share."""

    root: Path

    @pytest.fixture
    def bucket(self) -> str:
        return "bucket"

    def change(self, source: EventSource, ref: ObjectRef, number: int) -> None:
        path = self.root / ref.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number)


class TestNotified(_InFolder):
    @pytest.fixture
    def source(self, tmp_path: Path) -> EventSource:
        self.root = tmp_path
        return FolderWatch(FolderWatch.Options(), {"bucket": tmp_path})


class TestPolled(_InFolder):
    @pytest.fixture
    def source(self, tmp_path: Path) -> EventSource:
        self.root = tmp_path
        return FolderWatch(FolderWatch.Options(force_polling=True, poll_delay_ms=20), {"bucket": tmp_path})

"""Each route has parsers and passwords of its own; what changes with them is tried again, and nothing else."""

from dataclasses import replace

from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.domain.routing import Route
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.errors import EncryptedDocument
from s3_to_milvus.ports import ParserInput, SourceEntry
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.splitter import FakeSplitter
from tests.unit.engine.house import BUCKET, House


class _Locked(FakeParser):
    """Opens a file that begins with ``locked`` with the password ``tiger`` only."""

    kind = "locked"

    def parse(self, source: ParserInput) -> Document:
        if source.read().startswith(b"locked") and "tiger" not in source.passwords:
            raise EncryptedDocument("The file is protected by a password.")
        return super().parse(source)


class _Shouting(FakeParser):
    kind = "shouting"
    fingerprint = "shouting-1"

    def parse(self, source: ParserInput) -> Document:
        document = super().parse(source)
        return replace(document, blocks=[replace(block, text=block.text.upper()) for block in document.blocks])


def _changed(house: House, **parts: object) -> list[str]:
    """What a scan with other parts would do again, in the same world."""
    mirror = Mirror(replace(house.parts, **parts))  # type: ignore[arg-type]
    report = mirror.plan(SourceEntry(BUCKET, "memory://"))
    return [key for _, key, action in report.plan or () if action == "change"]


def test_each_route_has_its_own_parsers(tmp_path):
    routes = [Route(parsers=("fake",)), Route(prefix="loud/", parsers=("shouting", "fake"))]
    house = House(tmp_path, routes=routes, parsers=[FakeParser(), _Shouting()])
    house.put("a/x.txt", "hello")
    house.put("loud/x.txt", "hello")
    house.work()
    assert house.texts("a/x.txt") == ["hello"]
    assert house.texts("loud/x.txt") == ["HELLO"]
    assert _changed(house) == []
    assert _changed(house, routes=[Route(parsers=("fake",))]) == ["loud/x.txt"]


def test_a_password_of_the_route_opens_the_file(tmp_path):
    house = House(tmp_path, routes=[Route(passwords=("lion", "tiger"))], parsers=[_Locked()])
    ref = house.put("a/x.txt", "locked text")
    house.work()
    assert house.record(ref).outcome is Outcome.INDEXED


def test_only_what_asked_for_a_password_is_tried_with_another_one(tmp_path):
    house = House(tmp_path, parsers=[_Locked()])
    locked, plain = house.put("a/locked.txt", "locked text"), house.put("a/plain.txt", "text")
    house.work()
    assert (house.record(locked).error_code, house.outcome(plain)) == ("encrypted_document", Outcome.INDEXED)
    assert _changed(house) == []
    assert _changed(house, routes=[Route(passwords=("tiger",))]) == ["a/locked.txt"]
    assert "tiger" not in house.record(locked).recipe


def test_sizes_of_one_collection_change_nothing_in_another(tmp_path):
    house = House(tmp_path)
    for key in ("a/x.txt", "b/x.txt", "root.txt"):
        house.put(key, "text")
    house.work()
    assert _changed(house) == []
    own = FakeSplitter()
    own.own_fingerprints = {"b": "fake-2", "c": "fake-3", "a": "fake-1"}
    assert _changed(house, splitter=own) == ["b/x.txt"]
    assert _changed(house, splitter=FakeSplitter("fake-2")) == ["a/x.txt", "b/x.txt", "root.txt"]


def test_parsers_of_one_route_are_not_used_elsewhere(tmp_path):
    routes = [Route(prefix="a/", parsers=("fake",)), Route()]
    parts = House(tmp_path, routes=routes, parsers=[FakeParser(), _Shouting()]).parts
    assert [each.kind for each in parts.readers_of(ObjectRef(BUCKET, "a/x")).parsers] == ["fake"]
    assert [each.kind for each in parts.readers_of(ObjectRef(BUCKET, "b/x")).parsers] == ["fake", "shouting"]

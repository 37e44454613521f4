"""What every object store must do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion, sort_key
from s3_to_milvus.errors import S3ToMilvusError, Superseded
from s3_to_milvus.ports import UNCHANGED, Content, ObjectStore, Unchanged

__all__ = ["HOSTILE_KEYS", "ObjectStoreContract", "opened"]

HOSTILE_KEYS: tuple[str, ...] = (
    "인사규정/휴가 규정.txt",
    "caf\u00e9.txt",
    "cafe\u0301.txt",
    "\u1112\u1161\u11ab\u1100\u1173\u11af.md",
    "한글.md",
    "quo'te\"s.txt",
    'x" or file_name != "',
    "100%.txt",
    "a%2Fb.txt",
    "%ED%95%9C.txt",
    "a+b c.txt",
    "a b+c.txt",
    " leading and trailing ",
    "d//e.txt",
    "/lead.txt",
    "x/./y.txt",
    "x/../z.txt",
    "../up.txt",
    "q?x#y&z=1.txt",
    "back\\slash.txt",
    "line\nbreak.txt",
    "return\rtab\t.txt",
    "control\x01.txt",
    "<xml>&amp;]]>.txt",
    "emoji-\U0001f600.txt",
    "\uffee-after-surrogates.txt",
    "{braces}*[x]:;,$@~`^|.txt",
    "trailing/",
    "deep/" * 30 + "deep.txt",
    "가/" * 254 + "가.text",
    "k" * 1_024,
)
"""Keys that S3 allows and that break clients: every store that can hold one must give it back exactly."""


def opened(found: Content | Unchanged | None) -> Content:
    """The content, where a test expects one."""
    assert found is not None
    assert not isinstance(found, Unchanged)
    return found


class ObjectStoreContract:
    """Inherit it, provide the fixtures ``store`` and ``bucket`` (there, empty) and the methods that change objects."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """The store."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self) -> str:
        """An empty bucket of it."""
        raise NotImplementedError

    def put(self, store: ObjectStore, ref: ObjectRef, data: bytes) -> None:
        """Create or replace an object."""
        raise NotImplementedError

    def delete(self, store: ObjectStore, ref: ObjectRef) -> None:
        """Remove an object."""
        raise NotImplementedError

    def can_hold(self, key: str) -> bool:
        """Whether this store can hold such a key at all."""
        return True

    def test_what_was_put_is_read(self, store: ObjectStore, bucket: str) -> None:
        """Whole, and in pieces; after the last byte comes nothing."""
        ref, data = ObjectRef(bucket, "a/b.txt"), bytes(range(256)) * 1_000
        self.put(store, ref, data)
        content = opened(store.get(ref))
        assert content.version.size_bytes == len(data)
        assert content.read() == data
        assert content.read(10) == b""
        content.close()
        content = opened(store.get(ref))
        pieces = []
        while piece := content.read(100_000):
            pieces.append(piece)
        assert b"".join(pieces) == data
        content.close()
        content.close()

    def test_closing_without_reading_is_no_error(self, store: ObjectStore, bucket: str) -> None:
        """Nor does it spoil the next reading."""
        ref = ObjectRef(bucket, "big.bin")
        self.put(store, ref, b"x" * 3_000_000)
        for _ in range(3):
            opened(store.get(ref)).close()
        content = opened(store.get(ref))
        assert content.read(5) == b"xxxxx"
        content.close()

    def test_an_empty_object_is_an_object(self, store: ObjectStore, bucket: str) -> None:
        """It has a version and no bytes."""
        ref = ObjectRef(bucket, "empty.txt")
        self.put(store, ref, b"")
        content = opened(store.get(ref))
        assert (content.version.size_bytes, content.read(), content.read(1)) == (0, b"", b"")
        content.close()
        assert [listed.key for listed in store.list(bucket)] == ["empty.txt"]

    def test_a_missing_key_is_none(self, store: ObjectStore, bucket: str) -> None:
        """Never there, or deleted, or a part of the name of another, or no possible name."""
        self.put(store, ObjectRef(bucket, "folder/there.txt"), b"1")
        missing = ["nothing.txt", "folder", "folder/", "folder/there.txt/x", "folder/there", "", "folder/there.txt/"]
        assert [store.get(ObjectRef(bucket, key)) for key in missing] == [None] * len(missing)
        self.delete(store, ObjectRef(bucket, "folder/there.txt"))
        gone = ObjectRef(bucket, "folder/there.txt")
        assert store.get(gone) is None
        assert store.get(gone, ObjectVersion("e", 1)) is None
        assert list(store.list(bucket)) == []

    def test_a_missing_bucket_is_an_error(self, store: ObjectStore, bucket: str) -> None:
        """It never looks like a removal."""
        with pytest.raises(S3ToMilvusError):
            store.get(ObjectRef(f"{bucket}-is-not-there", "a.txt"))
        with pytest.raises(S3ToMilvusError):
            list(store.list(f"{bucket}-is-not-there"))
        with pytest.raises(S3ToMilvusError):
            store.check(f"{bucket}-is-not-there")

    def test_unchanged_is_told_without_content(self, store: ObjectStore, bucket: str) -> None:
        """By the version of an earlier reading, and by what a listing or a ledger keeps of it."""
        ref = ObjectRef(bucket, "a.txt")
        self.put(store, ref, b"one")
        content = opened(store.get(ref))
        content.read()
        content.close()
        version = content.version
        assert store.get(ref, version) is UNCHANGED
        assert store.get(ref, ObjectVersion(version.etag, version.size_bytes)) is UNCHANGED
        opened(store.get(ref, ObjectVersion("another", version.size_bytes))).close()

    def test_a_change_is_seen_however_fast_it_follows(self, store: ObjectStore, bucket: str) -> None:
        """Also with equal size."""
        ref = ObjectRef(bucket, "a.txt")
        before: ObjectVersion | None = None
        for number in range(20):
            self.put(store, ref, b"%04d" % number)
            content = opened(store.get(ref, before))
            assert content.read() == b"%04d" % number
            content.close()
            before = content.version

    def test_what_is_read_is_one_version_or_superseded(self, store: ObjectStore, bucket: str) -> None:
        """An object that is replaced or deleted while it is read is never a mix."""
        ref, old, new = ObjectRef(bucket, "a.bin"), b"o" * 400_000, b"n" * 400_000
        changes: list[Callable[[], None]] = [lambda: self.put(store, ref, new), lambda: self.delete(store, ref)]
        for change in changes:
            self.put(store, ref, old)
            content = opened(store.get(ref))
            data = content.read(1_000)
            change()
            try:
                while piece := content.read(1_000_000):
                    data += piece
            except Superseded:
                data = old
            content.close()
            assert data == old

    def test_listing_is_ordered_and_agrees_with_reading(self, store: ObjectStore, bucket: str) -> None:
        """Ascending by UTF-8 bytes of the whole key, with the etags and sizes that reading gives."""
        keys = [
            "b.txt",
            "b/a.txt",
            "b/c/d.txt",
            "b-x/y.txt",
            "b0.txt",
            "a",
            "Z",
            "가.txt",
            "\U0001f600",
            "\uffee",
            "b!",
        ]
        for key in keys:
            self.put(store, ObjectRef(bucket, key), key.encode())
        listed = list(store.list(bucket))
        assert [entry.key for entry in listed] == sorted(keys, key=sort_key)
        for entry in listed:
            assert store.get(ObjectRef(bucket, entry.key), ObjectVersion(entry.etag, entry.size_bytes)) is UNCHANGED

    @pytest.mark.parametrize(
        "prefix", ["b/", "b", "b/c", "", "/", "b//", "none/", "b.txt", "b.txt/", "가", "..", "b/../"]
    )
    def test_listing_below_a_prefix(self, store: ObjectStore, bucket: str, prefix: str) -> None:
        """Exactly the keys that begin with it, whether it ends at a slash or not."""
        keys = ["a.txt", "b.txt", "b/a.txt", "b/c.txt", "b/c/d.txt", "bb/x.txt", "가/나.txt"]
        for key in keys:
            self.put(store, ObjectRef(bucket, key), b"1")
        assert [entry.key for entry in store.list(bucket, prefix)] == [key for key in keys if key.startswith(prefix)]

    def test_folder_markers_are_no_objects(self, store: ObjectStore, bucket: str) -> None:
        """A key that ends in a slash and has no content."""
        if not self.can_hold("folder/"):
            pytest.skip("this store has no keys that end in a slash")
        self.put(store, ObjectRef(bucket, "folder/"), b"")
        self.put(store, ObjectRef(bucket, "folder2/"), b"content")
        assert store.get(ObjectRef(bucket, "folder/")) is None
        content = opened(store.get(ObjectRef(bucket, "folder2/")))
        assert content.read() == b"content"
        content.close()
        assert [entry.key for entry in store.list(bucket)] == ["folder2/"]

    def test_hostile_keys_come_back_exactly(self, store: ObjectStore, bucket: str) -> None:
        """What was put is what is listed is what is read; twins in NFC and NFD are two objects."""
        keys = sorted(filter(self.can_hold, HOSTILE_KEYS), key=sort_key)
        for key in keys:
            self.put(store, ObjectRef(bucket, key), sort_key(key))
        assert [entry.key for entry in store.list(bucket)] == keys
        for key in keys:
            content = opened(store.get(ObjectRef(bucket, key)))
            assert content.read() == sort_key(key)
            content.close()
        for key in set(HOSTILE_KEYS) - set(keys):
            assert store.get(ObjectRef(bucket, key)) is None
        for key in keys:
            self.delete(store, ObjectRef(bucket, key))
        assert list(store.list(bucket)) == []

    def test_threads_may_share_it(self, store: ObjectStore, bucket: str) -> None:
        """Each gets its own object."""
        refs = [ObjectRef(bucket, f"{number:02d}.txt") for number in range(24)]
        for ref in refs:
            self.put(store, ref, ref.key.encode() * 1_000)

        def read(ref: ObjectRef) -> bytes:
            content = opened(store.get(ref))
            try:
                return content.read()
            finally:
                content.close()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(read, refs * 3)) == [ref.key.encode() * 1_000 for ref in refs * 3]
            listings = list(pool.map(lambda _: [entry.key for entry in store.list(bucket)], range(8)))
        assert listings == [[ref.key for ref in refs]] * 8

    def test_it_can_be_checked(self, store: ObjectStore, bucket: str) -> None:
        """One line for people, with and without objects, and nothing is written."""
        assert "\n" not in store.check(bucket)
        self.put(store, ObjectRef(bucket, "a.txt"), b"1")
        assert store.check(bucket)
        assert [entry.key for entry in store.list(bucket)] == ["a.txt"]

"""ZIP archives: names as people wrote them, a bad member fails alone, bombs are refused."""

import io
import struct
import zipfile
import zlib

import pytest

from s3_to_milvus.adapters.parsers.archive import ArchiveParser
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment
from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import ParserInput

_ZIP = "application/zip"
# Info-ZIP made it: `a.txt` (secret text) encrypted with the password 호랑이 in cp949, `b.txt` (plain) open.
_LOCKED = bytes.fromhex(
    "504b03040a0009000000319f795dec1a2122170000000b00000005000000612e7478740f72e90dd540c2f9ca36145c56cfbe"
    "81aac89f2c1784c2504b0708ec1a2122170000000b000000504b03040a0000000000319f795dcf6220190500000005000000"
    "05000000622e747874706c61696e504b01021e030a0009000000319f795dec1a2122170000000b0000000500000000000000"
    "01000000a48100000000612e747874504b01021e030a0000000000319f795dcf622019050000000500000005000000000000"
    "0001000000a4814a000000622e747874504b0506000000000200020066000000720000000000"
)


def _zip(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def _input(data: bytes, **more: object) -> ParserInput:
    return ParserInput(_ZIP, "a.zip", len(data), data=data, **more)  # type: ignore[arg-type]


def _members(data: bytes, **more: object) -> list[Attachment]:
    document = ArchiveParser().parse(_input(data, **more))
    assert list(document.blocks) == []
    return list(document.attachments)


def _renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return data.replace(old, new)


def test_members_come_in_their_order_without_litter():
    data = _zip(("b/", b""), ("b/둘.txt", b"2"), ("__MACOSX/._b", b"x"), ("a.txt", b"1"), (".DS_Store", b"x"))
    assert [(each.name, each.data) for each in _members(data)] == [("b/둘.txt", b"2"), ("a.txt", b"1")]


@pytest.mark.parametrize("charset", ["utf-8", "cp949"])
def test_korean_names_without_a_flag(charset: str):
    name = "휴가규정.txt".encode(charset)
    data = _renamed(_zip(("x" * len(name), b"1")), b"x" * len(name), name)
    assert [each.name for each in _members(data)] == ["휴가규정.txt"]


def test_a_damaged_member_fails_alone():
    data = _renamed(_zip(("a.txt", b"first"), ("b.txt", b"second")), b"first", b"f1rst")
    bad, good = _members(data)
    assert isinstance(bad.error, UnreadableDocument)
    assert (good.name, good.data) == ("b.txt", b"second")


def test_what_is_no_archive_is_named_as_such():
    for data in (b"PK\x03\x04" + bytes(200), _zip(("a", b"x"))[:-10]):
        with pytest.raises(UnreadableDocument):
            _members(data)


def test_a_password_of_the_route_opens_members():
    locked, plain = _members(_LOCKED)
    assert isinstance(locked.error, EncryptedDocument)
    assert plain.data == b"plain"
    opened, _ = _members(_LOCKED, passwords=("사자", "호랑이"))
    assert opened.data == b"secret text"


def test_a_bomb_is_refused_by_what_it_declares():
    data = _zip(("a", bytes(3 << 20)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DocumentTooLarge, match="3 MiB; 2 are allowed"):
        _members(data, limits=DocumentLimits(unpacked_bytes=2 << 20))
    with pytest.raises(DocumentTooLarge, match="3 parts; 2 are"):
        _members(_zip(*[(str(n), b"") for n in range(3)]), limits=DocumentLimits(members=2))


def test_errors_of_members_cross_the_border(tmp_path):
    pool = ParsingPool(ParsingPool.Options(workers=1), tmp_path)
    parser = pool.wrap(
        f"{ArchiveParser.__module__}:ArchiveParser",
        kind="zip",
        fingerprint="1",
        media_types=ArchiveParser.media_types,
    )
    data = _renamed(_zip(("a.txt", b"first"), ("b.txt", b"x" * (2 << 20))), b"first", b"f1rst")
    try:
        attachments = iter(parser.parse(_input(data)).attachments)
        bad = next(attachments)
        assert isinstance(bad.error, UnreadableDocument)
        assert "damaged" in bad.error.message
        large = next(attachments)
        assert large.path is not None
        assert large.path.stat().st_size == 2 << 20
        assert next(attachments, None) is None
        assert not large.path.exists()
    finally:
        pool.close()


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damage_in_any_way_of_packing_fails_alone(compression: int):
    data = bytearray(_zip(("a.txt", "가나다 ".encode() * 400), ("b.txt", b"good"), compression=compression))
    data[45:55] = b"\xff" * 10
    bad, good = _members(bytes(data))
    assert isinstance(bad.error, UnreadableDocument)
    assert good.data == b"good"


@pytest.mark.parametrize("method", [9, 93, 98])
def test_an_unknown_way_of_packing_is_no_password(method: int):
    data = bytearray(_zip(("a.txt", b"hello"), ("b.txt", b"good")))
    for at in (8, data.find(b"PK\1\2") + 10):
        data[at : at + 2] = struct.pack("<H", method)
    bad, good = _members(bytes(data))
    assert isinstance(bad.error, UnreadableDocument)
    assert not isinstance(bad.error, EncryptedDocument)
    assert f"method {method}" in bad.error.message
    assert good.data == b"good"


def test_a_member_at_an_impossible_place_or_without_a_name_fails_alone():
    data = bytearray(_zip(("a.txt", b"x"), ("b.txt", b"good")))
    at = data.find(b"PK\1\2")
    extra = struct.pack("<HHQ", 1, 8, 1 << 63)
    data[at + 42 : at + 46] = b"\xff" * 4
    data[at + 30 : at + 32] = struct.pack("<H", len(extra))
    data[at + 51 : at + 51] = extra
    end = data.find(b"PK\5\6")
    data[end + 12 : end + 16] = struct.pack("<I", end - at)
    bad, good = _members(bytes(data))
    assert isinstance(bad.error, UnreadableDocument)
    assert good.data == b"good"
    nameless, good = _members(_renamed(_zip(("a", b"x"), ("b.txt", b"good")), b"a", b"\0"))
    assert nameless.name == "file-1"
    assert good.data == b"good"


@pytest.mark.parametrize("is_current", [True, False])
def test_a_name_in_the_extra_field_counts_while_its_checksum_fits(is_current: bool):
    member, name = zipfile.ZipInfo("old.txt"), "휴가.txt".encode()
    checksum = zlib.crc32(b"old.txt") ^ (not is_current)
    member.extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, checksum) + name
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"1")
    assert [each.name for each in _members(buffer.getvalue())] == ["휴가.txt" if is_current else "old.txt"]

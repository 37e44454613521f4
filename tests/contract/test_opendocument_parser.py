"""The parser of OpenDocument keeps the contract: texts, spreadsheets, presentations, passwords, hostile content."""

import base64
import hashlib
import io
import time
import zipfile
import zlib

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from s3_to_milvus.adapters.parsers.opendocument import OpenDocumentParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of

_OPEN = "application/vnd.oasis.opendocument."
_ODT, _ODS, _ODP = _OPEN + "text", _OPEN + "spreadsheet", _OPEN + "presentation"
_URN = "urn:oasis:names:tc:opendocument:xmlns:"
_SPACES = " ".join(
    f'xmlns:{prefix}="{_URN}{name}:1.0"'
    for prefix, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "presentation": "presentation",
        "svg": "svg-compatible",
    }.items()
)


def _content(body: str, prolog: str = "") -> bytes:
    spaces = f'{_SPACES} xmlns:xlink="http://www.w3.org/1999/xlink"'
    text = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    return f'<?xml version="1.0" encoding="UTF-8"?>{prolog}{text}'.encode()


def _package(kind: str, content: bytes, **parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", kind, zipfile.ZIP_STORED)
        archive.writestr("content.xml", content)
        for name, data in parts.items():
            archive.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


def _file(kind: str, body: str) -> bytes:
    return _package(kind, _content(body))


def _read(data: bytes, kind: str = _ODT, **more: object) -> Document:
    assert sniff(data, None, "a") == kind
    return OpenDocumentParser().parse(ParserInput(kind, "a", len(data), data=data, **more))  # type: ignore[arg-type]


_META = (
    '<m xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>휴가 규정</dc:title><dc:language>ko-KR</dc:language></m>'
)
_TEXT = _package(
    _ODT,
    _content(
        "<office:text><text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:h text:outline-level="2">제1장  총칙</text:h>'
        "<text:p>본문\n  이어짐<text:s text:c='2'/>끝<text:note><text:note-citation>1</text:note-citation>"
        "<text:note-body><text:p>각주입니다</text:p></text:note-body></text:note>이고<text:line-break/>다음.</text:p>"
        "<text:list><text:list-item><text:p>첫째</text:p><text:list><text:list-item><text:p>둘째</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<text:p>앞<draw:frame><svg:desc>사진 설명</svg:desc><draw:text-box><text:p>상자</text:p></draw:text-box>"
        "</draw:frame>뒤<office:annotation><text:p>comment</text:p></office:annotation></text:p>"
        "<table:table><table:table-row><table:table-cell><text:p>이름</text:p></table:table-cell>"
        "<table:table-cell><text:p>일수</text:p></table:table-cell></table:table-row>"
        "<table:table-row><table:table-cell><text:p>연차</text:p><text:p>휴가</text:p></table:table-cell>"
        "<table:table-cell><text:p>15</text:p></table:table-cell></table:table-row></table:table></office:text>"
    ),
    **{"meta.xml": _META.encode()},
)


class TestOpenDocumentParser(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return OpenDocumentParser()

    @pytest.fixture
    def sample(self) -> Sample:
        phrases = (
            "제1장 총칙",
            "본문 이어짐 끝이고 다음.",
            "각주입니다",
            "첫째 둘째",
            "앞뒤",
            "상자",
            "이름 일수 연차 휴가 15",
        )
        return Sample(_TEXT, _ODT, phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(_file(_ODT, "<text:p>cut")[:-60], _ODT)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(_file(_ODT, "<office:text><text:p/></office:text>"), _ODT)


def test_a_text_has_structure() -> None:
    document = _read(_TEXT)
    blocks = list(document.blocks)
    assert (document.title, document.language) == ("휴가 규정", "ko")
    assert blocks[0] == Block(BlockKind.HEADING, "제1장 총칙", level=2)
    assert [block.text for block in blocks if block.kind is BlockKind.LIST_ITEM] == ["첫째", "둘째"]
    assert [block.text for block in blocks if block.kind is BlockKind.FIGURE] == ["사진 설명"]
    assert [block.rows for block in blocks if block.kind is BlockKind.TABLE] == [
        (("이름", "일수"), ("연차 휴가", "15"))
    ]
    assert not {"comment", "deleted"} & set(text_of(blocks).split())


def test_sheets_stand_under_their_names_and_repeats_stay_small() -> None:
    body = (
        '<office:spreadsheet><table:table table:name="시트 1">'
        "<table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell table:number-columns-repeated='2'><text:p>b</text:p></table:table-cell>"
        "<table:table-cell table:number-columns-repeated='16380'/></table:table-row>"
        "<table:table-row table:number-rows-repeated='1048000'><table:table-cell"
        " table:number-columns-repeated='16384'/></table:table-row>"
        "<table:table-row><table:table-cell office:value='7'/><table:covered-table-cell/>"
        "<table:table-cell><text:p>c</text:p></table:table-cell></table:table-row>"
        "<table:table-row table:number-rows-repeated='99999999999999'><table:table-cell"
        " table:number-columns-repeated='4000000'><text:p>x</text:p></table:table-cell></table:table-row>"
        "</table:table></office:spreadsheet>"
    )
    heading, *tables = _read(_file(_ODS, body), _ODS).blocks
    assert (heading.text, heading.level) == ("시트 1", 2)
    rows = tables[0].rows
    assert rows[0][:3] == ("a", "b", "b")
    assert rows[1][:3] == ("7", "", "c")
    assert sum(len(table.rows) for table in tables) < 200


def test_slides_are_pages() -> None:
    slide = (
        "<draw:page><draw:frame presentation:class='title'><draw:text-box><text:p>제목 {0}</text:p></draw:text-box>"
        "</draw:frame><draw:frame presentation:class='outline'><draw:text-box><text:list><text:list-item>"
        "<text:p>요점 {0}</text:p></text:list-item></text:list></draw:text-box></draw:frame>"
        "<presentation:notes><draw:frame presentation:class='page-number'><draw:text-box><text:p>{0}</text:p>"
        "</draw:text-box></draw:frame><draw:frame presentation:class='notes'><draw:text-box><text:p>노트</text:p>"
        "</draw:text-box></draw:frame></presentation:notes></draw:page>"
    )
    body = f"<office:presentation>{slide.format(1)}{slide.format(2)}</office:presentation>"
    document = _read(_file(_ODP, body), _ODP)
    assert document.page_count == 2
    assert [(block.kind.value, block.text, block.page) for block in document.blocks] == [
        (kind, text, page)
        for page in (1, 2)
        for kind, text in (("heading", f"제목 {page}"), ("list_item", f"요점 {page}"), ("paragraph", "노트"))
    ]


def test_the_data_of_a_chart_is_a_table() -> None:
    chart = _content(
        "<table:table><table:table-row><table:table-cell><text:p>분기</text:p></table:table-cell>"
        "<table:table-cell><text:p>매출</text:p></table:table-cell></table:table-row></table:table>"
    )
    body = (
        "<office:text><text:p>앞<draw:frame><draw:object xlink:href='./Object 1'/></draw:frame></text:p></office:text>"
    )
    blocks = list(_read(_package(_ODT, _content(body), **{"Object 1__content.xml": chart})).blocks)
    assert [block.text for block in blocks] == ["앞", ""]
    assert blocks[1].rows == (("분기", "매출"),)


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def _manifest(name: str, size_bytes: int, algorithm: str, vector: bytes, derivation: str, start: str) -> bytes:
    return (
        f'<manifest:manifest xmlns:manifest="{_URN}manifest:1.0" xmlns:loext="urn:org:documentfoundation:names:'
        f'experimental:office:xmlns:loext:1.0"><manifest:file-entry manifest:full-path="{name}" manifest:size='
        f'"{size_bytes}"><manifest:encryption-data><manifest:algorithm manifest:algorithm-name="{algorithm}" '
        f'manifest:initialisation-vector="{base64.b64encode(vector).decode()}"/>'
        f'<manifest:key-derivation {derivation} manifest:salt="{base64.b64encode(bytes(range(16, 32))).decode()}"/>'
        f"{start}</manifest:encryption-data></manifest:file-entry></manifest:manifest>"
    ).encode()


_SALT = bytes(range(16, 32))
_SHA256 = (
    '<manifest:start-key-generation manifest:start-key-generation-name="http://www.w3.org/2000/09/xmldsig#sha256"/>'
)


def _locked(content: bytes, password: str) -> bytes:
    """As LibreOffice writes it for OpenDocument 1.2: compressed, AES-256 in CBC mode, a key by PBKDF2."""
    packed = _deflated(content)
    packed += bytes(15 - len(packed) % 16) + bytes([16 - len(packed) % 16])
    vector = bytes(range(16))
    key = hashlib.pbkdf2_hmac("sha1", hashlib.sha256(password.encode()).digest(), _SALT, 1_000, 32)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    derivation = 'manifest:key-derivation-name="PBKDF2" manifest:key-size="32" manifest:iteration-count="1000"'
    name = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    manifest = _manifest("content.xml", len(content), name, vector, derivation, _SHA256)
    return _package(_ODT, encryptor.update(packed) + encryptor.finalize(), **{"META-INF__manifest.xml": manifest})


def _locked_long_ago(content: bytes, password: str) -> bytes:
    """As OpenDocument 1.1 has it: Blowfish, eight bytes fed back; here block by block, as the method is defined."""
    packed, last, sealed = _deflated(content), bytes(range(8)), b""
    key = hashlib.pbkdf2_hmac("sha1", hashlib.sha1(password.encode()).digest(), _SALT, 1_024, 16)
    single = Cipher(Blowfish(key), modes.ECB()).encryptor()
    for at in range(0, len(packed), 8):
        last = bytes(one ^ two for one, two in zip(packed[at : at + 8], single.update(last), strict=False))
        sealed += last
    derivation = 'manifest:key-derivation-name="PBKDF2" manifest:iteration-count="1024"'
    manifest = _manifest("content.xml", len(content), "Blowfish CFB", bytes(range(8)), derivation, "")
    return _package(_ODT, sealed, **{"META-INF__manifest.xml": manifest})


def _locked_whole(package: bytes, password: str, memory_kib: int = 1_024) -> bytes:
    """As LibreOffice 24.8 writes it: the package as one member, compressed, AES-256 in GCM mode, a key by Argon2id."""
    start = hashlib.sha256(password.encode()).digest()
    key = Argon2id(salt=_SALT, length=32, iterations=3, lanes=4, memory_cost=1_024).derive(start)
    vector = bytes(range(12))
    derivation = (
        'manifest:key-derivation-name="urn:org:documentfoundation:names:experimental:office:manifest:argon2id" '
        'manifest:key-size="32" loext:argon2-iterations="3" loext:argon2-lanes="4" '
        f'loext:argon2-memory="{memory_kib}"'
    )
    name = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
    manifest = _manifest("encrypted-package", len(package), name, vector, derivation, _SHA256)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", _ODT)
        archive.writestr("encrypted-package", vector + AESGCM(key).encrypt(vector, _deflated(package), None))
        archive.writestr("META-INF/manifest.xml", manifest)
    return buffer.getvalue()


_SECRET = _content("<office:text><text:p>비밀</text:p></office:text>")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_locked(_SECRET, "호랑이"), id="aes-cbc"),
        pytest.param(_locked_long_ago(_SECRET, "호랑이"), id="blowfish"),
        pytest.param(_locked_whole(_package(_ODT, _SECRET), "호랑이"), id="whole-package"),
    ],
)
def test_a_password_opens_it(data: bytes) -> None:
    assert text_of(list(_read(data, passwords=("사자", "호랑이")).blocks)) == "비밀"
    with pytest.raises(EncryptedDocument, match="ODT document is protected"):
        _read(data, passwords=("사자",))
    with pytest.raises(EncryptedDocument, match="ODT document is protected"):
        _read(data)


def test_encryption_that_is_not_ours_says_so() -> None:
    with zipfile.ZipFile(io.BytesIO(_locked(_content(""), "x"))) as archive:
        manifest = archive.read("META-INF/manifest.xml").replace(b"aes256-cbc", b"serpent")
    with pytest.raises(EncryptedDocument, match="in a way that is not read"):
        _read(_package(_ODT, b"x", **{"META-INF__manifest.xml": manifest}), passwords=("x",))


def test_a_key_that_would_cost_gigabytes_is_refused() -> None:
    with pytest.raises(EncryptedDocument, match="in a way that is not read"):
        _read(_locked_whole(_package(_ODT, _SECRET), "x", memory_kib=1 << 24), passwords=("x",))


def test_notes_keep_their_marks_and_charts_in_cells_their_data() -> None:
    note = (
        "<text:note><text:note-citation>{0}</text:note-citation>"
        "<text:note-body><text:p>{1}</text:p></text:note-body></text:note>"
    )
    row = "<table:table-row>{}</table:table-row>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    chart = _content(f"<table:table>{row.format(cell.format('분기') + cell.format('매출'))}</table:table>")
    frame = "표<draw:frame><draw:object xlink:href='./Object 1'/></draw:frame>"
    table = f"<table:table>{row.format(cell.format(frame) + cell.format('나'))}</table:table>"
    body = f"<office:text><text:p>앞{note.format(1, '각주')}뒤{note.format('*', '별')}</text:p>{table}</office:text>"
    blocks = list(_read(_package(_ODT, _content(body), **{"Object 1__content.xml": chart})).blocks)
    assert [block.text for block in blocks] == ["앞뒤", "1) 각주", "* 별", ""]
    assert blocks[-1].rows == (("표 분기 | 매출", "나"),)


def test_a_damaged_object_is_named_and_the_text_is_kept() -> None:
    frame = "<draw:frame><draw:object xlink:href='./Object 1'/></draw:frame>"
    body = f"<office:text><text:p>앞{frame}</text:p><text:p>뒤{frame}</text:p></office:text>"
    document = _read(_package(_ODT, _content(body), **{"Object 1__content.xml": b"<broken"}))
    assert [block.text for block in document.blocks] == ["앞", "뒤"]
    assert document.warnings == ("the object Object 1 is damaged",)


def test_an_object_that_is_shown_often_is_read_once() -> None:
    row = "<table:table-row><table:table-cell><text:p>가</text:p></table:table-cell></table:table-row>"
    frame = "<text:p><draw:frame><draw:object xlink:href='./Object 1'/></draw:frame></text:p>"
    chart = _content(f"<table:table>{row}</table:table>")
    data = _package(_ODT, _content(f"<office:text>{frame * 50}</office:text>"), **{"Object 1__content.xml": chart})
    assert [block.text for block in _read(data).blocks] == ["가"]


def test_far_columns_are_kept_and_dates_without_text_too() -> None:
    body = (
        "<office:spreadsheet><table:table table:name='a'><table:table-row>"
        "<table:table-cell office:date-value='2025-01-01'/><table:table-cell table:number-columns-repeated='16000'/>"
        "<table:table-cell><text:p>끝</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>"
    )
    assert [block.rows for block in _read(_file(_ODS, body), _ODS).blocks][1:] == [(("2025-01-01", "끝"),)]


def test_repeats_are_no_bomb() -> None:
    row = (
        "<table:table-row table:number-rows-repeated='100'><table:table-cell table:number-columns-repeated='{0}'/>"
        "<table:table-cell><text:p>x</text:p></table:table-cell><table:table-cell table:number-columns-repeated='60'>"
        "<text:p>y</text:p></table:table-cell></table:table-row>"
    )
    rows = "".join(row.format(1 + number * 61) for number in range(3_000))
    body = f"<office:spreadsheet><table:table table:name='a'>{rows}</table:table></office:spreadsheet>"
    blocks = list(_read(_file(_ODS, body), _ODS).blocks)
    assert sum(row.count("x") for block in blocks for row in block.rows) >= 3_000
    assert sum(len(row) for block in blocks for row in block.rows) < 1_000_000


def test_a_cell_of_any_length_fits_into_blocks() -> None:
    words = " ".join(f"낱말{number}" for number in range(20_000))
    cells = f"<table:table-cell><text:p>{words}</text:p></table:table-cell>" * 2
    body = f"<office:text><table:table><table:table-row>{cells}</table:table-row></table:table></office:text>"
    blocks = list(_read(_file(_ODT, body)).blocks)
    assert max(sum(len(cell.encode()) for row in block.rows for cell in row) for block in blocks) <= 65_536
    for column in (0, 1):
        assert " ".join(row[column] for block in blocks for row in block.rows) == words


def test_entities_are_not_followed() -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    prolog = f'<!DOCTYPE x [<!ENTITY a0 "ha"><!ENTITY file SYSTEM "file:///etc/passwd">{laughs}]>'
    began = time.process_time()
    body = "<office:text><text:p>&a11;</text:p><text:p>&file;</text:p><text:p>end</text:p></office:text>"
    try:
        text = text_of(list(_read(_package(_ODT, _content(body, prolog))).blocks))
    except UnreadableDocument:
        text = ""
    assert len(text) < 1_000
    assert "root" not in text
    assert time.process_time() - began < 60


_CELL = (
    "<table:table><table:table-row><table:table-cell><text:p>ab</text:p>",
    "</table:table-cell></table:table-row></table:table>",
)


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<text:span>", "</text:span>"),
        ("<text:p>a", "</text:p>"),
        ("<text:list><text:list-item>", "</text:list-item></text:list>"),
        ("<draw:frame><draw:text-box>", "</draw:text-box></draw:frame>"),
        _CELL,
    ],
)
def test_depth_is_no_matter(opened: str, closed: str) -> None:
    began = time.process_time()
    count = 100_000
    body = f"<office:text>{opened * count}<text:p>deep</text:p>{closed * count}</office:text>"
    assert "deep" in text_of(list(_read(_file(_ODT, body)).blocks))
    assert time.process_time() - began < 120


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    with pytest.raises(DocumentTooLarge):
        _read(_file(_ODT, " " * (3 << 20)), limits=DocumentLimits(unpacked_bytes=2 << 20))

"""Whatever bytes a parsing child sends, the service gets a document within the limits or one of our errors."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.parsers.isolated.received import receive
from s3_to_milvus.adapters.parsers.isolated.wire import (
    ATTACHMENT,
    BLOCKS,
    END,
    INLINE_BYTES,
    PIECE,
    PIECE_BYTES,
    Ending,
    encode_attachment,
    encode_blocks,
    encode_ending,
)
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Box, Document
from s3_to_milvus.errors import (
    DocumentTooLarge,
    EncryptedDocument,
    ParserCrashed,
    PermanentError,
    S3ToMilvusError,
    Unavailable,
)

_LIMITS = DocumentLimits(pages=10, unpacked_bytes=5_000_000, members=3, text_chars=1_000_000)
_GOOD = ["paragraph", "text", 0, [], False, None, None]
_END = {
    "media_type": "text/plain",
    "title": "t",
    "language": "",
    "page_count": 1,
    "warnings": [],
    "unread_pages": [],
    "error": None,
    "traceback": "",
}


def _line(*blocks: Any) -> bytes:
    return json.dumps(blocks).encode() + b"\n"


def _end(**changed: Any) -> tuple[bytes, bytes]:
    return END, json.dumps(_END | changed).encode()


def _received(folder: Path, *frames: tuple[bytes, bytes]) -> Document:
    answer = receive(frames, _LIMITS, folder)
    assert isinstance(answer, Document)
    return answer


def _changed(place: int, value: Any) -> list[Any]:
    return [value if number == place else given for number, given in enumerate(_GOOD)]


_UNTRUE_BLOCKS = {
    "a kind that is none": _changed(0, "exec"),
    "a kind that is a list": _changed(0, []),
    "a number for text": _changed(1, 7),
    "no text": _changed(1, None),
    "a list for text": _changed(1, ["text"]),
    "a negative level": _changed(2, -1),
    "a high level": _changed(2, 7),
    "a level that is true": _changed(2, True),
    "a fraction for a level": _changed(2, 1.0),
    "rows that are text": _changed(3, "rows"),
    "a row that is text": _changed(3, ["row"]),
    "a cell that is a number": _changed(3, [[7]]),
    "a cell that is a list": _changed(3, [[["deep"]]]),
    "a header that is a number": _changed(4, 1),
    "page 0": _changed(5, 0),
    "a negative page": _changed(5, -1),
    "a huge page": _changed(5, 1 << 63),
    "a page that is a fraction": _changed(5, 1.5),
    "a box of three": _changed(6, [0, 0, 1]),
    "a box of text": _changed(6, ["0", 0, 1, 1]),
    "a box of huge numbers": _changed(6, [0, 0, 1, 10**400]),
    "a box of infinity": _changed(6, [0, 0, 1, 1e308 * 10]),
    "a field too few": _GOOD[:-1],
    "a field too many": [*_GOOD, 1],
    "no list": {"text": "x"},
    "text": "paragra",
    "nothing": None,
}


@pytest.mark.parametrize("what", _UNTRUE_BLOCKS)
def test_untrue_blocks_are_refused(tmp_path: Path, what: str) -> None:
    line = _line(_GOOD, _UNTRUE_BLOCKS[what])
    with pytest.raises(ParserCrashed, match="can't be true"):
        _received(tmp_path, (BLOCKS, line), _end())
    padding = _line(["paragraph", "x" * INLINE_BYTES, 0, [], False, None, None])
    document = _received(tmp_path, (BLOCKS, padding), (BLOCKS, line), _end())
    with pytest.raises(ParserCrashed, match="can't be true"):  # also where blocks are read from a file
        list(document.blocks)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"null\n",
        b"7\n",
        b"[1,\n",
        b"[" * 2_000_000,
        b'[["paragraph","' + b"a" * 100 + b"\n",
        b"[" + b"9" * 1_000_000 + b"]\n",
        b'[["paragraph","x",0,[],false,null,[0,0,NaN,1]]]\n',
        b"\xff\xfe\n",
        b"\x80\x04\x95.\n",
        _line(*[_GOOD] * 65),
    ],
    ids=lambda line: f"{len(line)} bytes, {line[:12]!r} {line[-8:]!r}",
)
def test_lines_that_are_none_are_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ParserCrashed, match="can't be true"):
        list(_received(tmp_path, (BLOCKS, line), _end()).blocks)


@pytest.mark.parametrize(
    "changed",
    [
        {"media_type": None},
        {"title": 7},
        {"title": "x" * 100_000},
        {"language": ["ko"]},
        {"page_count": -1},
        {"page_count": 1 << 70},
        {"page_count": "1"},
        {"page_count": True},
        {"warnings": "w"},
        {"warnings": [7]},
        {"warnings": ["w"] * 5_000},
        {"warnings": ["w" * 100_000]},
        {"unread_pages": [0]},
        {"unread_pages": [2, 1]},
        {"unread_pages": [1, 1]},
        {"unread_pages": [-5]},
        {"unread_pages": list(range(1, 12))},
        {"unread_pages": {"1": 2}},
        {"error": "error"},
        {"error": ["code", "message"]},
        {"error": ["code", "message", None]},
        {"error": ["code", "m" * 100_000, ""]},
        {"traceback": 7},
        {"more": 1},
    ],
    ids=lambda changed: f"{str(changed)[:40]}, {len(str(changed))}",
)
def test_untrue_ends_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ParserCrashed, match="can't be true"):
        _received(tmp_path, (BLOCKS, _line(_GOOD)), _end(**changed))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b'"end"', b"\x80\x04."])
def test_ends_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ParserCrashed, match="can't be true"):
        _received(tmp_path, (END, content))


_HEAD = (ATTACHMENT, b'["a.txt",null]')


@pytest.mark.parametrize(
    "frames",
    [
        [(PIECE, b"x")],
        [_HEAD, (PIECE, b"")],
        [_HEAD, (PIECE, b"x"), (PIECE, b"y")],
        [_HEAD, (BLOCKS, _line(_GOOD))],
        [(b"X", b"")],
        [(b"J", b"")],
        [(b"R", b"full")],
        [(ATTACHMENT, b'["a.txt"]')],
        [(ATTACHMENT, b'{"name":"x","size":-40,"error":null}')],
        [(ATTACHMENT, b"[7,null]")],
        [(ATTACHMENT, b'["a.txt",7]')],
        [(ATTACHMENT, json.dumps(["n" * 100_000, None]).encode())],
        [],
    ],
    ids=lambda frames: str(frames)[:70],
)
def test_frames_out_of_place_are_refused(tmp_path: Path, frames: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ParserCrashed, match="can't be true"):
        _received(tmp_path, *frames, *([_end()] if frames else []))


def test_attachments_keep_to_the_limits_of_the_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentTooLarge, match="holds 4 parts"):
        _received(tmp_path, *[_HEAD] * 4, _end())
    with pytest.raises(DocumentTooLarge, match="would unpack to"):
        _received(tmp_path, _HEAD, *[(PIECE, b"x" * PIECE_BYTES)] * 20, _end())
    assert list(tmp_path.iterdir()) == []


def test_sizes_of_attachments_are_counted_not_told(tmp_path: Path) -> None:
    large = random.Random(7).randbytes(2_500_000)
    pieces = [(PIECE, large[start : start + PIECE_BYTES]) for start in range(0, len(large), PIECE_BYTES)]
    document = _received(tmp_path, _HEAD, (ATTACHMENT, b'["b",null]'), *pieces, (ATTACHMENT, b'["c",null]'), _end())
    for _ in range(2):
        found = [
            (each.name, each.data if each.path is None else each.path.read_bytes()) for each in document.attachments
        ]
        assert found == [("a.txt", b""), ("b", large), ("c", b"")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("encrypted_document", EncryptedDocument),
        ("unavailable", Unavailable),
        ("quota_exhausted", ParserCrashed),
        ("unauthorized", ParserCrashed),
        ("superseded", ParserCrashed),
        ("lease_lost", ParserCrashed),
        ("config", ParserCrashed),
        ("rate_limited", ParserCrashed),
        ("", ParserCrashed),
    ],
)
def test_a_child_raises_what_concerns_its_document(tmp_path: Path, code: str, kind: type[Exception]) -> None:
    answer = receive([_end(error=[code, "m", "h"])], _LIMITS, tmp_path)
    assert type(answer) is kind
    assert isinstance(answer, S3ToMilvusError)
    assert (answer.message, answer.hint) == ("m", "h")


def test_honest_answers_arrive_whole(tmp_path: Path) -> None:
    blocks = [
        Block(BlockKind.HEADING, "제목 \udc80 \x00", level=2, page=3, box=Box(0.0, 0.25, 1.0, 0.5)),
        Block(BlockKind.TABLE, rows=(("a", ""), ("b", "ㄱ")), has_header=True),
    ]
    error = PermanentError("m", hint="h")
    ending = Ending("text/plain", "t\udc80", "ko", 0, ("w",), (1, 10))
    for count in (1, 2_000):
        lines = [(BLOCKS, encode_blocks(blocks))] * count
        attached = (ATTACHMENT, encode_attachment(Attachment("n\udc80", error=error)))
        document = _received(tmp_path, *lines, attached, (END, encode_ending(ending)))
        assert list(document.blocks) == blocks * count
        (attachment,) = document.attachments
        assert (attachment.name, type(attachment.error)) == ("n\udc80", PermanentError)
        found = (document.title, document.page_count, document.warnings, document.unread_pages)
        assert found == ("t\udc80", 0, ("w",), (1, 10))


def test_any_bytes_end_in_a_document_or_an_error(tmp_path: Path) -> None:
    chance = random.Random(20_261_201)
    good = [(BLOCKS, encode_blocks([Block(BlockKind.PARAGRAPH, "text")])), _HEAD, (PIECE, b"xyz"), _end()]
    for _ in range(3_000):
        frames = list(good)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(frames))
            kind, content = frames[place]
            frames[place] = chance.choice([(kind, _damaged(content, chance)), (chance.choice(good)[0], content)])
        try:
            answer = receive(frames, _LIMITS, tmp_path)
            if isinstance(answer, Document):
                assert all(isinstance(block.text, str) for block in answer.blocks)
                assert len(list(answer.attachments)) <= _LIMITS.members
        except S3ToMilvusError:
            continue


def _damaged(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content or b"\0")
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.choice(b'[]{},":0-9e\\\xff\x00tn')
    return bytes(data[: chance.randint(1, len(data))])


def test_files_of_refused_answers_are_closed(tmp_path: Path) -> None:
    def frames() -> Iterator[tuple[bytes, bytes]]:
        yield BLOCKS, _line(["paragraph", "x" * INLINE_BYTES, 0, [], False, None, None])
        yield _HEAD
        yield PIECE, b"x"
        raise EOFError

    with pytest.raises(EOFError):  # an unclosed file would be a warning, and those are errors here
        receive(frames(), _LIMITS, tmp_path)

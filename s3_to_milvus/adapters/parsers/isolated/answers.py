"""What the service believes of an answer: a child that read a hostile file may say anything.

An answer is data, measured against the limits of the document while it comes: frames, bytes, blocks, attachments. Each
block is looked at again when it is taken. What cannot be true costs this document: `ParserCrashed`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from s3_to_milvus import errors
from s3_to_milvus.adapters.parsers.isolated.wire import MAX_LINE_BLOCKS, Ending
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Block, BlockKind, Box
from s3_to_milvus.errors import ParserCrashed, S3ToMilvusError

__all__ = ["checked_attachment", "checked_ending", "decode_blocks", "error_of", "untrue"]

_MAX_PAGE = 10_000_000
_MAX_TEXT_CHARS = 8_192
_MAX_WARNINGS = 1_000
_MAX_LEVEL = 6

# What a file can be to blame for, and what may pass by itself. Anything else would stop more than this document.
_OF_DOCUMENTS: dict[str, type[S3ToMilvusError]] = {
    each.code: each
    for each in (
        errors.DocumentTooLarge,
        errors.EncryptedDocument,
        errors.ParserCrashed,
        errors.ParserTimeout,
        errors.PermanentError,
        errors.Rejected,
        errors.Unavailable,
        errors.UnreadableDocument,
        errors.UnsupportedFormat,
    )
}
_KINDS = {kind.value: kind for kind in BlockKind}


def untrue(what: str) -> ParserCrashed:
    """The error of an answer that no honest parser gives; ``what``: what is wrong with it."""
    return ParserCrashed(
        f"The parser's process gave an answer that can't be true ({what}) and was stopped.",
        hint="The file may be made to attack its reader: delete it, or look where it came from.",
    )


def decode_blocks(line: bytes) -> Iterator[Block]:
    """The blocks of one line. Raises `ParserCrashed` for what are none."""
    rows = _decoded(line, list)
    if len(rows) > MAX_LINE_BLOCKS:
        raise untrue("too many blocks in a line")
    try:
        for kind, text, level, cells, has_header, page, box in rows:
            yield Block(
                _KINDS[kind],
                _text(text, None),
                _number(level, 0, _MAX_LEVEL),
                _cells(cells) if cells else (),
                _one(has_header, bool),
                None if page is None else _number(page, 1, _MAX_PAGE),
                None if box is None else _box(box),
            )
    except (KeyError, TypeError, ValueError) as exc:
        raise untrue("a block that is none") from exc


def checked_attachment(content: bytes) -> tuple[str, S3ToMilvusError | None]:
    """Name and error of an attachment. Raises `ParserCrashed`."""
    fields = _decoded(content, list)
    if len(fields) != 2:
        raise untrue("an attachment that is none")
    name, error = fields
    return _text(name), None if error is None else error_of(*_error(error))


def checked_ending(content: bytes, limits: DocumentLimits) -> Ending:
    """The last frame of an answer. Raises `ParserCrashed`."""
    fields = _decoded(content, dict)
    if fields.keys() != _ENDING.keys():
        raise untrue("an end with other fields")
    ending = Ending(**{name: check(fields[name]) for name, check in _ENDING.items()})
    if len(ending.unread_pages) > limits.pages:
        raise untrue("more pages than are allowed")
    return ending


def error_of(code: str, message: str, hint: str, traceback: str = "") -> S3ToMilvusError:
    """The error that was raised on the other side."""
    if code == "memory":
        return ParserCrashed("The document needs more memory than a parser may use.")
    if code == "defect":
        error = ParserCrashed(message)
        error.add_note(traceback)
        return error
    return _OF_DOCUMENTS.get(code, ParserCrashed)(message, hint=hint)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def _decoded(content: bytes, kind: type) -> Any:
    """The JSON of a frame, which is of this kind."""
    try:
        value = _DECODER.decode(content.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as exc:
        raise untrue("not JSON") from exc
    return _one(value, kind)


def _one(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise untrue(f"no {kind.__name__}")
    return value


def _text(value: Any, most: int | None = _MAX_TEXT_CHARS) -> str:
    if type(value) is not str or (most is not None and len(value) > most):
        raise untrue("a text that is none, or too long")
    return value


def _number(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise untrue("a number out of range")
    return value


def _cells(rows: Any) -> tuple[tuple[str, ...], ...]:
    cells = tuple(tuple(_one(row, list)) for row in _one(rows, list))
    if any(type(cell) is not str for row in cells for cell in row):
        raise untrue("a cell that is no text")
    return cells


def _box(values: Any) -> Box:
    left, top, right, bottom = (_share(value) for value in _one(values, list))
    return Box(left, top, right, bottom)


def _share(value: Any) -> float:
    """A place on a page; a parser may miss its border by a little."""
    if type(value) not in (int, float) or not abs(value) <= _MAX_PAGE:  # so that NaN is none
        raise untrue("a place that is none")
    return min(max(float(value), 0.0), 1.0)


def _warnings(values: Any) -> tuple[str, ...]:
    if len(_one(values, list)) > _MAX_WARNINGS:
        raise untrue("too many warnings")
    return tuple(_text(value) for value in values)


def _pages(values: Any) -> tuple[int, ...]:
    """Numbers of pages, ascending."""
    last = 0
    for value in _one(values, list):
        last = _number(value, last + 1, _MAX_PAGE)
    return tuple(values)


def _error(values: Any) -> tuple[str, str, str]:
    if len(_one(values, list)) != 3:
        raise untrue("an error that is none")
    code, message, hint = map(_text, values)
    return code, message, hint


_ENDING: dict[str, Callable[[Any], Any]] = {
    "media_type": _text,
    "title": _text,
    "language": _text,
    "page_count": lambda value: None if value is None else _number(value, 0, _MAX_PAGE),
    "warnings": _warnings,
    "unread_pages": _pages,
    "error": lambda value: None if value is None else _error(value),
    "traceback": lambda value: _text(value, _MAX_TEXT_CHARS),
}

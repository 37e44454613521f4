"""Documents as HTML and Markdown: those of the bucket, and one that is uploaded to be parsed."""

import shutil
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathPart
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from s3_to_milvus.domain.rendering import html_of, html_page, markdown_of
from s3_to_milvus.engine.documents import Documents, Shown
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS
from s3_to_milvus.web.problems import invalid, problem

__all__ = ["UPLOAD_PATH", "router"]

UPLOAD_PATH = "/upload_parse_document"
"""The only path that takes more than a small body."""

router = APIRouter(responses=PROBLEMS)
_Door = Annotated[Door, Depends(door_of)]
_Format = Annotated[Literal["html", "markdown"], Query(description="How the document is written")]
_PIECE = 1 << 18
_MOST_FIELDS = 16
_MEDIA_TYPES = {"html": "text/html", "markdown": "text/markdown"}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string"}} for kind in _MEDIA_TYPES.values()}}
}

_FILE = {"type": "string", "format": "binary", "description": "The document"}
_FORM = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
_UPLOAD: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


@router.get(
    "/api/v1/objects/{object_id}/document", tags=["objects"], response_class=Response, responses=_ANSWER | PROBLEMS
)
async def document(
    request: Request,
    object_id: Annotated[str, PathPart(pattern="^[0-9a-f]{64}$", description="The id that lists of objects show")],
    door: _Door,
    format: _Format = "html",
) -> Response:
    """The object as it lies in its store now, read by the parsers that index it.

    A few documents are read at the same time; 429 says when to come again.
    """
    return await door.lanes.reading.run(partial(_of_object, door, object_id, format), request.is_disconnected)


def _of_object(door: Door, object_id: str, kind: str) -> Response:
    ref = door.mirror.parts.ledger.find(object_id)
    if ref is None:
        return problem(404, "unknown_object", "No object has this id.", "GET /api/v1/objects lists them.")
    with Documents(door.mirror.parts).of_object(ref) as shown:
        if shown is None:
            return problem(404, "object_gone", "The object is not in its bucket any more.")
        return _answer(door, shown, ref.file_name, kind)


@router.post(f"{UPLOAD_PATH}/", response_class=Response, include_in_schema=False)
@router.post(UPLOAD_PATH, tags=["work"], response_class=Response, responses=_ANSWER | PROBLEMS, openapi_extra=_UPLOAD)
async def upload_parse_document(request: Request, door: _Door, format: _Format = "html") -> Response:
    """Parse one uploaded file, and give back its text with headings and tables. Nothing of it is kept.

    A few documents are read at the same time, and uploads take so much room together; 429 says when to come again.
    """
    door.lanes.reading.refuse_if_full()
    async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            return invalid([{"loc": ("body", "file"), "msg": "Field required"}])
        work = partial(_parsed, door, file.file, file.filename or "document", format)
        return await door.lanes.reading.run(work, request.is_disconnected)


def _parsed(door: Door, upload: BinaryIO, name: str, kind: str) -> Response:
    file_name = name.replace("\\", "/").rpartition("/")[2]
    path = _scratch(door)
    try:
        with path.open("xb") as out:
            shutil.copyfileobj(upload, out, _PIECE)
        with Documents(door.mirror.parts).of_file(path, file_name) as shown:
            return _answer(door, shown, file_name, kind)
    finally:
        path.unlink(missing_ok=True)


def _answer(door: Door, shown: Shown, file_name: str, kind: str) -> Response:
    """The whole document, written to scratch first: an error on its last page is still an error."""
    document = shown.reading.document
    body = _scratch(door)
    whole = body.with_suffix(".page")
    try:
        _write(body, html_of(document) if kind == "html" else markdown_of(document))
        if kind == "html":
            title = document.title or file_name
            _write(whole, html_page(title, document.language, _pieces(body), shown.reading.warnings))
            whole.replace(body)
    except BaseException:
        for path in (body, whole):
            path.unlink(missing_ok=True)
        raise
    headers = {"X-Document-Media-Type": shown.media_type, "X-Document-Warnings": str(len(shown.reading.warnings))}
    if shown.etag.isascii() and shown.etag:
        headers["X-Object-ETag"] = shown.etag
    headers["Content-Length"] = str(body.stat().st_size)
    file = body.open("rb")
    body.unlink()  # what is open stays readable, and goes with the answer, however that ends
    return _Opened(file, headers=headers, media_type=f"{_MEDIA_TYPES[kind]}; charset=utf-8")


class _Opened(StreamingResponse):
    """An open file, which is closed however the answer ends."""

    def __init__(self, file: BinaryIO, **more: Any) -> None:
        super().__init__(_read(file), **more)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _write(path: Path, pieces: Iterable[str]) -> None:
    with path.open("x", encoding="utf-8", errors="replace", newline="") as out:
        out.writelines(pieces)


def _pieces(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        while piece := file.read(_PIECE):
            yield piece


def _read(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _scratch(door: Door) -> Path:
    parts = door.mirror.parts
    return parts.scratch / parts.clock.token()

"""``GET /``: status and a search box as one plain page, without scripts. ``/docs``: the HTTP interface, offline."""

from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.engine.answers import object_line
from s3_to_milvus.engine.search import Found
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.words import LANGUAGES, language_of, translator

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["STATIC", "router", "swagger_files"]

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).with_name("static")
_TEMPLATES = Path(__file__).with_name("templates")
_FAILURES = 50
_HITS = 10


def swagger_files() -> Path:
    """Where Swagger UI lies on this machine: the page works without the internet, and under our own policy."""
    spec = find_spec("fastapi_swagger")
    places: Sequence[str] = (spec and spec.submodule_search_locations) or ()
    return Path(next(iter(places), ".")) / "resources"


@router.get("/")
async def index(
    request: Request,
    q: Annotated[str, Query(max_length=8_192)] = "",
    collection: Annotated[str, Query(max_length=1_024)] = "",
    lang: Annotated[str | None, Query(max_length=16)] = None,
) -> HTMLResponse:
    """Numbers, what needs attention, and a search."""
    language = language_of(lang, request.headers.get("accept-language", ""))
    door = door_of(request)
    lane = door.lanes.search if q.strip() else door.lanes.status
    facts = await lane.run(partial(_facts, door, q.strip(), collection))
    facts |= {
        "root": request.scope["root_path"],
        "language": language,
        "languages": LANGUAGES,
        "asked_language": lang if lang in LANGUAGES else "",
        "q": q,
        "collection": collection,
    }
    return _page("page.html", translator(language), facts)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI."""
    return _page("docs.html", translator("en"), {"root": request.scope["root_path"]})


def _facts(door: Door, query: str, collection: str) -> dict[str, Any]:
    hits: list[Found] = []
    problem: S3ToMilvusError | None = None
    if query:
        try:
            hits = door.mirror.search(query, _HITS, collection or None)
        except S3ToMilvusError as error:
            problem = error
    failed = door.mirror.parts.ledger.objects(state=ObjectState.FAILED, limit=_FAILURES)
    return {
        "status": door.status(),
        "failures": [object_line(each) for each in failed],
        "hits": hits,
        "problem": problem,
        "is_searched": bool(query) and problem is None,
    }


def _page(name: str, translate: Any, facts: dict[str, Any]) -> HTMLResponse:
    text = _environment().get_template(name).render(_=translate, **facts)
    return HTMLResponse(text.encode("utf-8", "replace"), headers={"Cache-Control": "no-store"})


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

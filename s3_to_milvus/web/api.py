"""``/api/v1``: search, objects, collections, status, retry, sync, check."""

from functools import partial
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from s3_to_milvus.domain.access import Role
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.engine.answers import object_answer, object_line, search_answer
from s3_to_milvus.web.access import role_in
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import (
    PROBLEMS,
    BackupBody,
    BackupJob,
    CheckBody,
    CheckJob,
    CollectionsAnswer,
    ObjectAnswer,
    ObjectsAnswer,
    RetryAnswer,
    RetryBody,
    SearchAnswer,
    SearchBody,
    StatusAnswer,
    SyncBody,
    SyncJob,
)
from s3_to_milvus.web.paging import after_of, exact_query, next_of
from s3_to_milvus.web.problems import Json, problem
from s3_to_milvus.web.work import backup_work, check_work, sync_work

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
_Door = Annotated[Door, Depends(door_of)]
_ObjectId = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The id that lists of objects show")]
_JobId = Annotated[str, Path(max_length=64)]


@router.post("/search", tags=["search"], response_model=SearchAnswer)
async def search(body: SearchBody, door: _Door) -> Response:
    """The pieces of text nearest to the question, best first; only of documents as they are now."""
    found = await door.lanes.search.run(partial(door.mirror.search, body.query, body.top, body.collection))
    return Json(search_answer(body.query, found))


@router.get("/objects", tags=["objects"], response_model=ObjectsAnswer)
def objects(
    request: Request,
    door: _Door,
    state: ObjectState | None = None,
    bucket: Annotated[str | None, Query(max_length=255)] = None,
    prefix: Annotated[str, Query(max_length=4_096)] = "",
    key: Annotated[str | None, Query(max_length=4_096, description="Only objects with this key or bucket/key")] = None,
    after: Annotated[str | None, Query(max_length=8_192, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """Objects and where each one stands, in the order of bucket and key."""
    if key is not None:
        found = [
            each for each in door.mirror.find(exact_query(request.scope, "key"), bucket) if state in (None, each.state)
        ]
        return Json({"objects": [object_line(each) for each in found], "next": None})
    page = door.mirror.parts.ledger.objects(
        bucket=bucket, prefix=prefix, state=state, after=after_of(after), limit=limit
    )
    return Json({"objects": [object_line(each) for each in page], "next": next_of(page, limit)})


@router.get("/objects/{object_id}", tags=["objects"], response_model=ObjectAnswer)
def one_object(object_id: _ObjectId, door: _Door) -> Response:
    """One object: what is indexed of it, every attempt, and the rows that stand for it."""
    mirror = door.mirror
    ref = mirror.parts.ledger.find(object_id)
    status = None if ref is None else mirror.parts.ledger.status(ref)
    if status is None:
        return problem(404, "unknown_object", "No object has this id.", "GET /api/v1/objects lists them.")
    return Json(object_answer(status, mirror.timeline(status.ref), mirror.chunks(status)))


@router.get("/collections", tags=["status"], response_model=CollectionsAnswer)
def collections(door: _Door) -> Response:
    """The collections in Milvus."""
    return Json({"collections": door.status()["collections"]})


@router.get("/status", tags=["status"], response_model=StatusAnswer)
def status(door: _Door) -> Response:
    """Counts, collections, freshness, and what stands in the way; at most a second old."""
    return Json(door.status())


@router.post("/retry", tags=["work"], status_code=202, response_model=RetryAnswer)
def retry(body: RetryBody, door: _Door) -> Response:
    """Try failed objects again now."""
    if body.keys is None:
        return Json({"retried": door.mirror.retry(None), "unknown": []}, 202)
    found = {key: door.mirror.find(key) for key in body.keys}
    refs = list(dict.fromkeys(each.ref for statuses in found.values() for each in statuses))
    unknown = [key for key, statuses in found.items() if not statuses]
    return Json({"retried": door.mirror.retry(refs) if refs else 0, "unknown": unknown}, 202)


@router.post("/sync", tags=["work"], status_code=202, response_model=SyncJob)
def sync(body: SyncBody, door: _Door, request: Request) -> Response:
    """Bring a source in line with Milvus now; ask for the job to see how far it is."""
    if role_in(request.scope) != Role.ADMIN and not door.is_known(body.source):
        detail = "This source is not mirrored yet; only who can read the service's data folder may add it."
        return problem(403, "unknown_source", detail, "Run `s3-to-milvus sync` on the service's machine.")
    job = door.jobs.start("sync", sync_work(door, body))
    return Json(job.answer(), 202, headers={"Location": f"{request.scope['root_path']}/api/v1/sync/{job.id}"})


@router.get("/sync/{job_id}", tags=["work"], response_model=SyncJob)
def sync_job(job_id: _JobId, door: _Door) -> Response:
    """How far a sync is, and its report when it is done."""
    return _job(door, "sync", job_id)


@router.post("/check", tags=["work"], status_code=202, response_model=CheckJob)
def check(door: _Door, request: Request, body: CheckBody | None = None) -> Response:
    """Compare bucket, ledger and Milvus row by row; ask for the job to see what was found."""
    job = door.jobs.start("check", check_work(door, is_repairing=body is not None and body.repair))
    return Json(job.answer(), 202, headers={"Location": f"{request.scope['root_path']}/api/v1/check/{job.id}"})


@router.get("/check/{job_id}", tags=["work"], response_model=CheckJob)
def check_job(job_id: _JobId, door: _Door) -> Response:
    """What a check found."""
    return _job(door, "check", job_id)


@router.post("/backup", tags=["work"], status_code=202, response_model=BackupJob)
def backup(body: BackupBody, door: _Door, request: Request) -> Response:
    """Copy ledger and vectors, of one moment, while everything runs; ask for the job to see when it is done."""
    job = door.jobs.start("backup", backup_work(door, FilePath(body.folder)))
    return Json(job.answer(), 202, headers={"Location": f"{request.scope['root_path']}/api/v1/backup/{job.id}"})


@router.get("/backup/{job_id}", tags=["work"], response_model=BackupJob)
def backup_job(job_id: _JobId, door: _Door) -> Response:
    """How far a backup is, and what was copied when it is done."""
    return _job(door, "backup", job_id)


def _job(door: Door, kind: str, job_id: str) -> Response:
    job = door.jobs.get(kind, job_id)
    if job is None:
        return problem(404, "unknown_job", "There is no such job.", "Jobs are forgotten when the service stops.")
    return Json(job.answer())

"""For machines that watch: is it alive, is it ready, what are its figures."""

from functools import partial

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from s3_to_milvus.engine.observe import OBJECTS
from s3_to_milvus.errors import S3ToMilvusError, Unavailable
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, Health, Readiness
from s3_to_milvus.web.problems import Json

__all__ = ["router"]

router = APIRouter(tags=["health"], responses=PROBLEMS)


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """The process answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def readyz(request: Request) -> Response:
    """The workers run and the ledger answers."""
    try:
        door = door_of(request)
        reasons = await door.lanes.ready.run(partial(_reasons, door))
    except Unavailable as error:
        reasons = [error.message]
    return Json({"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus figures; `s2m_freshness_seconds` is the one that matters."""
    door = door_of(request)
    status = await door.lanes.status.run(door.status)
    for state, count in status["objects"].items():
        OBJECTS.labels(state).set(count)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _reasons(door: Door) -> list[str]:
    reasons = [] if door.mirror.pool.is_running else ["The workers do not run."]
    try:
        door.mirror.parts.ledger.check()
    except S3ToMilvusError as error:
        reasons.append(f"The ledger does not answer: {error.message}")
    except Exception as error:  # noqa: BLE001 - not ready, whatever it is
        reasons.append(f"The ledger does not answer: {type(error).__name__}.")
    return reasons

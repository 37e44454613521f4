"""``/api/v1/quarantine``: bodies of events that nobody understood, to be looked at, played again or dropped."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, Id, QuarantineAnswer, QuarantineBody, ReplayAnswer
from s3_to_milvus.web.problems import Json

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/quarantine", tags=["events"], responses=PROBLEMS)
_Door = Annotated[Door, Depends(door_of)]
_PAGE = 1_000


@router.get("", response_model=QuarantineAnswer)
def quarantine(
    door: _Door, after: Annotated[Id, Query()] = 0, limit: Annotated[int, Query(ge=1, le=_PAGE)] = 100
) -> Response:
    """What came in and was not understood, oldest first."""
    found = door.mirror.parts.ledger.quarantined(after, limit)
    return Json({"bodies": [asdict(each) for each in found], "next": found[-1].id if len(found) == limit else None})


@router.post("/replay", status_code=202, response_model=ReplayAnswer)
def replay(body: QuarantineBody, door: _Door) -> Response:
    """Understand these once more, for instance after an update; what is understood now is taken and leaves."""
    return Json(asdict(door.application.hints.replay(body.ids)), 202)


@router.post("/drop", response_model=ReplayAnswer)
def drop(body: QuarantineBody, door: _Door) -> Response:
    """Forget these."""
    return Json(asdict(door.application.hints.drop(body.ids)))

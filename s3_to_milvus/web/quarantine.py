"""``/api/v1/quarantine``: bodies of events that nobody understood, to be looked at, played again or dropped."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from s3_to_milvus.domain.quarantine import QuarantinedBody
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, QuarantineAnswer, QuarantineBody, ReplayAnswer
from s3_to_milvus.web.problems import Json

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/quarantine", tags=["events"], responses=PROBLEMS)
_Door = Annotated[Door, Depends(door_of)]
_PAGE = 1_000


@router.get("", response_model=QuarantineAnswer)
def quarantine(
    door: _Door, after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=_PAGE)] = 100
) -> Response:
    """What came in and was not understood, oldest first."""
    found = door.mirror.parts.ledger.quarantined(after, limit)
    return Json({"bodies": [asdict(each) for each in found], "next": found[-1].id if len(found) == limit else None})


@router.post("/replay", status_code=202, response_model=ReplayAnswer)
def replay(body: QuarantineBody, door: _Door) -> Response:
    """Understand these once more, for instance after an update; what is understood now is taken and leaves."""
    done = door.application.hints.replay(_chosen(door, body))
    return Json({"taken": done.taken, "left": done.left}, 202)


@router.post("/drop", response_model=ReplayAnswer)
def drop(body: QuarantineBody, door: _Door) -> Response:
    """Forget these."""
    chosen = _chosen(door, body)
    door.mirror.parts.ledger.unquarantine([each.id for each in chosen])
    return Json({"taken": 0, "left": len(door.mirror.parts.ledger.quarantined(0, _PAGE))})


def _chosen(door: Door, body: QuarantineBody) -> list[QuarantinedBody]:
    """The bodies that a request names, or all."""
    ledger = door.mirror.parts.ledger
    found: list[QuarantinedBody] = []
    while page := ledger.quarantined(found[-1].id if found else 0, _PAGE):
        found += page
    wanted = set(body.ids or ())
    return [each for each in found if body.ids is None or each.id in wanted]

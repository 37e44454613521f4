"""``POST /process_s3_event``: the door for hints which object to look at."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response

from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, EventAnswer, EventBody
from s3_to_milvus.web.problems import Json, invalid

__all__ = ["router"]


class _Lean(APIRoute):
    """A route whose endpoint takes the bare request: no dependencies to solve, which costs more than the event."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


router = APIRouter(route_class=_Lean)
_FOLDER = "Folder creation event ignored"
_STATUS = {"upload": "Processing initiated", "delete": "Deletion initiated"}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": EventBody.model_json_schema()}}}
}


@router.post(
    "/process_s3_event",
    tags=["events"],
    summary="Tell that an object may have changed",
    status_code=202,
    response_model=EventAnswer,
    responses=PROBLEMS,
    openapi_extra=_BODY,
)
async def process_s3_event(request: Request) -> Response:
    """Durable when it answers 202: the object is looked at soon, whatever the event said, however often it comes."""
    door = door_of(request)
    try:
        body = EventBody.model_validate_json(await request.body())
    except ValidationError as error:
        return invalid(error.errors(include_url=False, include_context=False, include_input=False))
    answer = body.model_dump()
    if body.file_key.endswith("/"):
        return Json({"status": _FOLDER, **answer}, 202)
    return Json({**await _take(door, answer), **answer}, 202)


async def _take(door: Door, body: dict[str, Any]) -> dict[str, str]:
    """A key that several decodings could mean is taken when one of them is."""
    events = door.decode(body)
    reasons = await door.intake.take(events) if events else ["The event names no object."]
    if "" in reasons:
        return {"status": _STATUS[body["event_type"]]}
    return {"status": "ignored", "reason": reasons[0]}

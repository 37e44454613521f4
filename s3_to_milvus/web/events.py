"""``POST /process_s3_event`` and ``POST /events``: the doors for hints which object to look at."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import Rejected
from s3_to_milvus.web.access import CHALLENGE, role_in
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, EventAnswer, EventBody, EventsAnswer
from s3_to_milvus.web.problems import Json, Problem, invalid, problem
from s3_to_milvus.web.refusals import refusals_in, sender_in

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
_ANY_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}
_SUBSCRIPTION = b"SubscriptionConfirmation"
_HANDSHAKE = "Microsoft.EventGrid.SubscriptionValidationEvent"


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
    content = await request.body()
    if refusal := _unless_genuine(request, door, content):
        await _heed(request)
        return refusal
    try:
        body = EventBody.model_validate_json(content)
    except ValidationError as error:
        return invalid(error.errors(include_url=False, include_context=False, include_input=False))
    answer = body.model_dump()
    if body.file_key.endswith("/"):
        return Json({"status": _FOLDER, **answer}, 202)
    return Json({**await _take(door, answer), **answer}, 202)


@router.post(
    "/events",
    tags=["events"],
    summary="Hand over a notification of any cloud, as it came",
    status_code=202,
    response_model=EventsAnswer,
    responses=PROBLEMS,
    openapi_extra=_ANY_BODY,
)
async def events(request: Request) -> Response:
    """Notifications of S3 (directly, by SQS, SNS, EventBridge or a Lambda), MinIO, Ceph, R2, Google Cloud and Azure.

    Durable when it answers 202. What nobody understands goes into quarantine and is answered with 202, too, so that no
    sender repeats it for ever. A subscription of SNS is confirmed. A message that SNS signed for a topic of the
    settings needs no key.
    """
    door = door_of(request)
    content = await request.body()
    refusal = _unless_genuine(request, door, content)
    if refusal and door.access.is_by_sns(_headers(request)):
        content, refusal = await _signed_by_sns(door, content)
    if refusal:
        await _heed(request)
        return refusal
    if code := _validation_code(content):
        return Json({"validationResponse": code})
    if _SUBSCRIPTION in content and await run_in_threadpool(door.application.confirm_subscription, content):
        return Json({"taken": 0, "ignored": 0, "quarantined": 0}, 202)
    hints = door.application.hints
    found = hints.decode(content)
    reasons = await door.intake.take(found.events) if found.events else []
    if found.refused:
        await run_in_threadpool(hints.keep, found.refused, "http")
    taken = reasons.count("")
    return Json({"taken": taken, "ignored": len(reasons) - taken, "quarantined": len(found.refused)}, 202)


@router.options("/events", include_in_schema=False)
async def events_options(request: Request) -> Response:
    """Azure asks here whether its events are welcome (CloudEvents webhooks, section 4)."""
    origin = request.headers.get("webhook-request-origin")
    headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"} if origin else {}
    return Response(status_code=200, headers={"Allow": "POST", **headers})


def _unless_genuine(request: Request, door: Door, content: bytes) -> Problem | None:
    """None for a caller with a role, or with a signature that is right."""
    if role_in(request.scope) is not None:
        return None
    if door.access.is_genuine(content, _headers(request)):
        return None
    hint = "Check the shared secret (S2M_AUTH__EVENT_SECRETS) and the sender's clock."
    return problem(401, "unauthorized", "The signature of the event is wrong or too old.", hint)


async def _heed(request: Request) -> None:
    """Tell the log that a signature was wrong; SNS has a line of its own."""
    if "x-s2m-signature" in request.headers:
        hint = "Compare the shared secret (S2M_AUTH__EVENT_SECRETS) and the clocks; the next scan heals what it told."
        await refusals_in(request.scope).heed(sender_in(request.scope), "its signature is wrong or too old", hint)


async def _signed_by_sns(door: Door, content: bytes) -> tuple[bytes, Problem | None]:
    """What SNS signed of a body; with a refusal where it is none that counts."""
    try:
        return await run_in_threadpool(door.application.signed_by_sns, content), None
    except Rejected as error:
        log.warning("sns.refused", message=error.message)
        # The challenge is for topics that have a key in the address: SNS sends it when it is asked.
        return content, problem(401, "unauthorized", error.message, error.hint, headers=CHALLENGE)


def _headers(request: Request) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in request.scope["headers"]}


def _validation_code(content: bytes) -> str:
    """What Azure Event Grid wants to read back before it sends events; empty for everything else."""
    if _HANDSHAKE.encode() not in content:
        return ""
    try:
        (only,) = json.loads(content)
        return str(only["data"]["validationCode"]) if only["eventType"] == _HANDSHAKE else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


async def _take(door: Door, body: dict[str, Any]) -> dict[str, str]:
    """A key that several decodings could mean is taken when one of them is."""
    events = door.decode(body)
    reasons = await door.intake.take(events) if events else ["The event names no object."]
    if "" in reasons:
        return {"status": _STATUS[body["event_type"]]}
    return {"status": "ignored", "reason": reasons[0]}

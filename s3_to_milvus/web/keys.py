"""``/api/v1/keys``: API keys. A key is shown once, when it is made; only its digest is kept."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from starlette.responses import Response

from s3_to_milvus.domain.access import Role
from s3_to_milvus.engine.keyring import add_key, key_line
from s3_to_milvus.web.access import role_in
from s3_to_milvus.web.door import Door, door_of
from s3_to_milvus.web.models import PROBLEMS, KeyAnswer, KeyBody, KeysAnswer
from s3_to_milvus.web.problems import Json, problem

__all__ = ["router"]


def _admins_only(request: Request) -> None:
    """The gate sees to this, too; of all doors this one has two locks."""
    if role_in(request.scope) != Role.ADMIN:
        raise HTTPException(403, "It needs the role admin.")


router = APIRouter(prefix="/api/v1/keys", tags=["keys"], responses=PROBLEMS, dependencies=[Depends(_admins_only)])
_Door = Annotated[Door, Depends(door_of)]


@router.get("", response_model=KeysAnswer)
def keys(door: _Door) -> Response:
    """Names and roles of all keys."""
    found = door.mirror.parts.ledger.access_keys()
    return Json({"keys": [key_line(each) for each in found]})


@router.post("", status_code=201, response_model=KeyAnswer)
def new_key(body: KeyBody, door: _Door) -> Response:
    """Make a key, in place of another one of its name. This is the only time that it is shown."""
    made = add_key(door.mirror.parts.ledger, body.name, Role[body.role.upper()], time.time())
    door.access.forget()
    return Json(made, 201)


@router.delete("/{name}", status_code=204, response_class=Response)
def drop_key(name: Annotated[str, Path(min_length=1, max_length=100)], door: _Door) -> Response:
    """Forget a key; whoever uses it is refused within seconds, on every host."""
    if not door.mirror.parts.ledger.drop_access_key(name):
        return problem(404, "unknown_key", "There is no key of this name.", "GET /api/v1/keys lists them.")
    door.access.forget()
    return Response(status_code=204)

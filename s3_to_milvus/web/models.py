"""The bodies and answers of the HTTP door, as the OpenAPI page shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = [
    "PROBLEMS",
    "CheckAnswer",
    "CheckBody",
    "CheckJob",
    "CollectionsAnswer",
    "EventAnswer",
    "EventBody",
    "EventsAnswer",
    "Health",
    "Id",
    "KeyAnswer",
    "KeyBody",
    "KeysAnswer",
    "ObjectAnswer",
    "ObjectsAnswer",
    "Problem",
    "QuarantineAnswer",
    "QuarantineBody",
    "Readiness",
    "ReplayAnswer",
    "RetryAnswer",
    "RetryBody",
    "SearchAnswer",
    "SearchBody",
    "StatusAnswer",
    "SyncBody",
    "SyncJob",
]

_Text = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]
_STRICT = ConfigDict(extra="forbid", strict=True)
Id = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]
"""A number that a ledger gave: 64 bits with a sign, in every database."""


class EventBody(BaseModel):
    """A hint which object to look at. Further members are ignored."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"bucket_name": "docs", "file_key": "a/b.pdf", "event_type": "upload"}},
    )

    bucket_name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    file_key: _Text
    event_type: Literal["upload", "delete"]


class EventAnswer(BaseModel):
    """What became of the hint. ``ignored`` says why in ``reason``."""

    status: Literal["Processing initiated", "Deletion initiated", "Folder creation event ignored", "ignored"]
    bucket_name: str
    file_key: str
    event_type: str
    reason: str | None = None


class EventsAnswer(BaseModel):
    """How many objects are looked at, how many events were ignored, how many bodies went into quarantine."""

    taken: int
    ignored: int
    quarantined: int


class QuarantinedLine(BaseModel):
    """A body that nobody understood. Times are epoch seconds."""

    id: int
    body: str
    reason: str
    source: str
    received_at: float


class QuarantineAnswer(BaseModel):
    """A page of bodies; ``next`` goes into ``after`` for the page behind it."""

    bodies: list[QuarantinedLine]
    next: int | None


class QuarantineBody(BaseModel):
    """Which bodies; without ``ids`` all of them."""

    model_config = _STRICT

    ids: Annotated[list[Id], Field(max_length=1_000)] | None = None


class ReplayAnswer(BaseModel):
    """How many were understood and taken, how many are left."""

    taken: int
    left: int


_RoleName = Literal["events", "viewer", "operator", "admin"]


class KeyBody(BaseModel):
    """A key to make."""

    model_config = ConfigDict(**_STRICT, json_schema_extra={"example": {"name": "lambda", "role": "events"}})

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^/\\\x00-\x1f]+$")]
    role: _RoleName = "viewer"


class KeyLine(BaseModel):
    """A key, without itself."""

    name: str
    role: _RoleName
    created_at: float


class KeysAnswer(BaseModel):
    """All keys."""

    keys: list[KeyLine]


class KeyAnswer(KeyLine):
    """A new key; it is shown this once."""

    key: str


class SearchBody(BaseModel):
    """A question. ``collection`` is a folder's name as the status shows it; without it all are searched."""

    model_config = ConfigDict(**_STRICT, json_schema_extra={"example": {"query": "연차휴가", "top": 5}})

    query: Annotated[str, StringConstraints(min_length=1, max_length=8_192)]
    top: Annotated[int, Field(ge=1, le=1_000)] = 10
    collection: Annotated[str, StringConstraints(max_length=1_024)] | None = None


class Hit(BaseModel):
    """A piece of a document."""

    score: float
    text: str
    bucket: str
    key: str
    file_name: str
    collection: str
    chunk_no: int
    page: int | None
    heading: list[str]


class SearchAnswer(BaseModel):
    """The hits, best first."""

    query: str
    hits: list[Hit]


class Line(BaseModel):
    """One object in a list. Times are epoch seconds."""

    id: str
    bucket: str
    key: str
    state: Literal["indexed", "empty", "failed", "waiting", "running"]
    chunk_count: int
    indexed_at: float | None
    attempts: int
    due: float | None
    error_code: str
    error: str


class ObjectsAnswer(BaseModel):
    """A page of objects; ``next`` goes into ``after`` for the page behind it, null: this was the last."""

    objects: list[Line]
    next: str | None


class RunLine(BaseModel):
    """One attempt. Times are epoch seconds; ``finished_at`` null: it runs, or its worker died.

    ``tokens`` and ``pages`` are what paid services charged for, ``usd`` is that at the prices of the settings.
    """

    run: int
    action: str
    outcome: str
    attempt: int
    started_at: float
    finished_at: float | None
    error_code: str
    error: str
    chunks: int
    embedded: int
    size_bytes: int
    tokens: int
    pages: int
    usd: float
    stage_seconds: dict[str, float]


class ObjectAnswer(Line):
    """Everything about one object; the newest attempt comes first in the timeline."""

    file_name: str
    record: dict[str, Any] | None
    timeline: list[RunLine]
    chunks: list[dict[str, Any]]


class Collection(BaseModel):
    """A collection in Milvus; ``folder`` is the name people know it by, ``entities`` null where Milvus can't say."""

    name: str
    folder: str
    objects: int
    entities: int | None
    embedder: str
    dim: int


class CollectionsAnswer(BaseModel):
    """All collections."""

    collections: list[Collection]


class StatusAnswer(BaseModel):
    """The state of everything. ``held``: why nothing is indexed at all, null while all is well."""

    objects: dict[str, int]
    collections: list[Collection]
    freshness_seconds: dict[str, float | None]
    held: dict[str, Any] | None
    warnings: list[str]
    sources: list[dict[str, Any]]


class RetryBody(BaseModel):
    """Either the keys to try again (also ``bucket/key``, or ids), or all that failed."""

    model_config = _STRICT

    keys: Annotated[list[_Text], Field(min_length=1, max_length=1_000)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> "RetryBody":
        if (self.keys is None) is not self.all:
            raise ValueError("give either keys, or all = true")
        return self


class RetryAnswer(BaseModel):
    """How many objects are tried again now, and which keys nobody knows."""

    retried: int
    unknown: list[str]


class CheckBody(BaseModel):
    """Whether what differs is put right, too."""

    model_config = _STRICT

    repair: bool = False


class SyncBody(BaseModel):
    """A source to bring in line: a folder on the service's machine, or ``s3://bucket/prefix``.

    ``yes`` confirms that many objects may be removed. A source that is not mirrored yet needs the local token.
    """

    model_config = _STRICT

    source: _Text
    dry_run: bool = False
    yes: bool = False


class _Job(BaseModel):
    job: str
    state: Literal["running", "done", "failed"]
    progress: dict[str, int]
    problem: dict[str, Any] | None


class SyncJob(_Job):
    """A sync. When it is done, ``report`` is what the command `sync --json` prints."""

    kind: Literal["sync"]
    report: dict[str, Any] | None
    retrying: int = 0
    failures: list[Line] = []


class BackupBody(BaseModel):
    """A folder on the service's machine, as an absolute path: not there yet, or empty."""

    model_config = _STRICT

    folder: _Text


class BackupAnswer(BaseModel):
    """A backup that was made. ``paused_seconds``: how long nobody could write. No vectors: they lie on a server."""

    folder: str
    made_at: str
    stores: list[str]
    has_vectors: bool
    files: int
    size_bytes: int
    seconds: float
    paused_seconds: float


class BackupJob(_Job):
    """A backup; its progress counts bytes."""

    kind: Literal["backup"]
    report: BackupAnswer | None


class CheckAnswer(BaseModel):
    """Bucket, ledger and Milvus compared."""

    ok: bool
    missing: list[dict[str, Any]]
    stale: list[dict[str, Any]]
    orphaned: list[dict[str, Any]]


class CheckJob(_Job):
    """A check. With ``repair``, ``report`` is what was left afterwards, and ``repaired`` how much was put right."""

    kind: Literal["check"]
    report: CheckAnswer | None
    repaired: int = 0


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether events and searches are taken; if not, why."""

    status: Literal["ready", "not ready"]
    reasons: list[str]


class Problem(BaseModel):
    """RFC 9457. ``code`` is stable, ``hint`` names the next step."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, and what to do",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}

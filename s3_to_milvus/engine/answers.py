"""What the engine says, as plain values that JSON can hold: the same keys at every door.

Texts are exact. A key that no Unicode can spell (an undecodable file name) holds lone surrogates; whoever writes
the JSON escapes them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from s3_to_milvus.domain.records import ObjectState, ObjectStatus, Record, Run
from s3_to_milvus.domain.rows import StoredRow
from s3_to_milvus.engine.adoption import Adopted, Adoption, AdoptionTally
from s3_to_milvus.engine.backup import BackupReport
from s3_to_milvus.engine.check import CheckReport, Finding, Orphan
from s3_to_milvus.engine.mirror import Mirror, Status
from s3_to_milvus.engine.search import Found
from s3_to_milvus.engine.tally import SyncReport
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.ports import CollectionCounts, Embedder, SourceEntry

__all__ = [
    "Answer",
    "adoption_answer",
    "backup_answer",
    "check_answer",
    "collection_lines",
    "failure_lines",
    "object_answer",
    "object_line",
    "problem_of",
    "search_answer",
    "status_answer",
    "status_details",
    "sync_answer",
]

Answer = dict[str, Any]
"""A JSON object."""


def sync_answer(report: SyncReport) -> Answer:
    """The report of a sync; with ``plan`` where it was a dry run."""
    answer = asdict(report)
    del answer["retrying"]
    plan = answer.pop("plan")
    if plan is not None:
        answer["plan"] = [{"bucket": bucket, "key": key, "action": action} for bucket, key, action in plan]
    return answer


def backup_answer(report: BackupReport) -> Answer:
    """What was copied, and where it lies."""
    manifest = report.manifest
    return {
        "folder": str(report.folder),
        "made_at": manifest.made_at,
        "stores": list(manifest.stores),
        "has_vectors": report.has_vectors,
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "seconds": report.seconds,
        "paused_seconds": report.paused_s,
    }


def adoption_answer(adoption: Adoption, adopted: Adopted | None = None, tally: AdoptionTally | None = None) -> Answer:
    """What the take-over of one collection would do; with ``adopted`` and ``tally``, also what it did."""
    plan = adoption.plan
    answer: Answer = {
        "collection": adoption.name,
        "successor": adoption.spec.name,
        "kept_as": adoption.kept,
        "is_over": adoption.is_over,
        "similarity": adoption.similarity,
        "dates": plan.dates.value,
        "copied": [
            {"bucket": each.ref.bucket, "key": each.ref.key, "rows": len(each.ids), "dropped": each.dropped}
            for each in plan.adoptable
        ],
        "read": [{"bucket": ref.bucket, "key": ref.key} for ref in plan.to_read()],
        "left": [
            {
                "why": each.why.value,
                "file_name": each.file_name,
                "rows": each.rows,
                "objects": [f"{ref.bucket}/{ref.key}" for ref in each.refs],
            }
            for each in plan.left
        ],
        "done": len(plan.done),
    }
    if adopted is not None and tally is not None:
        answer["result"] = {
            "copied": tally.copied,
            "read": tally.read,
            "embedded": tally.embedded,
            "failed": [object_line(each) for each in adopted.failed],
            "waiting": [object_line(each) for each in adopted.waiting],
            "is_switched": adopted.is_switched,
        }
    return answer


def search_answer(query: str, found: Iterable[Found]) -> Answer:
    """A question and its hits, best first."""
    return {"query": query, "hits": [{**asdict(hit), "heading": list(hit.heading)} for hit in found]}


def status_answer(status: Status, collections: list[Answer]) -> Answer:
    """The state of everything in numbers. ``collections`` come from `collection_lines`."""
    counts = status.counts
    states = ("indexed", "waiting", "running", "failed", "empty")
    return {
        "objects": {state: getattr(counts, state) for state in states},
        "collections": collections,
        "freshness_seconds": {"p50": status.freshness_p50_s, "p95": status.freshness_p95_s},
    }


def status_details(status: Status) -> Answer:
    """What stands in the way, and what is mirrored."""
    return {
        "held": None if status.held is None else problem_of(status.held),
        "warnings": list(status.warnings),
        "sources": [asdict(entry) for entry in status.sources],
    }


def collection_lines(
    collections: Sequence[CollectionCounts], embedder: Embedder, count: Callable[[str], int | None]
) -> list[Answer]:
    """Collections with the rows that ``count`` finds in each by its name (None: it can't tell now).

    One of the ``embedder`` in use shows its kind; that of another one, which no search looks at, a fingerprint.
    """
    return [
        {
            "name": each.spec.name,
            "folder": each.spec.label,
            "objects": each.objects,
            "entities": count(each.spec.name),
            "embedder": embedder.kind if each.spec.embedder == embedder.fingerprint else each.spec.embedder,
            "dim": each.spec.dim,
        }
        for each in collections
    ]


def check_answer(report: CheckReport) -> Answer:
    """What a check found."""
    return {
        "ok": report.is_ok,
        "missing": [_finding(each) for each in report.missing],
        "stale": [_finding(each) for each in report.stale],
        "orphaned": [_orphan(each) for each in report.orphaned],
    }


def _finding(finding: Finding) -> Answer:
    return {"bucket": finding.ref.bucket, "key": finding.ref.key, "reason": finding.reason}


def _orphan(orphan: Orphan) -> Answer:
    ref = orphan.ref
    return {
        "collection": orphan.collection,
        "object_id": orphan.object_id,
        "run": orphan.run,
        "rows": len(orphan.ids),
        "bucket": ref.bucket if ref else None,
        "key": ref.key if ref else None,
    }


def object_line(status: ObjectStatus) -> Answer:
    """One object in a list; its error is that of the newest attempt, with the next step where the record keeps one."""
    record = status.record
    kept = (record.error_code, record.error) if record else ("", "")
    newest = (status.error_code, status.error)
    code, error = kept if kept[1] and status.state is ObjectState.FAILED else newest if newest[0] else kept
    return {
        "id": status.ref.object_id,
        "bucket": status.ref.bucket,
        "key": status.ref.key,
        "state": status.state.value,
        "chunk_count": record.chunk_count if record else 0,
        "indexed_at": record.indexed_at if record else None,
        "attempts": status.attempts,
        "due": status.due,
        "error_code": code,
        "error": error,
    }


def object_answer(status: ObjectStatus, runs: Sequence[Run], chunks: Sequence[StoredRow]) -> Answer:
    """Everything about one object: its record, its timeline (newest first) and the rows that stand for it."""
    return {
        **object_line(status),
        "file_name": status.ref.file_name,
        "record": None if status.record is None else _record(status.record),
        "timeline": [_run(run) for run in runs],
        "chunks": [_chunk(row) for row in chunks],
    }


def _record(record: Record) -> Answer:
    return {
        "outcome": record.outcome.value,
        "etag": record.version.etag,
        "size_bytes": record.version.size_bytes,
        "version_id": record.version.version_id,
        "modified_at": record.version.modified_at,
        "media_type": record.media_type,
        "content_hash": record.content_hash,
        "recipe": record.recipe,
        "collection": record.collection,
        "run": record.run,
        "rows": len(record.ids),
    }


def _run(run: Run) -> Answer:
    return {
        "run": run.run,
        "action": run.action,
        "outcome": run.outcome,
        "attempt": run.attempt,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error_code": run.error_code,
        "error": run.error,
        "chunks": run.stats.chunks,
        "embedded": run.stats.embedded,
        "size_bytes": run.stats.size_bytes,
        "tokens": run.stats.usage.tokens,
        "pages": run.stats.usage.pages,
        "usd": run.stats.usage.usd,
        "stage_seconds": dict(run.stats.stage_seconds),
    }


def _chunk(row: StoredRow) -> Answer:
    return {
        "chunk_no": row.chunk_no,
        "page": row.page or None,
        "heading": list(row.meta.get("heading", ())),
        "text": row.text,
    }


def failure_lines(mirror: Mirror, source: SourceEntry, limit: int) -> list[Answer]:
    """Objects of a source that failed for good, then those that are still being tried again, with the reasons."""
    ledger = mirror.parts.ledger
    lines: list[Answer] = []
    for state in (ObjectState.FAILED, ObjectState.WAITING):
        page = ledger.objects(bucket=source.name, prefix=source.prefix, state=state, limit=limit)
        lines += [object_line(status) for status in page if status.error_code or state is ObjectState.FAILED]
    return lines[:limit]


def problem_of(error: S3ToMilvusError) -> Answer:
    """An error in words: its stable code, the message and the next step."""
    answer: Answer = {"code": error.code, "message": error.message, "hint": error.hint}
    numbers = {name: getattr(error, name, None) for name in ("removals", "indexed", "retry_after_s")}
    return answer | {name: value for name, value in numbers.items() if value is not None}

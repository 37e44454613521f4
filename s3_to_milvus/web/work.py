"""What the jobs of the door do."""

from collections.abc import Callable
from pathlib import Path

from s3_to_milvus.engine.answers import backup_answer, check_answer, failure_lines, sync_answer
from s3_to_milvus.engine.mirror import Progress
from s3_to_milvus.web.door import Door
from s3_to_milvus.web.jobs import Job
from s3_to_milvus.web.models import SyncBody

__all__ = ["backup_work", "check_work", "sync_work"]

_FAILURES = 20


def sync_work(door: Door, body: SyncBody) -> Callable[[Job], None]:
    """A sync of one source, or what it would do."""

    def work(job: Job) -> None:
        def tell(progress: Progress) -> None:
            job.progress = {"done": progress.done, "total": progress.total, "chunks": progress.chunks}

        entry = door.application.open_source(body.source)
        if body.dry_run:
            report = door.mirror.plan(entry)
        else:
            report = door.mirror.sync(entry, is_removal_confirmed=body.yes, on_progress=tell)
        job.more["retrying"] = report.retrying
        job.more["failures"] = failure_lines(door.mirror, entry, _FAILURES)
        job.report = sync_answer(report)

    return work


def check_work(door: Door, *, is_repairing: bool) -> Callable[[Job], None]:
    """A check of every source that is mirrored, and its repair."""

    def work(job: Job) -> None:
        sources = door.application.sources
        if is_repairing:
            job.more["repaired"], report = door.mirror.repair(sources)
        else:
            report = door.mirror.check(sources)
        job.report = check_answer(report)

    return work


def backup_work(door: Door, folder: Path) -> Callable[[Job], None]:
    """A backup; its progress counts bytes."""

    def work(job: Job) -> None:
        def tell(done: int, total: int) -> None:
            job.progress = {"done": done, "total": total, "chunks": 0}

        job.report = backup_answer(door.application.backup.make(folder, tell))

    return work

"""What the jobs of the door do."""

from collections.abc import Callable

from s3_to_milvus.engine.answers import check_answer, failure_lines, sync_answer
from s3_to_milvus.engine.mirror import Progress
from s3_to_milvus.web.door import Door
from s3_to_milvus.web.jobs import Job
from s3_to_milvus.web.models import SyncBody

__all__ = ["check_work", "sync_work"]

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

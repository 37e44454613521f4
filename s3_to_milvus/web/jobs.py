"""Work that outlasts a request: started by one, asked about by others."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from s3_to_milvus.engine.answers import Answer, problem_of
from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import S3ToMilvusError, Unavailable

__all__ = ["Job", "Jobs"]

_KEPT = 200
_RUNNING = 8


@dataclass(slots=True)
class Job:
    """One piece of work. ``state``: ``running``, ``done`` (see ``report``) or ``failed`` (see ``problem``)."""

    id: str
    kind: str
    state: str = "running"
    progress: dict[str, int] = field(default_factory=lambda: {"done": 0, "total": 0, "chunks": 0})
    report: Answer | None = None
    problem: Answer | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def answer(self) -> Answer:
        """The job as JSON."""
        return {
            "job": self.id,
            "kind": self.kind,
            "state": self.state,
            "progress": dict(self.progress),
            "report": self.report,
            "problem": self.problem,
            **self.more,
        }


class Jobs:
    """Runs each job in a thread of its own that never keeps the process from ending; remembers the newest ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def start(self, kind: str, work: Callable[[Job], None]) -> Job:
        """Start ``work``, which fills ``report`` and may raise. Raises `Unavailable` when too many run already."""
        job = Job(secrets.token_hex(8), kind)
        with self._lock:
            if sum(each.state == "running" for each in self._jobs.values()) >= _RUNNING:
                raise Unavailable("Too many jobs are running.", hint="Wait until one of them is done.")
            self._jobs[job.id] = job
            done = [each.id for each in self._jobs.values() if each.state != "running"]
            for old in done[: max(0, len(self._jobs) - _KEPT)]:
                del self._jobs[old]
        threading.Thread(target=_run, args=(job, work), name=f"s2m-{kind}", daemon=True).start()
        return job

    def get(self, kind: str, job_id: str) -> Job | None:
        """A job of this kind; None: unknown, or forgotten since."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.kind == kind else None


def _run(job: Job, work: Callable[[Job], None]) -> None:
    try:
        work(job)
    except S3ToMilvusError as error:
        job.problem = problem_of(error)
        job.state = "failed"
    except Exception as error:  # noqa: BLE001 - whoever asks for the job is told
        log.exception("job.failed", kind=job.kind, error=type(error).__name__)
        job.problem = {"code": "defect", "message": f"Unexpected {type(error).__name__}.", "hint": "See the log."}
        job.state = "failed"
    else:
        job.state = "done"

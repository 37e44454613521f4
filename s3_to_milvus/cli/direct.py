"""The engine in this process, for as long as one command lasts."""

import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from s3_to_milvus.bootstrap import build, configure_logging
from s3_to_milvus.cli.desk import Answer, Checked, OnProgress, Step, Synced
from s3_to_milvus.domain.access import Role
from s3_to_milvus.domain.adopting import Dates
from s3_to_milvus.engine.adoption import Adoption, AdoptionTally
from s3_to_milvus.engine.answers import (
    adoption_answer,
    backup_answer,
    check_answer,
    collection_lines,
    failure_lines,
    object_answer,
    search_answer,
    status_answer,
    status_details,
    sync_answer,
)
from s3_to_milvus.engine.keyring import add_key, key_line
from s3_to_milvus.engine.mirror import Progress

if TYPE_CHECKING:
    from s3_to_milvus.settings import Settings

__all__ = ["Direct"]

_FAILURES = 20


class Direct:
    """Builds the application; starts its workers only for commands that need them."""

    is_remote = False

    def __init__(self, settings: "Settings", sources: Sequence[str] = ()) -> None:
        """``sources`` are watched, too, once `watch` is called. Raises what building raises."""
        quiet = settings.log if settings.places_of("log.level") else settings.log.model_copy(update={"level": "error"})
        configure_logging(quiet)
        self._settings = settings
        self._application = build(settings, list(sources))
        self._mirror = self._application.mirror
        self._is_working = False

    def watch(self) -> None:
        """Become the whole service but for its HTTP door: watchers, scans, workers."""
        configure_logging(self._settings.log)
        self._is_working = True
        self._application.start()

    def wait(self) -> None:
        """Until somebody stops us."""
        threading.Event().wait()

    def sync(self, source: str, *, is_dry_run: bool, is_confirmed: bool, on_progress: OnProgress) -> Synced:
        """See `Desk.sync`."""
        entry = self._application.open_source(source)
        if is_dry_run:
            report = self._mirror.plan(entry)
        else:
            self._work()
            report = self._mirror.sync(
                entry, is_removal_confirmed=is_confirmed, on_progress=lambda progress: on_progress(_step(progress))
            )
        return Synced(sync_answer(report), report.retrying, failure_lines(self._mirror, entry, _FAILURES))

    def plan_adoption(self, collection: str, zone: tzinfo | None, dates: Dates | None) -> Adoption:
        """What a take-over would do; see `Adopter.plan`."""
        sources = self._application.sources
        return self._mirror.adopter().plan(collection, sources, zone, dates)

    def adopt(self, adoption: Adoption, on_progress: OnProgress, *, is_failure_accepted: bool) -> Answer:
        """Take a collection over; see `Mirror.adopt`."""
        tally = AdoptionTally(adoption.refs)

        def tick() -> None:
            on_progress(Step(tally.copied + tally.read, len(adoption.refs), 0))

        adopted = self._mirror.adopt(
            adoption, self._application.sources, tally, tick, is_failure_accepted=is_failure_accepted
        )
        return adoption_answer(adoption, adopted, tally)

    def drop_original(self, collection: str) -> str:
        """See `Adopter.drop_original`."""
        return self._mirror.adopter().drop_original(collection)

    def search(self, query: str, top: int, collection: str | None) -> Answer:
        """See `Desk.search`."""
        return search_answer(query, self._mirror.search(query, top, collection))

    def status(self) -> Answer:
        """See `Desk.status`."""
        status = self._mirror.status()
        parts = self._mirror.parts
        lines = collection_lines(status.collections, parts.embedder, parts.vectors.count)
        return status_answer(status, lines) | status_details(status)

    def find(self, key: str) -> list[Answer]:
        """See `Desk.find`."""
        mirror = self._mirror
        return [object_answer(each, mirror.timeline(each.ref), mirror.chunks(each)) for each in mirror.find(key)]

    def retry(self, ids: Sequence[str] | None, on_progress: OnProgress) -> int:
        """See `Desk.retry`."""
        sources = self._application.open_known_sources()
        ledger = self._mirror.parts.ledger
        refs = None if ids is None else [ref for each in ids if (ref := ledger.find(each)) is not None]
        count = self._mirror.retry(refs)
        if count:
            self._work()
            self._mirror.wait(sources, lambda: on_progress(Step()))
        return count

    def check(self, *, is_repairing: bool, on_progress: OnProgress) -> Checked:
        """See `Desk.check`."""
        sources = self._application.open_known_sources()
        if not is_repairing:
            return Checked(check_answer(self._mirror.check(sources)))
        self._work()
        repaired, report = self._mirror.repair(sources, lambda: on_progress(Step()))
        return Checked(check_answer(report), repaired)

    def backup(self, folder: Path, on_progress: OnProgress) -> Answer:
        """See `Desk.backup`."""
        return backup_answer(self._application.backup.make(folder, lambda done, total: on_progress(Step(done, total))))

    def keys(self) -> list[Answer]:
        """See `Desk.keys`."""
        return [key_line(each) for each in self._mirror.parts.ledger.access_keys()]

    def add_key(self, name: str, role: str) -> Answer:
        """See `Desk.add_key`."""
        parts = self._mirror.parts
        return add_key(parts.ledger, name, Role[role.upper()], parts.clock.now())

    def drop_key(self, name: str) -> bool:
        """See `Desk.drop_key`."""
        return self._mirror.parts.ledger.drop_access_key(name)

    def quarantined(self) -> list[Answer]:
        """See `Desk.quarantined`."""
        return [asdict(each) for each in self._application.hints.chosen(None)]

    def replay(self, ids: Sequence[int] | None) -> Answer:
        """See `Desk.replay`. What is taken waits for the service, or the next sync."""
        self._application.open_known_sources()
        return asdict(self._application.hints.replay(ids))

    def drop_quarantined(self, ids: Sequence[int] | None) -> Answer:
        """See `Desk.drop_quarantined`."""
        return asdict(self._application.hints.drop(ids))

    def close(self) -> None:
        """See `Desk.close`."""
        self._application.stop()

    def _work(self) -> None:
        if not self._is_working:
            self._is_working = True
            self._mirror.start()


def _step(progress: Progress) -> Step:
    return Step(progress.done, progress.total, progress.chunks)

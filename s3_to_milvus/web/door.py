"""What the requests of one running service share."""

import secrets
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request

from s3_to_milvus.domain.access import Role
from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.engine.answers import Answer, collection_lines, status_answer, status_details
from s3_to_milvus.engine.keyring import add_key
from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import S3ToMilvusError, Unavailable
from s3_to_milvus.web.access import Access
from s3_to_milvus.web.bodies import Pool, Room
from s3_to_milvus.web.intake import Intake
from s3_to_milvus.web.jobs import Jobs
from s3_to_milvus.web.lanes import Lane

if TYPE_CHECKING:
    from s3_to_milvus.bootstrap import Application

__all__ = ["TOKEN_FILE", "Door", "Lanes", "door_of"]

TOKEN_FILE = "door.token"  # noqa: S105 - the name of the file, not what is in it
_FRESH_S = 1.0
_WAITING = 16
_WAITING_S = 60.0
_ALL = 1 << 20  # no bound but that of connections


class Lanes:
    """Threads by what they are for, so that no kind of request waits for another kind."""

    def __init__(self, parsing_workers: int) -> None:
        """One parsing process is left to what is indexed, where there are several."""
        self.reading = Lane("s2m-read", max(1, parsing_workers - 1), _WAITING, _WAITING_S)
        self.search = Lane("s2m-search", 8, _ALL)
        self.status = Lane("s2m-status", 4, _ALL)
        self.ready = Lane("s2m-ready", 2, _ALL)

    def close(self) -> None:
        """Take nothing more."""
        for lane in (self.reading, self.search, self.status, self.ready):
            lane.close()


class Door:
    """The application behind the door, its jobs, and the token that only who reads the data folder knows."""

    def __init__(
        self, application: "Application", decode: Callable[[object], list[ObjectEvent]], *, is_public: bool = False
    ) -> None:
        self.application = application
        self.mirror = application.mirror
        self.decode = decode
        self.jobs = Jobs()
        looked = application.mirror.intake
        self.intake = Intake(looked.take, looked.is_quick, looked.open_buckets)
        parsing = application.settings.parsing
        self.lanes = Lanes(parsing.workers)
        self.upload_room = Room(parsing.max_upload_mb << 20, Pool(parsing.max_uploads_mb << 20), is_reserved=True)
        self.token = secrets.token_urlsafe(32)
        ledger = application.mirror.parts.ledger
        self.access = Access(application.settings.auth, ledger, self.token, is_public=is_public)
        self._url = ""
        self._status: Answer = {}
        self._status_at = -_FRESH_S
        self._status_lock = threading.Lock()

    @property
    def own_names(self) -> tuple[str, ...]:
        """The name that the settings give this service."""
        return (self.application.settings.host.lower(),)

    def write_token(self) -> None:
        """Leave the token where commands on this machine find it; nobody else may read it."""
        path = Path(self.application.settings.data_dir) / TOKEN_FILE
        try:
            path.unlink(missing_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(self.token, encoding="ascii")
        except OSError as error:  # a full disk: searches are answered, commands on this machine need a key
            log.warning("token.not_written", message=error.strerror)

    def warn_if_open(self) -> None:
        """Say once that nobody is asked."""
        if self.access.is_open:
            message = "Nobody is asked for a key: whoever reaches this service may search, read and change everything."
            hint = "Unset S2M_AUTH__MODE unless something in front of the service asks for a login."
            log.warning("access.open", message=message, hint=hint)

    def make_first_key(self) -> None:
        """A service that others can reach starts with one key, shown this once, so that somebody can use it at all."""
        ledger = self.mirror.parts.ledger
        if not self.access.asks_everybody or ledger.access_keys():
            return
        key = add_key(ledger, "first", Role.ADMIN, time.time())["key"]
        sys.stderr.write(
            f"Others can reach this service, so it asks for a key. The first one (admin), shown only now: {key}\n"
            "More: `s3-to-milvus keys add NAME --role viewer`. Where something in front asks for a login already, set "
            "S2M_AUTH__MODE=none.\n"
        )
        sys.stderr.flush()

    def announce(self, url: str) -> None:
        """Say where the service answers, so that commands on this machine find it."""
        if url != self._url:
            self._url = url
            self.application.announce(url)

    def status(self) -> Answer:
        """The state of everything, at most a second old, so that many readers cost what one costs."""
        with self._status_lock:
            if time.monotonic() - self._status_at >= _FRESH_S:
                status = self.mirror.status()
                silent: dict[str, None] = {}
                count = partial(self._count, silent)
                collections = collection_lines(status.collections, self.mirror.parts.embedder, count)
                status.warnings.extend(silent)
                self._status = status_answer(status, collections) | status_details(status)
                self._status_at = time.monotonic()
            return self._status

    def is_known(self, uri: str) -> bool:
        """True for a source that is mirrored already, as it is spelled in the ledger."""
        entries = [*self.application.sources, *self.mirror.parts.ledger.sources()]
        return any(uri in (entry.uri, entry.uri.rstrip("/")) for entry in entries)

    def close(self) -> None:
        """Stop the application; within seconds."""
        self.intake.close()
        self.lanes.close()
        try:
            (Path(self.application.settings.data_dir) / TOKEN_FILE).unlink(missing_ok=True)
        finally:
            self.application.stop()

    def _count(self, silent: dict[str, None], name: str) -> int | None:
        """The rows of a collection; after one failure the others are not asked for: each may take its whole time."""
        if silent:
            return None
        try:
            return self.mirror.parts.vectors.count(name)
        except S3ToMilvusError as error:
            log.warning("status.count_failed", collection=name, code=error.code)
            silent[f"Milvus can't be asked: {error.message}"] = None
            return None


def door_of(request: Request) -> Door:
    """The door of the running service. Raises `Unavailable` before it has started and after it stopped."""
    door = getattr(request.app.state, "door", None)
    if not isinstance(door, Door):
        raise Unavailable("The service is starting or stopping.", hint="Try again in a second.")
    return door

"""The side of the service: a pool of parsing children, and parsers that look like any other."""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.adapters.parsers.isolated import child
from s3_to_milvus.adapters.parsers.isolated.launch import parsing_context
from s3_to_milvus.adapters.parsers.isolated.sandbox import Places
from s3_to_milvus.adapters.parsers.isolated.wire import (
    INLINE_BYTES,
    Answer,
    Job,
    StoredAttachments,
    StoredBlocks,
    decode_blocks,
    error_of,
)
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.errors import ParserCrashed, ParserKilled, ParserTimeout, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Parser, ParserInput

if TYPE_CHECKING:
    from pebble import ProcessPool

__all__ = ["ParsingPool"]

_TASKS_PER_CHILD = 50
_GRACE_S = 30.0
_SCRATCH_S = 10.0
# Sent to a whole group of processes when a service or a terminal ends: they say nothing about the file.
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class ParsingPool:
    """Owns the children. Nothing starts before the first document; `close` ends everything within two seconds.

    ``scratch`` holds a folder for each running service; those that a crash left behind are removed.
    """

    class Options(BaseModel):
        """Limits of one child. ``memory_mb`` counts address space, of which a bare child has some hundred MB."""

        model_config = ConfigDict(extra="forbid")

        timeout_s: float = Field(default=120.0, gt=0)
        memory_mb: int = Field(default=2048, ge=512)
        workers: int = Field(default=2, ge=1, le=64)

    def __init__(self, options: Options, scratch: Path) -> None:
        self._options = options
        self._scratch = scratch
        self._lock = threading.Lock()
        # A job is handed over only when a child is free for it, so its time starts at once and pipes never fill.
        self._slots = threading.BoundedSemaphore(options.workers)
        self._targets: dict[str, dict[str, Any]] = {}
        self._preload: dict[str, None] = {child.__name__: None}
        self._pool: ProcessPool | None = None
        self._folder: _Folder | None = None
        self._pending: set[Future[Answer]] = set()
        self._is_closed = False

    def wrap(
        self,
        target: str,
        options: Mapping[str, Any] | None = None,
        *,
        kind: str,
        fingerprint: str,
        media_types: frozenset[str],
        page_media_types: frozenset[str] = frozenset(),
        formats: tuple[Format, ...] = (),
        preload: Sequence[str] = (),
    ) -> Parser:
        """A parser "module:Class" that runs in the children. ``options`` are plain values for its ``Options``.

        ``preload`` names modules that are imported once for all children. Wrap all parsers before the first parse.
        """
        self._targets[target] = dict(options or {})
        self._preload.update(dict.fromkeys((target.partition(":")[0], *preload)))
        facts = _Facts(kind, fingerprint, media_types, page_media_types, formats)
        return _IsolatedParser(self, target, dict(options or {}), facts)

    def run(self, target: str, options: dict[str, Any], source: ParserInput | None) -> Document:
        """Do one job in a child. Raises what the parser raised, `ParserTimeout`, `ParserCrashed`."""
        with self._slots:
            places, name = self._own_places(), token_hex(16)
            spool, copy = places.filled / name, places.given / name
            try:
                spool.touch(mode=0o600)
                given = source and _handed_over(source, copy)
                job = Job(target, options, given, str(spool), 2 * self._options.timeout_s)
                return _document(self._answer(job), spool)
            except OSError as exc:
                raise _unusable(places.filled, exc) from exc
            finally:
                for path in (copy, spool):
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def isolation(self) -> str:
        """How far children are shut off from everything else: full, partial or off, and by which measures."""
        return self.run("", {}, None).title

    def close(self) -> None:
        """Stop all children, also those that hang; jobs under way end as `Unavailable`."""
        with self._lock:
            self._is_closed = True
            pool, self._pool = self._pool, None
            folder, self._folder = self._folder, None
        for future in list(self._pending):
            future.cancel()
        if pool is not None:
            _stop(pool)
        if folder is not None:
            folder.close()

    def _answer(self, job: Job) -> Answer:
        """The child's answer; a pool that broke while no job was to blame is replaced once."""
        for _ in range(2):
            pool = self._running()
            try:
                future: Future[Answer] = pool.schedule(child.run, args=(job,), timeout=self._options.timeout_s)
            except RuntimeError:
                self._discard(pool)
                continue
            self._pending.add(future)
            try:
                return self._wait(pool, future)
            except (BrokenProcessPool, CancelledError):
                self._discard(pool)
            finally:
                self._pending.discard(future)
        raise Unavailable("The parsing processes could not be started.")

    def _wait(self, pool: "ProcessPool", future: "Future[Answer]") -> Answer:
        """The result of one job, with every way a child can end made ours."""
        from pebble import ProcessExpired

        try:
            return future.result(self._options.timeout_s + _GRACE_S)
        except TimeoutError as exc:
            if not future.done():  # the job got lost with a child that died at the wrong moment
                self._discard(pool)
            raise ParserTimeout(f"Parsing took longer than {self._options.timeout_s:g} s and was stopped.") from exc
        except ProcessExpired as exc:
            raise self._crash(exc.exitcode) from exc

    def _crash(self, exit_code: int) -> S3ToMilvusError:
        """What the end of a child means."""
        if exit_code == -signal.SIGXCPU:
            return ParserTimeout("Parsing used too much CPU time and was stopped.")
        try:
            how = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
        except ValueError:
            how = f"signal {-exit_code}"
        if -exit_code in _STOPS:
            return Unavailable(f"The parsing process was stopped from outside while it read this file ({how}).")
        if exit_code == -signal.SIGKILL:
            return ParserKilled(f"The parsing process was killed while it read this file ({how}).")
        limit = f"limit {self._options.memory_mb} MB"
        return ParserCrashed(f"The parsing process died while it read this file ({how}; memory {limit}).")

    def _running(self) -> "ProcessPool":
        """The pool, started if it is not."""
        with self._lock:
            if self._is_closed:
                raise Unavailable("The service is stopping.")
            if self._pool is None:
                from pebble import ProcessPool

                self._pool = ProcessPool(
                    max_workers=self._options.workers,
                    max_tasks=_TASKS_PER_CHILD,
                    initializer=child.start,
                    initargs=(self._options.memory_mb, self._opened().places, self._targets),
                    context=parsing_context(list(self._preload)),
                )
            return self._pool

    def _own_places(self) -> Places:
        """The folders of this service, made with the first job."""
        with self._lock:
            if self._is_closed:
                raise Unavailable("The service is stopping.")
            try:
                return self._opened().places
            except OSError as exc:
                raise _unusable(self._scratch, exc) from exc

    def _opened(self) -> "_Folder":
        if self._folder is None:
            self._folder = _Folder(self._scratch)
        return self._folder

    def _discard(self, pool: "ProcessPool") -> None:
        """Replace a broken pool at the next job."""
        with self._lock:
            is_ours = self._pool is pool
            if is_ours:
                self._pool = None
        if is_ours:
            for future in list(self._pending):
                future.cancel()
            _stop(pool)


def _unusable(folder: Path, error: OSError) -> Unavailable:
    """No room, no rights: nothing that the document is to blame for."""
    return Unavailable(f"The scratch folder {folder} cannot be used: {error.strerror}", retry_after_s=_SCRATCH_S)


class _Facts(NamedTuple):
    """What a parser says about itself."""

    kind: str
    fingerprint: str
    media_types: frozenset[str]
    page_media_types: frozenset[str]
    formats: tuple[Format, ...]


class _IsolatedParser:
    """A parser whose work is done in a child."""

    def __init__(self, pool: ParsingPool, target: str, options: dict[str, Any], facts: _Facts) -> None:
        self.kind, self.fingerprint, self.media_types, self.page_media_types, self.formats = facts
        self._pool = pool
        self._target = target
        self._options = options

    def parse(self, source: ParserInput) -> Document:
        """See `Parser.parse`; the blocks of a long document are read from a scratch file as they are taken."""
        return self._pool.run(self._target, self._options, source)

    def check(self) -> str:
        """Starts a child and asks the parser there."""
        return self._pool.run(self._target, self._options, None).title


class _Folder:
    """A scratch folder that belongs to this process as long as it lives; the lock on it ends with the process."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        for left in scratch.glob("parsing-*"):
            with contextlib.suppress(OSError), _locked(left):
                shutil.rmtree(left, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix="parsing-", dir=scratch)).resolve()
        self.places = Places(self.path / "given", self.path / "filled")
        for place in self.places:
            place.mkdir(mode=0o700)
        self._held = contextlib.ExitStack()
        self._held.enter_context(_locked(self.path))

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._held.close()


@contextlib.contextmanager
def _locked(folder: Path) -> Any:
    """Hold the folder. Raises OSError where another process does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _stop(pool: "ProcessPool") -> None:
    """End a pool with its children."""
    with contextlib.suppress(RuntimeError, OSError):
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _handed_over(source: ParserInput, copy: Path) -> ParserInput:
    """The input as a child may read it: small data by the pipe, all else as a file in the scratch folder."""
    if source.data is not None:
        if len(source.data) <= INLINE_BYTES:
            return source
        copy.write_bytes(source.data)
    elif source.path is not None:
        try:
            os.link(source.path, copy)
        except OSError:
            shutil.copyfile(source.path, copy)
    return replace(source, data=None, path=copy)


def _document(answer: Answer, spool: Path) -> Document:
    """The document of an answer, or its error."""
    if answer.error is not None:
        raise _error(*answer.error, answer.traceback)
    return Document(
        StoredBlocks(spool) if answer.blocks is None else tuple(_inline(answer.blocks)),
        answer.media_type,
        answer.title,
        answer.language,
        answer.page_count,
        answer.warnings,
        answer.unread_pages,
        () if answer.attachments_at is None else StoredAttachments(spool, answer.attachments_at),
    )


def _inline(lines: bytes) -> Any:
    """The blocks that came with the answer."""
    for line in filter(None, lines.split(b"\n")):
        yield from decode_blocks(line)


def _error(code: str, message: str, hint: str, traceback: str) -> S3ToMilvusError:
    """The error that was raised in the child."""
    if code == "memory":
        return ParserCrashed("The document needs more memory than a parser may use.")
    if code == "defect":
        error = ParserCrashed(message)
        error.add_note(traceback)
        return error
    return error_of(code, message, hint)

"""The side of the service: a pool of parsing children, and parsers that look like any other."""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from s3_to_milvus.adapters.parsers.isolated import child
from s3_to_milvus.adapters.parsers.isolated.process import ChildProcess, ForkServer
from s3_to_milvus.adapters.parsers.isolated.received import receive
from s3_to_milvus.adapters.parsers.isolated.wire import INLINE_BYTES, Job, Plan, encode_job
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.errors import ParserCrashed, ParserKilled, ParserTimeout, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Parser, ParserInput

__all__ = ["ParsingPool"]

_TASKS_PER_CHILD = 50
_START_S = 60.0
_STOPPING = "The service is stopping."
_SCRATCH_S = 10.0
# Sent to a whole group of processes when a service or a terminal ends: they say nothing about the file.
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class ParsingPool:
    """Owns the children. Nothing starts before the first document; `close` ends everything within two seconds.

    Each child has pipes of its own: what one is told or answers, no other child reads or writes. ``scratch`` holds a
    folder for each running service; those that a crash left behind are removed.
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
        # A job is handed over only when a child is free for it, so its time starts at once.
        self._slots = threading.BoundedSemaphore(options.workers)
        self._targets: dict[str, dict[str, Any]] = {}
        self._preload: dict[str, None] = {child.__name__: None}
        self._server: ForkServer | None = None
        self._idle: list[ChildProcess] = []
        self._folder: _Folder | None = None
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
            folder = self._own_folder()
            copy = folder.given / token_hex(16)
            try:
                given = source and _handed_over(source, copy)
                job = encode_job(Job(target, options, given, 2 * self._options.timeout_s))
                limits = DocumentLimits() if source is None else source.limits
                return self._answer(job, limits, folder.kept)
            except OSError as exc:
                raise _unusable(folder.path, exc) from exc
            finally:
                with contextlib.suppress(OSError):
                    copy.unlink(missing_ok=True)

    def isolation(self) -> str:
        """How far children are shut off from everything else: full, partial or off, and by which measures."""
        with self._slots:
            process = self._ready()
            self._give_back(process)
            return process.isolation

    def close(self) -> None:
        """Stop all children, also those that hang; jobs under way end as `Unavailable`."""
        with self._lock:
            self._is_closed = True
            server, self._server = self._server, None
            idle, self._idle = self._idle, []
            folder, self._folder = self._folder, None
        for process in idle:
            process.close()
        if server is not None:
            server.close()
        if folder is not None:
            folder.close()

    def _answer(self, job: bytes, limits: DocumentLimits, kept: Path) -> Document:
        """What came of a job; a child that ended before it read any of it is replaced once."""
        for _ in range(2):
            process = self._ready()
            document = self._asked(process, job, limits, kept)
            if document is not None:
                return document
        raise Unavailable("The parsing processes were stopped by something else.")

    def _asked(self, process: ChildProcess, job: bytes, limits: DocumentLimits, kept: Path) -> Document | None:
        """The document, with every way a child can end made ours. None: it was stopped, whatever it read."""
        timeout_s = self._options.timeout_s
        answer: Document | S3ToMilvusError | None = None
        try:
            answer = receive(process.ask(job, time.monotonic() + timeout_s), limits, kept)
        except TimeoutError as exc:
            raise ParserTimeout(f"Parsing took longer than {timeout_s:g} s and was stopped.") from exc
        except EOFError as exc:
            code = process.exit_code()
            if self._is_closed:
                raise Unavailable(_STOPPING) from exc
            if code is not None and process.has_begun:
                raise self._crash(code) from exc
        finally:
            if answer is None:
                process.close()
            else:
                self._give_back(process)
        if isinstance(answer, S3ToMilvusError):
            raise answer
        return answer

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

    def _ready(self) -> ChildProcess:
        """A child that waits for a job."""
        for _ in range(2):
            process = self._taken()
            if process is None:
                continue
            try:
                process.wait_until_ready(time.monotonic() + _START_S)
                return process
            except (EOFError, TimeoutError):
                process.close()
            except BaseException:
                process.close()
                raise
        if self._is_closed:
            raise Unavailable(_STOPPING)
        raise Unavailable("The parsing processes could not be started.")

    def _taken(self) -> ChildProcess | None:
        """An idle child, else a new one; None where the fork server is gone."""
        with self._lock:
            folder = self._opened()
            while self._idle:
                process = self._idle.pop()
                if process.is_usable():
                    return process
                process.close()
            try:
                if self._server is None or not self._server.is_alive():
                    plan = Plan(list(self._preload), self._options.memory_mb, str(folder.given), self._targets)
                    self._close_server()
                    self._server = ForkServer(plan)
                return self._server.fork()
            except ConnectionError:
                self._close_server()
                return None
            except OSError as exc:
                raise Unavailable(f"A parsing process can't be started: {exc.strerror}.") from exc

    def _give_back(self, process: ChildProcess) -> None:
        """It gets further jobs; after many of them a new one takes its place, which starts meanwhile."""
        with self._lock:
            if not self._is_closed and process.tasks < _TASKS_PER_CHILD:
                self._idle.append(process)
                return
            process.close()
            if not self._is_closed and self._server is not None:
                with contextlib.suppress(OSError):
                    self._idle.append(self._server.fork())

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _own_folder(self) -> "_Folder":
        """The folder of this service, made with the first job."""
        with self._lock:
            try:
                return self._opened()
            except OSError as exc:
                raise _unusable(self._scratch, exc) from exc

    def _opened(self) -> "_Folder":
        if self._is_closed:
            raise Unavailable(_STOPPING)
        if self._folder is None:
            self._folder = _Folder(self._scratch)
        return self._folder


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
    """A scratch folder that belongs to this process as long as it lives; the lock on it ends with the process.

    ``given`` holds files for the children, ``kept`` what the service keeps of their answers.
    """

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in scratch.glob("parsing-*"):
            with contextlib.suppress(OSError), _locked(left):
                shutil.rmtree(left, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix="parsing-", dir=scratch)).resolve()
        self.given, self.kept = self.path / "given", self.path / "kept"
        for place in (self.given, self.kept):
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


def _handed_over(source: ParserInput, copy: Path) -> ParserInput:
    """The input as a child may read it: small data by the pipe, all else as a file in the scratch folder."""
    if source.data is not None:
        if len(source.data) <= INLINE_BYTES:
            return source
        copy.touch(mode=0o600)
        copy.write_bytes(source.data)
    elif source.path is not None:
        try:
            os.link(source.path, copy)
        except OSError:
            copy.touch(mode=0o600)
            shutil.copyfile(source.path, copy)
    return replace(source, data=None, path=copy)

"""Tells which files of a folder changed, within some ten milliseconds, by the kernel's notifications or by polling."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from watchfiles import Change, watch

from s3_to_milvus.adapters.folder_names import DEFAULT_IGNORE, components, name_rule
from s3_to_milvus.domain.backlog import Backlog
from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef, sort_key
from s3_to_milvus.errors import S3ToMilvusError, Unavailable

__all__ = ["FolderWatch"]

_DEBOUNCE_MS = 60
_STEP_MS = 15  # a change is told after one to two steps without another one
_LOOK_MS = 200  # how often the roots themselves are looked at
_MAX_PREFIXES = 100
_MAX_FAILED_STARTS = 3
_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 4.0

_Identity = tuple[int, int]


class FolderWatch:
    """Watches the root folder of each bucket.

    Beside files it emits prefixes: **a ref whose key ends in ``/`` says that anything below it may have changed, and
    one with an empty key that anything in the bucket may**; who takes the events lists that part. They come for
    folders that appear (moved in: their files are not told one by one), for every name that vanishes (it may have been
    a folder), and for a whole bucket as soon as it is watched: at the start, after its root was gone and came back,
    after notifications broke (a name that is no valid UTF-8) or ``emit`` failed unexpectedly. So nothing falls between
    a scan and the watch. What ``emit`` refuses with one of our errors (the ledger's disk is full) is remembered, and
    given again every few seconds. The same names are ignored as in the folder store; links are not followed.
    """

    kind = "watch"

    class Options(BaseModel):
        """``force_polling``: look at all files every ``poll_delay_ms``, where the file system notifies nobody (NFS)."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        ignore: tuple[str, ...] = DEFAULT_IGNORE
        force_polling: bool = False
        poll_delay_ms: int = Field(default=1000, ge=10)

    def __init__(self, options: Options, roots: Mapping[str, Path]) -> None:
        self._options = options
        self._roots = {bucket: os.path.abspath(root) for bucket, root in roots.items()}  # noqa: PTH100 - links stay links
        self._is_ignored = name_rule(options.ignore)
        self._must_poll = options.force_polling
        self._failed_starts = 0
        self._missed = set(self._roots)
        self._backlog = Backlog()
        self._wait_s = _FIRST_WAIT_S
        self._again_at = 0.0

    def run(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """See `EventSource.run`. A root that is not there is waited for."""
        while not should_stop():
            self._follow(emit, should_stop)

    def _follow(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """Emit until a root goes, comes or is replaced, or notifications break."""
        seen = self._identities()
        real = {bucket: os.path.realpath(self._roots[bucket]) for bucket in seen}
        for changes in self._changes(sorted(set(real.values())), should_stop):
            if changes is None:
                self._missed |= seen.keys()
                _pause(_LOOK_MS, should_stop)
                return
            now = self._identities()
            present = {bucket for bucket in seen if now.get(bucket) == seen[bucket]}
            self._backlog.add([ObjectEvent(ObjectRef(bucket, "")) for bucket in sorted(self._missed & present)])
            self._missed -= present
            self._backlog.add(self._events(changes, {bucket: real[bucket] for bucket in present}))
            try:
                self._emit(emit)
            except BaseException:
                self._missed |= seen.keys()  # the watch ends here
                raise
            if now != seen or not changes.isdisjoint((Change.deleted, root) for root in real.values()):
                self._missed |= self._roots.keys()
                return

    def _emit(self, emit: Callable[[Sequence[ObjectEvent]], None]) -> None:
        """Give out what waits; what is not taken waits on."""
        if not self._backlog or time.monotonic() < self._again_at:
            return
        try:
            emit(self._backlog.take())
        except S3ToMilvusError:  # whoever takes the events has told people
            self._again_at = time.monotonic() + self._wait_s
            self._wait_s = min(_MOST_WAIT_S, 2 * self._wait_s)
        else:
            self._backlog.clear()
            self._again_at, self._wait_s = 0.0, _FIRST_WAIT_S

    def _changes(
        self, paths: Sequence[str], should_stop: Callable[[], bool]
    ) -> Iterator[Set[tuple[Change, str]] | None]:
        """Batches of changes, an empty one now and then; None, as the last, when notifications broke."""
        while not paths and not should_stop():
            _pause(_LOOK_MS, should_stop)
            yield frozenset()
        if not paths:
            return
        batches = watch(
            *paths,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=_StopEvent(should_stop),
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            force_polling=self._must_poll,
            poll_delay_ms=self._options.poll_delay_ms,
            ignore_permission_denied=True,
        )
        self._failed_starts += 1
        with contextlib.closing(batches):
            try:
                for changes in batches:
                    self._failed_starts = 0
                    yield changes
            except Exception:  # noqa: BLE001 - the library raises its own, private kinds
                # The kernel grants no more watches, again and again: polling works everywhere.
                self._must_poll = self._must_poll or self._failed_starts >= _MAX_FAILED_STARTS
                yield None

    def _events(self, changes: Set[tuple[Change, str]], roots: Mapping[str, str]) -> list[ObjectEvent]:
        """Events for changed paths, prefixes last. Ordered, so that equal changes give equal events."""
        files: dict[ObjectRef, EventType] = {}
        prefixes: dict[str, set[str]] = {}
        for change, path in changes:
            for bucket, root in roots.items():
                key = path[len(root) + 1 :] if path.startswith(f"{root}/") else ""
                parts = components(key)
                if parts is None or any(map(self._is_ignored, parts)):
                    continue
                is_folder = os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - paths are text here
                if change is Change.deleted or (is_folder and change is Change.added):
                    prefixes.setdefault(bucket, set()).add(f"{key}/")
                if not is_folder or change is Change.deleted:
                    is_gone = not os.path.lexists(path)
                    files[ObjectRef(bucket, key)] = EventType.DELETE if is_gone else EventType.UPLOAD
        events = [ObjectEvent(ref, files[ref]) for ref in sorted(files, key=_order)]
        for bucket, found in sorted(prefixes.items()):
            events += [ObjectEvent(ObjectRef(bucket, prefix)) for prefix in _outermost(found)]
        return events

    def _identities(self) -> dict[str, _Identity]:
        """Device and inode of every root that is there."""
        found = {}
        for bucket, root in self._roots.items():
            with contextlib.suppress(OSError):
                facts = Path(root).stat()
                found[bucket] = (facts.st_dev, facts.st_ino)
        return found

    def check(self) -> str:
        """See `EventSource.check`."""
        missing = sorted(self._roots.keys() - self._identities().keys())
        if missing:
            raise Unavailable(f"not there: {', '.join(self._roots[bucket] for bucket in missing)}")
        how = f"every {self._options.poll_delay_ms} ms" if self._must_poll else "by notifications"
        return f"watching {', '.join(self._roots.values())} {how}"


class _StopEvent:
    """A question as the event that watchfiles asks for."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self.is_set = should_stop


def _pause(milliseconds: int, should_stop: Callable[[], bool]) -> None:
    for _ in range(milliseconds // _STEP_MS):
        if should_stop():
            return
        time.sleep(_STEP_MS / 1000)


def _order(ref: ObjectRef) -> tuple[str, bytes]:
    return ref.bucket, sort_key(ref.key)


def _outermost(prefixes: Set[str]) -> list[str]:
    """Prefixes without those that stand below another; very many become the one that they share."""
    kept: list[str] = []
    for prefix in sorted(prefixes, key=sort_key):
        if not (kept and prefix.startswith(kept[-1])):
            kept.append(prefix)
    if len(kept) > _MAX_PREFIXES:
        shared = os.path.commonprefix(kept)  # noqa: RUF071 - cut at a slash below
        return [shared[: shared.rfind("/") + 1]]
    return kept

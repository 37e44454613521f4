"""Gives back what deleted rows cost in Milvus Lite: rewrites segments without them, and forgets the tombstones.

Lite merges small files by itself, but keeps every tombstone as long as any file holds an older row, and each read
copies all of them. See ``docs/decisions/0003-lite-churn.md``. Ids, and the order of rows, stay as they are.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow

__all__ = ["compact", "is_due"]

_PARTITION = "_default"
_IDLE_TOMBSTONES = 400
_BUSY_TOMBSTONES = 1_000
_IDLE_SHARE = 0.2
_BUSY_SHARE = 0.5
_DEAD_SHARE = 0.1
_SEGMENT_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class _Plan:
    version: int
    keys: list[tuple[str, str]]
    segments: list[Any]
    delta: Any  # the tombstones, frozen


def is_due(collection: Any, *, is_idle: bool) -> bool:
    """True when there are so many tombstones that reads suffer. Cheap."""
    tombstones = len(collection._delta_index)
    if tombstones < (_IDLE_TOMBSTONES if is_idle else _BUSY_TOMBSTONES):
        return False
    rows = sum(segment.num_rows for segment in collection._segments_snapshot())
    live = max(0, rows - tombstones)
    return bool(tombstones >= live * (_IDLE_SHARE if is_idle else _BUSY_SHARE))


def compact(collection: Any, gate: Callable[[], AbstractContextManager[object]]) -> bool:
    """Rewrite the segments that hold many deleted rows. False when another change came between: nothing was done.

    ``gate`` gives the lock that keeps all other calls out; it is held only for the first look and for the swap.
    A crash at any point leaves the old state or the new one: the manifest is replaced in one step.
    """
    collection._wait_for_bg()
    with gate():
        plan = _plan(collection)
    if plan is None:
        return False
    made: list[str] = []
    try:
        segments = _rewrite(collection, plan, made)
        with gate(), collection._maintenance_lock:
            if collection._manifest.version != plan.version:
                _discard(collection, made)
                return False
            _swap(collection, plan, segments)
    except BaseException:
        _discard(collection, made)
        raise
    return True


def _plan(collection: Any) -> _Plan | None:
    from milvus_lite.storage.snapshots import snapshot_references

    manifest = collection._manifest
    is_foreign = manifest.list_partitions() != [_PARTITION] or any(snapshot_references(collection.data_dir))
    if is_foreign or _has_old_logs(collection):
        return None
    delta = collection._delta_index.frozen_copy()
    keys: list[tuple[str, str]] = []
    segments: list[Any] = []
    rows = 0
    for key, segment in collection._segment_cache.items():
        dead = sum(_is_dead(segment, each, seq) for each, seq in delta._map.items())
        if dead < segment.num_rows * _DEAD_SHARE or (segments and rows + segment.num_rows > 2 * _SEGMENT_ROWS):
            continue
        keys.append(key)
        segments.append(segment)
        rows += segment.num_rows
    return _Plan(manifest.version, keys, segments, delta)


def _has_old_logs(collection: Any) -> bool:
    """True while a log from before the last start is there: it may hold rows that only the tombstones hide."""
    return any(number < collection._wal.number for number in collection._wal.find_wal_files(collection._wal.wal_dir))


def _is_dead(segment: Any, row_id: int, seq: int) -> bool:
    place = segment.pk_to_row.get(row_id)
    return place is not None and int(segment.seqs[place]) < seq


def _rewrite(collection: Any, plan: _Plan, made: list[str]) -> list[tuple[tuple[str, str], Any]]:
    """Write the living rows of the plan's segments into new files, with their indexes; ``made`` names the files."""
    pa = load_pyarrow()
    from milvus_lite.storage.data_file import write_data_file
    from milvus_lite.storage.segment import Segment

    if not plan.segments:
        return []
    manager = collection._compaction_mgr
    table = manager._dedup_max_seq(pa.concat_tables([segment.table for segment in plan.segments]))
    table = manager._filter_deleted(table, plan.delta).sort_by("_seq")
    folder = _partition(collection)
    found = []
    for start in range(0, table.num_rows, _SEGMENT_ROWS):
        part = table.slice(start, _SEGMENT_ROWS)
        seqs = part.column("_seq")
        first, last = manager._pick_unique_seq_range(str(folder), seqs[0].as_py(), seqs[-1].as_py())
        made.append(write_data_file(part, str(folder), first, last))
        path = folder / made[-1]
        segment = Segment.load(str(path), _PARTITION, collection._pk_name, collection._vector_name)
        if collection.load_state == "loaded":
            for spec in collection._index_specs.values():
                collection._build_or_load_segment_index(segment, spec)
        found.append(((_PARTITION, made[-1]), segment))
    return found


def _swap(collection: Any, plan: _Plan, segments: list[tuple[tuple[str, str], Any]]) -> None:
    manifest = collection._manifest
    old_data = [rel for _, rel in plan.keys]
    old_deltas = manifest.get_delta_files(_PARTITION)
    staying = [segment for key, segment in collection._segment_cache.items() if key not in set(plan.keys)]
    tombstones = {
        each: seq for each, seq in plan.delta._map.items() if any(each in segment.pk_to_row for segment in staying)
    }
    manifest.remove_data_files(_PARTITION, old_data)
    manifest.remove_delta_files(_PARTITION, old_deltas)
    for (_, rel), _segment in segments:
        manifest.add_data_file(_PARTITION, rel)
    if tombstones:
        manifest.add_delta_file(_PARTITION, _write_tombstones(collection, tombstones, old_deltas))
    manifest.save()  # from here on it is the new state that a crash leaves
    for key in plan.keys:
        collection._segment_cache.pop(key, None)
    collection._segment_cache.update(segments)
    collection._delta_index._map = tombstones
    _remove(_partition(collection) / rel for rel in (*old_data, *old_deltas))
    collection._cleanup_orphan_index_files()


def _write_tombstones(collection: Any, tombstones: dict[int, int], taken: list[str]) -> str:
    pa = load_pyarrow()
    from milvus_lite.schema.arrow_builder import build_delta_schema
    from milvus_lite.storage.delta_file import write_delta_file

    schema = build_delta_schema(collection.schema)
    columns = {collection._pk_name: list(tombstones), "_seq": list(tombstones.values())}
    first, last = min(tombstones.values()), max(tombstones.values())
    folder = _partition(collection)
    while any(rel.endswith(f"_{last:06d}.parquet") for rel in taken):
        last += 1  # the upper bound in the name may be too large, but no name may be used twice
    return str(write_delta_file(pa.Table.from_pydict(columns, schema=schema), str(folder), first, last))


def _partition(collection: Any) -> Path:
    return Path(collection.data_dir) / "partitions" / _PARTITION


def _discard(collection: Any, made: list[str]) -> None:
    folder = _partition(collection)
    _remove(folder / rel for rel in made if rel not in collection._manifest.get_data_files(_PARTITION))
    collection._cleanup_orphan_index_files()


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)

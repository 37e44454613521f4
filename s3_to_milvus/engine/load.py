"""One load of chunks, from several documents, embedded and inserted together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from s3_to_milvus.domain.documents import Box, Chunk, embedded_text
from s3_to_milvus.domain.limits import (
    BUCKET_BYTES,
    FILE_KEY_BYTES,
    FILE_NAME_BYTES,
    TEXT_BYTES,
    clip_utf8,
    storable_text,
)
from s3_to_milvus.domain.rows import Row
from s3_to_milvus.engine.draft import Draft
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.observe import stage
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import LeaseLost, PermanentError
from s3_to_milvus.ports import Meter, metered

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["Load"]

_VECTOR_BYTES = 32 * 2**20  # with the texts well below the 64 MiB that one request to Milvus may have


@dataclass(slots=True, eq=False)
class _Item:
    draft: Draft
    chunk: Chunk
    text: str
    embedded: str
    vector: "NDArray[float32] | None" = None


class Load:
    """Chunks waiting for their vectors and rows. Used by one worker thread."""

    def __init__(self, parts: Parts, leases: Leases) -> None:
        self._parts = parts
        self._leases = leases
        self._items: list[_Item] = []
        self._bytes = 0
        rows_of_vectors = max(1, _VECTOR_BYTES // (4 * parts.embedder.dim))
        self._max_rows = min(parts.config.load_rows, parts.embedder.max_batch_texts, rows_of_vectors)

    @property
    def is_full(self) -> bool:
        """True when it should be flushed before more is added."""
        return len(self._items) >= self._max_rows or self._bytes >= self._parts.config.load_bytes

    def add(self, draft: Draft, chunk: Chunk) -> None:
        """Put one chunk in."""
        text = clip_utf8(storable_text(chunk.text), TEXT_BYTES)
        item = _Item(draft, chunk, text, embedded_text(draft.claim.ref.file_name, chunk.heading, text))
        self._items.append(item)
        self._bytes += len(text) * 2
        draft.chunk_count += 1

    def flush(self) -> None:
        """Embed and insert everything. Failures end in ``Draft.error`` of the documents they belong to."""
        items, self._items, self._bytes = self._items, [], 0
        self._each_alone_on_refusal(self._alive(items), self._embed)
        alive = self._alive(items)
        for _, group in groupby(sorted(alive, key=_collection_of), key=_collection_of):
            self._each_alone_on_refusal(list(group), self._insert)

    def discard(self, draft: Draft) -> None:
        """Take the chunks of a failed document out."""
        self._items = [item for item in self._items if item.draft is not draft]

    def _alive(self, items: Iterable[_Item]) -> list[_Item]:
        for item in items:
            draft = item.draft
            if draft.error is None and not self._leases.is_live(draft.claim):
                draft.error = LeaseLost("The lease ran out while the document was being read.")
        return [item for item in items if item.draft.error is None]

    def _each_alone_on_refusal(self, items: list[_Item], work: Callable[[list[_Item]], None]) -> None:
        """One refused text or row refuses the whole request: repeat it document by document, so that only one fails."""
        drafts = list(dict.fromkeys(item.draft for item in items))
        try:
            work(items)
        except PermanentError as error:
            if len(drafts) == 1:
                drafts[0].error = error
                return
            for draft in drafts:
                self._each_alone_on_refusal([item for item in items if item.draft is draft], work)
        except Exception as error:  # noqa: BLE001 - the worker decides by the error's family
            for draft in drafts:
                draft.error = error

    def _embed(self, items: list[_Item]) -> None:
        for draft in dict.fromkeys(item.draft for item in items):
            if draft.reuse is not None:
                mine = [item for item in items if item.draft is draft]
                for place, vector in draft.reuse.vectors_for([item.embedded for item in mine]).items():
                    mine[place].vector = vector
        missing = [item for item in items if item.vector is None]
        step = self._parts.embedder.max_batch_texts
        for start in range(0, len(missing), step):
            part = missing[start : start + step]
            for item, vector in zip(part, self._vectors(part), strict=True):
                item.vector = vector
                item.draft.embedded += 1

    def _vectors(self, items: list[_Item]) -> "NDArray[float32]":
        """One request for several documents: each bears its part of what that cost, also where it failed."""
        meter = Meter()
        try:
            with metered(meter), stage("embed", items[0].draft.clock):
                return self._parts.embedder.embed_documents([item.embedded for item in items])
        finally:
            if meter.total:
                weights: dict[Draft, int] = {}
                for item in items:
                    weights[item.draft] = weights.get(item.draft, 0) + len(item.embedded.encode("utf-8", "replace"))
                for draft, share in zip(weights, meter.total.shared([*weights.values()]), strict=True):
                    draft.meter.add(share)

    def _insert(self, items: list[_Item]) -> None:
        if not items:
            return
        rows = [_row(item) for item in items]
        drafts = list(dict.fromkeys(item.draft for item in items))
        try:
            with stage("insert", drafts[0].clock):
                ids = self._parts.vectors.insert(drafts[0].spec.name, rows)
        except PermanentError:
            raise
        except Exception:
            for draft in drafts:
                draft.is_unclean = True
            raise
        for item, row_id in zip(items, ids, strict=True):
            item.draft.ids.append(row_id)


def _collection_of(item: _Item) -> str:
    return item.draft.spec.name


def _row(item: _Item) -> Row:
    draft, chunk = item.draft, item.chunk
    ref = draft.claim.ref
    if item.vector is None:  # pragma: no cover - _embed gives every item its vector or raises
        raise AssertionError("a chunk without a vector")
    return Row(
        vector=item.vector,
        text=item.text,
        file_name=clip_utf8(storable_text(ref.file_name), FILE_NAME_BYTES),
        file_date=draft.file_date,
        object_id=ref.object_id,
        run=draft.claim.run,
        chunk_no=chunk.number,
        bucket=clip_utf8(storable_text(ref.bucket), BUCKET_BYTES),
        file_key=clip_utf8(storable_text(ref.key), FILE_KEY_BYTES),
        page=chunk.page or 0,
        meta=_meta(draft, chunk),
    )


def _meta(draft: Draft, chunk: Chunk) -> dict[str, Any]:
    meta: dict[str, Any] = {"media_type": draft.media_type}
    if chunk.heading:
        meta["heading"] = [storable_text(each) for each in chunk.heading]
    if chunk.pages:
        meta["pages"] = [_page(span.page, span.box) for span in chunk.pages]
    if draft.language:
        meta["language"] = draft.language
    return meta


def _page(page: int, box: Box | None) -> dict[str, Any]:
    if box is None:
        return {"page": page}
    return {"page": page, "box": [box.left, box.top, box.right, box.bottom]}

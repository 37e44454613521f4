"""Search: nearest rows over one or all collections, and only those that the ledger says are true."""

from dataclasses import dataclass

from s3_to_milvus.domain.rows import Hit
from s3_to_milvus.engine.observe import CountedMeter
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import ConfigError, S3ToMilvusError
from s3_to_milvus.ports import CollectionCounts, Standing, metered

__all__ = ["Found", "Searcher"]

_SPARE = 8
_LIMIT = 16_384
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A hit as people see it. ``key`` and ``bucket`` are exact, from the ledger."""

    score: float
    text: str
    bucket: str
    key: str
    file_name: str
    collection: str
    chunk_no: int
    page: int | None
    heading: tuple[str, ...]


class Searcher:
    """Answers questions from the rows that stand."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._closed: dict[str, str] = {}

    @property
    def warnings(self) -> list[str]:
        """The collections that the last search over all could not ask."""
        return list(self._closed.values())

    def search(self, query: str, top: int = 10, collection: str | None = None) -> list[Found]:
        """The best ``top`` chunks, best first. ``collection``: a label or name; None searches all.

        Raises `ConfigError` for an empty query or a collection that does not exist. Where some of several collections
        can't be asked, the others answer, and `warnings` names those.
        """
        if not query.strip():
            raise ConfigError("The query is empty.", hint="Say what you are looking for.")
        top = max(1, min(top, _LIMIT // 2))
        chosen = [each for each in self._choose(collection) if each.objects]
        if not chosen:
            return []
        with metered(CountedMeter()):
            vector = self._parts.embedder.embed_query(query)
        found: list[tuple[Hit, Found]] = []
        failed: list[S3ToMilvusError] = []
        for each in chosen:
            try:
                found.extend(self._search_one(each, vector, top))
                self._closed.pop(each.spec.name, None)
            except S3ToMilvusError as error:  # the others answer
                failed.append(error)
                self._closed[each.spec.name] = f"The collection {each.spec.label} can't be searched: {error.told}"
        if len(failed) == len(chosen):
            raise failed[0]
        found.sort(key=lambda pair: -pair[0].score)
        return [shown for _, shown in found[:top]]

    def _choose(self, collection: str | None) -> list[CollectionCounts]:
        current = self._parts.embedder.fingerprint
        known = [each for each in self._parts.ledger.collections() if each.spec.embedder == current]
        if collection is None:
            return known
        chosen = [each for each in known if collection in (each.spec.label, each.spec.name)]
        if not chosen:
            names = ", ".join(sorted(each.spec.label for each in known)) or "none yet"
            raise ConfigError(f"There is no collection {collection!r}.", hint=f"Known collections: {names}.")
        return chosen

    def _search_one(self, counts: CollectionCounts, vector: "object", top: int) -> list[tuple[Hit, Found]]:
        """Ask for more than is wanted, since rows of replaced versions are dropped; ask again if too few remain.

        Where an object was replaced between the look into Milvus and the look into the ledger, all its hits are of
        the version before: the new rows are there by now, so look again, that a reader never finds nothing.
        """
        limit = min(_LIMIT, top + _SPARE)
        looks_left = _LOOKS
        while True:
            hits = self._parts.vectors.search(counts.spec.name, vector, limit)  # type: ignore[arg-type]
            standing = self._parts.ledger.standing({hit.row.object_id for hit in hits})
            kept = [hit for hit in hits if _run_of(hit, standing) == hit.row.run]
            looks_left = max(0, looks_left - 1)
            if looks_left and _is_overtaken(hits, kept, standing):
                continue
            if len(kept) >= top or len(hits) < limit or limit == _LIMIT:
                return [(hit, _shown(hit, standing[hit.row.object_id], counts.spec.label)) for hit in kept]
            limit = min(_LIMIT, limit * 4)


def _run_of(hit: Hit, standing: dict[str, Standing]) -> int | None:
    found = standing.get(hit.row.object_id)
    return found.run if found else None


def _is_overtaken(hits: list[Hit], kept: list[Hit], standing: dict[str, Standing]) -> bool:
    """True when an object shows in rows of an older run only."""
    shown = {hit.row.object_id for hit in kept}
    return any(hit.row.object_id not in shown and (_run_of(hit, standing) or 0) > hit.row.run for hit in hits)


def _shown(hit: Hit, standing: Standing, label: str) -> Found:
    row = hit.row
    return Found(
        score=round(hit.score, 6),
        text=row.text,
        bucket=standing.ref.bucket,
        key=standing.ref.key,
        file_name=standing.ref.file_name,
        collection=label,
        chunk_no=row.chunk_no,
        page=row.page or None,
        heading=tuple(row.meta.get("heading", ())),
    )

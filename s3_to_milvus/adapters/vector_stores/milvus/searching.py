"""How a collection is searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus import rows as wire
from s3_to_milvus.adapters.vector_stores.milvus.connection import Connection
from s3_to_milvus.domain.rows import Hit

__all__ = ["MAX_LIMIT", "Search"]

MAX_LIMIT = 16_384
_NPROBE = 32
_ALL_CELLS = 65_536


@dataclass(frozen=True, slots=True)
class Search:
    """The settings of all searches: ``params`` go before what is best as a rule."""

    connection: Connection
    params: Mapping[str, Any]
    level: str

    def run(
        self, client: Any, collection: str, query: Sequence[float], limit: int, metric: str, nlist: int
    ) -> list[Hit]:
        """The nearest rows. ``nlist``: how many cells the index has; 0: it has none."""
        params = self._params(nlist)
        hits = self._once(client, collection, query, limit, metric, params)
        if len(hits) < limit and 0 < params.get("nprobe", nlist) < nlist:
            # An IVF index looks into the nearest cells only: there may be more rows in the others.
            hits = self._once(client, collection, query, limit, metric, params | {"nprobe": nlist})
        if self.connection.lite is not None:
            self.connection.lite.searched(collection)
        return hits

    def _params(self, nlist: int) -> dict[str, Any]:
        if self.connection.lite is not None:
            return {"nprobe": _ALL_CELLS, **self.params}
        return {"nprobe": min(nlist, _NPROBE), **self.params} if nlist else dict(self.params)

    def _once(
        self, client: Any, collection: str, query: Sequence[float], limit: int, metric: str, params: dict[str, Any]
    ) -> list[Hit]:
        found = client.search(
            collection,
            data=[query],
            anns_field="vector",
            limit=limit,
            search_params={"metric_type": metric, "params": params},
            output_fields=wire.HIT_FIELDS,
            consistency_level=self.level,
            **self.connection.once,
        )
        return [wire.hit_of(collection, each, metric) for each in found[0]]

"""The vector store on Milvus."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.adapters.vector_stores.milvus import identity, schema
from s3_to_milvus.adapters.vector_stores.milvus import rows as wire
from s3_to_milvus.adapters.vector_stores.milvus.address import Address, lite_path_of
from s3_to_milvus.adapters.vector_stores.milvus.connection import Connection
from s3_to_milvus.adapters.vector_stores.milvus.errors import (
    is_missing,
    is_not_loaded,
    translate,
    translated,
)
from s3_to_milvus.adapters.vector_stores.milvus.indexes import DEFAULT_INDEX, add_indexes
from s3_to_milvus.adapters.vector_stores.milvus.originals import MilvusOriginals
from s3_to_milvus.adapters.vector_stores.milvus.repair import DROPPED
from s3_to_milvus.adapters.vector_stores.milvus.searching import MAX_LIMIT, Search
from s3_to_milvus.adapters.vector_stores.milvus.vendor import grpc_errors
from s3_to_milvus.domain.rows import CollectionSpec, Hit, Row, RowIdentity, RowSet, StoredRow
from s3_to_milvus.errors import ConfigError, SchemaMismatch
from s3_to_milvus.ports import Frozen, Incident

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ["MilvusVectorStore"]

T = TypeVar("T")

_DELETE_IDS = 4_096
_FETCH_IDS = 1_000
_FETCH_VECTOR_IDS = 500
_SETUP_S = 120.0
_NLIST = 128
_NLIST_LITE = 16


class MilvusVectorStore:
    """Milvus Lite where ``uri`` is a path, else a server or Zilliz. Nothing is imported or opened before the first use.

    Milvus Lite: every call holds one lock for the whole process; call `tend` now and then.
    """

    kind = "milvus"

    class Options(BaseModel):
        """``[vector_store.milvus]``"""

        model_config = ConfigDict(extra="forbid")

        uri: str = Field(default="", description="Path of a Milvus Lite database, or http(s)://host:port of a server.")
        token: SecretStr = Field(default=SecretStr(""), description="user:password, or an API key of Zilliz.")
        db_name: str = Field(default="", description="Database on the server; empty: its default.")
        ca_bundle: Path | None = Field(
            default=None, description="Authority of the server's certificate (PEM), if your own."
        )
        client_cert_file: Path | None = Field(
            default=None, description="Where the server asks for a certificate: ours (PEM)."
        )
        client_key_file: Path | None = Field(default=None, description="The key of that certificate (PEM).")
        server_name: str = Field(
            default="", description="Name in the server's certificate, if not that of the address."
        )
        index_type: str = Field(default=DEFAULT_INDEX, description="Index of the vectors of new collections.")
        metric_type: Literal["L2", "IP", "COSINE"] = Field(default="L2", description="Metric of new collections.")
        index_params: dict[str, Any] = Field(default_factory=dict, description="Of the index, such as nlist.")
        search_params: dict[str, Any] = Field(default_factory=dict, description="Of a search, such as nprobe.")
        consistency_level: Literal["Strong", "Session", "Bounded", "Eventually"] = Field(
            default="Bounded", description="How fresh a search on a server must be. Milvus Lite always is."
        )
        timeout_s: float = Field(default=30.0, gt=0, description="The longest that one call to a server may take.")

        def address(self, uri: str) -> Address:
            """Where Milvus is. Raises nothing: `Address.verify` does."""
            token = self.token.get_secret_value()
            return Address(
                uri, token, self.db_name, self.ca_bundle, self.client_cert_file, self.client_key_file, self.server_name
            )

    def __init__(self, options: Options, lite_path: Path | None = None) -> None:
        uri = options.uri or (str(lite_path) if lite_path else "")
        if not uri:
            raise ConfigError("vector_store.milvus.uri is not set.")
        self._options = options
        self._connection = Connection(options.address(uri), options.timeout_s, self._forget)
        self._is_lite = lite_path_of(uri) is not None
        self._searching = Search(self._connection, options.search_params, options.consistency_level)
        self.folder = self._connection.path
        self._setup = threading.RLock()
        self._specs: dict[str, CollectionSpec] = {}
        self._metrics: dict[str, tuple[str, int]] = {}
        self._dims: dict[str, int] = {}
        self._last_ids: dict[str, int] = {}  # ids up to these were given, or are known to the ledger
        self.originals = MilvusOriginals(self._connection, self._ensure, self._forget)

    def ensure(self, spec: CollectionSpec, after_id: int = 0) -> None:
        """See `ports.VectorStore`."""
        self._last_ids[spec.name] = max(after_id, self._last_ids.get(spec.name, 0))
        options = self._options
        params = {"nlist": _NLIST_LITE if self._is_lite else _NLIST} if options.index_type.startswith("IVF") else {}
        self._ensure(spec, schema.VectorIndex(options.index_type, options.metric_type, params | options.index_params))
        if self._is_lite:
            with self._connection.gate():
                self._connection.lite.raise_ids(spec.name, after_id)

    def _ensure(self, spec: CollectionSpec, index: schema.VectorIndex) -> None:
        if not self._is_lite and self._specs.get(spec.name) == spec and spec.name in self._metrics:
            return
        gate = self._connection.gate(spec.name)
        with gate as client, self._setup, translated(f"preparing the collection {spec.name}"):
            if self._specs.get(spec.name) == spec and spec.name in self._metrics:
                return
            try:
                self._prepare(client, spec, index)
            except grpc_errors():
                lite = self._connection.lite
                if lite is None or not lite.put_aside_if_damaged(spec.name):
                    raise
                self._prepare(client, spec, index)

    def _prepare(self, client: Any, spec: CollectionSpec, index: schema.VectorIndex) -> None:
        if not self._connection.has(client, spec.name):
            self._create(client, spec)
        described = client.describe_collection(spec.name, **self._connection.once)
        schema.verify(spec, described)
        self._dims[spec.name] = spec.dim
        add_indexes(client, spec.name, index, is_lite=self._is_lite)
        self._load(client, spec.name)
        self._specs[spec.name] = spec

    def insert(self, collection: str, rows: Sequence[Row]) -> list[int]:
        """See `ports.VectorStore`."""
        if not rows:
            return []
        entities = wire.entities(rows, self._dim(collection))
        with self._connection.gate(collection) as client:
            try:
                if self._is_lite and not self._is_loaded(client, collection):
                    self.ensure(self._known(collection))
                return self._insert(client, collection, entities)
            except grpc_errors() as exc:
                if not is_missing(exc) or collection not in self._specs:
                    raise translate(exc, f"inserting into {collection}", is_insert=True) from exc
            # Somebody dropped it: nothing was written.
            self._forget(collection)
            self.ensure(self._known(collection))
            with translated(f"inserting into {collection}", is_insert=True):
                return self._insert(client, collection, entities)

    def delete(self, collection: str, rows: Sequence[RowSet]) -> None:
        """See `ports.VectorStore`."""
        whose: dict[int, set[tuple[str, int]]] = {}  # an id that was given twice may be named with each of its owners
        for each in rows:
            for row_id in each.ids:
                whose.setdefault(row_id, set()).add((each.object_id, each.run))
        for batch in identity.batches(list(whose), _DELETE_IDS):
            self._on(collection, "deleting rows", partial(self._delete_own, collection, batch, whose), None)

    def sync(self, collections: Collection[str]) -> None:
        """See `ports.VectorStore`. A server does so by itself."""
        if self._connection.lite is not None:
            with translated("bringing the logs to the disk"):
                self._connection.lite.sync(collections)

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        """See `ports.VectorStore`."""
        condition = wire.object_filter(object_id, keep_run, before_run)

        def work(client: Any) -> None:
            if self._is_lite:
                found = client.query(collection, filter=condition, output_fields=["id"], **self._connection.once)
                for batch in identity.batches([row["id"] for row in found], _DELETE_IDS):
                    self._delete(collection, batch, client)
            else:
                client.delete(collection, filter=condition, **self._connection.once)

        self._on(collection, "deleting rows of older runs", work, None)

    def fetch(self, collection: str, rows: RowSet, *, with_vectors: bool = False) -> list[StoredRow]:
        """See `ports.VectorStore`."""
        fields = ["id", *wire.STORED_FIELDS, *(["vector"] if with_vectors else [])]
        found: list[StoredRow] = []
        for batch in identity.batches(rows.ids, _FETCH_VECTOR_IDS if with_vectors else _FETCH_IDS):
            found += self._on(
                collection, "reading rows", partial(identity.rows, self._connection, collection, batch, fields), []
            )
        return [each for each in found if (each.object_id, each.run) == (rows.object_id, rows.run)]

    def search(self, collection: str, vector: "NDArray[float32]", limit: int) -> list[Hit]:
        """See `ports.VectorStore`."""
        wanted = max(0, min(limit, MAX_LIMIT))
        if not wanted:
            return []
        query = [float(value) for value in vector]

        def work(client: Any) -> list[Hit]:
            return self._searching.run(client, collection, query, wanted, *self._metrics[collection])

        return self._on(collection, "searching", work, [])

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        """See `ports.VectorStore`."""
        if self._is_lite:
            yield from self._on(collection, "listing rows", lambda _: self._connection.lite.identities(collection), [])
            return
        after = -1  # Milvus gives no negative ids
        while rows := self._page(collection, after):
            yield from rows
            after = max(row.id for row in rows)

    def _page(self, collection: str, after_id: int) -> list[RowIdentity]:
        return self._on(collection, "listing rows", partial(identity.page, self._connection, collection, after_id), [])

    def count(self, collection: str, after_id: int = -1) -> int:
        """See `ports.VectorStore`."""

        return self._on(collection, "counting rows", partial(identity.count, self._connection, collection, after_id), 0)

    def mark(self, collection: str) -> str:
        """See `ports.VectorStore`."""
        return self._on(collection, "reading the mark", partial(identity.mark, self._connection, collection), "")

    def put_mark(self, collection: str, mark: str) -> None:
        """See `ports.VectorStore`."""
        write = partial(identity.put_mark, self._connection, collection, mark)
        self._on(collection, "writing the mark", write, None)

    def incidents(self) -> list[Incident]:
        """See `ports.VectorStore`. A server notices nothing of the kind."""
        return [] if self._connection.lite is None else self._connection.lite.incidents()

    def collections(self) -> list[str]:
        """See `ports.VectorStore`."""
        with self._connection.gate() as client, translated("listing collections"):
            return sorted(each for each in self._connection.names(client) if not each.startswith(DROPPED))

    def drop(self, collection: str) -> None:
        """See `ports.VectorStore`."""
        with (
            self._connection.undisturbed(collection),
            self._connection.gate(collection) as client,
            translated("dropping"),
        ):
            self._forget(collection)
            if not self._connection.has(client, collection):
                return
            doomed = collection
            if self._is_lite:
                # Renamed first, in one step: a process killed while the files go leaves no half collection.
                doomed = DROPPED
                client.rename_collection(collection, doomed, **self._connection.once)
            client.drop_collection(doomed, **self._connection.once)

    def tend(self, *, is_idle: bool) -> bool:
        """See `ports.VectorStore`. A server keeps its own house."""
        lite = self._connection.lite
        if lite is None:
            return False
        with translated("housekeeping"):
            return bool(lite.tend(is_idle=is_idle))

    def check(self) -> str:
        """See `ports.VectorStore`."""
        with self._connection.gate() as client, translated("asking for its version"):
            version = client.get_server_version()
        name = "Milvus Lite" if self._is_lite else "Milvus"
        count = len(self.collections())
        return f"{name} {version.removeprefix('milvus_lite-')} at {self._connection.name}, {count} collections"

    def freeze(self, meanwhile: Callable[[], None]) -> Frozen | None:
        """See `ports.VectorStore`."""
        return self._connection.freeze(meanwhile)

    def close(self) -> None:
        """See `ports.VectorStore`."""
        self._connection.close()

    def _on(self, collection: str, doing: str, work: Callable[[Any], T], empty: T) -> T:
        """Do ``work`` with a loaded collection; ``empty`` where it is not there. Not loaded: load it, once more."""
        with self._connection.gate(collection) as client:
            for is_last in (False, True):
                try:
                    return work(client) if self._is_loaded(client, collection) else empty
                except Exception as exc:
                    if not isinstance(exc, (*grpc_errors(), OSError)):
                        raise
                    self._forget(collection)
                    if is_missing(exc):
                        return empty
                    if is_last or not is_not_loaded(exc):
                        raise translate(exc, f"{doing} of {collection}") from exc
        return empty

    def _is_loaded(self, client: Any, collection: str) -> bool:
        """Loads the collection where it is not; False: it is not there."""
        if collection not in self._metrics:
            if not self._connection.has(client, collection):
                return False
            try:
                self._load(client, collection)
            except grpc_errors() as exc:
                if is_missing(exc):  # by now: it was damaged
                    return False
                raise
        return True

    def _forget(self, collection: str | None) -> None:
        for known in (self._metrics, self._dims):
            for name in list(known) if collection is None else [collection]:
                known.pop(name, None)

    def _known(self, collection: str) -> CollectionSpec:
        if (spec := self._specs.get(collection)) is None:
            raise SchemaMismatch(f"There is no collection {collection}.", hint="Make it first.")
        return spec

    def _dim(self, collection: str) -> int:
        if collection not in self._dims:
            with self._connection.gate() as client, translated(f"reading the schema of {collection}"):
                if not self._is_loaded(client, collection):
                    self.ensure(self._known(collection))
                self._dims[collection] = schema.dim_of(client.describe_collection(collection, **self._connection.once))
        return self._dims[collection]

    def _create(self, client: Any, spec: CollectionSpec) -> None:
        options: dict[str, Any] = {"num_shards": 1, "consistency_level": self._options.consistency_level}
        if self._is_lite:
            options["properties"] = {schema.LABEL_PROPERTY: schema.describe_spec(spec)}
        try:
            client.create_collection(spec.name, schema=schema.make_schema(spec), **options, **self._connection.once)
        except grpc_errors():
            if not self._connection.has(client, spec.name):  # another process may have made it meanwhile
                raise
        if self._is_lite:
            self._connection.lite.created(spec.name)

    def _load(self, client: Any, collection: str) -> None:
        """Load a collection and learn its metric. A torn index of Milvus Lite is built anew."""
        try:
            client.load_collection(collection, timeout=_SETUP_S)
        except grpc_errors() as exc:
            if not self._is_lite or is_missing(exc):
                raise
            if not self._connection.lite.put_aside_if_damaged(collection):
                self._connection.lite.mend_indexes(collection)
            client.load_collection(collection, timeout=_SETUP_S)
        index = client.describe_index(collection, "vector") or {}
        self._metrics[collection] = (index.get("metric_type", "L2"), int(index.get("nlist", 0) or 0))
        if self._is_lite:
            self._connection.lite.opened(collection, self._last_ids.get(collection, 0))

    def _insert(self, client: Any, collection: str, entities: list[dict[str, Any]]) -> list[int]:
        lite = self._connection.lite
        if lite is None:
            return [int(each) for each in client.insert(collection, entities, **self._connection.once)["ids"]]
        lite.before_write(collection)
        try:
            ids = [int(each) for each in client.insert(collection, entities, **self._connection.once)["ids"]]
        except grpc_errors():
            lite.failed(collection)
            raise
        lite.wrote(collection, rows=len(ids))
        self._last_ids[collection] = max(ids[-1], self._last_ids.get(collection, 0))
        return ids

    def _delete_own(
        self, collection: str, ids: list[int], whose: Mapping[int, Collection[tuple[str, int]]], client: Any
    ) -> None:
        """Delete those of the ids that have an owner they should have."""
        owners = identity.owners(self._connection, collection, ids, self._options.consistency_level, client)
        own = [each for each in ids if owners.get(each) in whose[each]]
        if own:
            self._delete(collection, own, client)

    def _delete(self, collection: str, ids: list[int], client: Any) -> None:
        lite = self._connection.lite
        if lite is not None:
            lite.before_write(collection)
        try:
            client.delete(collection, ids=ids, **self._connection.once)
        except grpc_errors():
            if lite is not None:
                lite.failed(collection)
            raise
        if lite is not None:
            lite.wrote(collection, deletes=len(ids))

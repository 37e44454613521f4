"""The indexes of a collection: of its vectors, and of the column by which rows of one object are found."""

from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus import schema
from s3_to_milvus.adapters.vector_stores.milvus.errors import is_bad_input
from s3_to_milvus.adapters.vector_stores.milvus.vendor import grpc_errors

__all__ = ["DEFAULT_INDEX", "add_indexes"]

DEFAULT_INDEX = "IVF_FLAT"
_AUTO_INDEX = "AUTOINDEX"
_SCALAR_INDEXES = ("INVERTED", "Trie")  # Trie is what 2.3 has
_SETUP_S = 120.0


def add_indexes(client: Any, collection: str, index: schema.VectorIndex, *, is_lite: bool) -> None:
    """Those that are not there yet. They are built while rows come in. Raises what the client raises."""
    known = set(client.list_indexes(collection))
    if "vector" not in known:
        _add_vector_index(client, collection, index)
    if "object_id" in known or is_lite:  # Lite looks at every row with and without an index
        return
    for kind in _SCALAR_INDEXES:
        try:
            _create(client, collection, schema.index_params("object_id", kind))
        except grpc_errors():
            continue
        return


def _add_vector_index(client: Any, collection: str, index: schema.VectorIndex) -> None:
    try:
        _create(client, collection, schema.index_params("vector", index.kind, index.metric, index.params))
    except grpc_errors() as exc:
        if index.kind != DEFAULT_INDEX or not is_bad_input(exc):
            raise
        # Zilliz Cloud has AUTOINDEX only (https://docs.zilliz.com/docs/autoindex-explained), and may say so.
        _create(client, collection, schema.index_params("vector", _AUTO_INDEX, index.metric, {}))


def _create(client: Any, collection: str, made: Any) -> None:
    client.create_index(collection, made, timeout=_SETUP_S, sync=False)

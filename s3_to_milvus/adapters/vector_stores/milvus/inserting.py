"""The insert of Milvus Lite by columns.

The engine's own makes a Python number of every value and looks at each three times. Only requests like those of our
adapter (auto ids, every field, no nulls, the types of our schema) go this way; the adapter has checked the rows. All
others go the engine's own way.
"""

import importlib
import re
from functools import cache
from typing import Any

import numpy as np

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow

__all__ = ["servicer_class"]

_PARTITION = "_default"
_IDS = re.compile(r"id in \[(\d+(?:, ?\d+)*)\]")
_INT64, _VARCHAR, _JSON, _FLOAT_VECTOR = 5, 21, 23, 101  # of Milvus' protocol


@cache
def servicer_class() -> Any:
    """The service class of Milvus Lite with the faster insert."""
    return type("Servicer", (_Inserter, _module().MilvusServicer), {})


def _module() -> Any:
    return importlib.import_module("milvus_lite.adapter.grpc.servicer")


class _Inserter:
    """Put before the engine's own class."""

    _get_collection: Any
    _build_ids_proto: Any

    @staticmethod
    def _extract_pks_from_expr(expression: str, collection: Any) -> Any:
        """The ids of ``id in [1, 2]``, which the engine's own parser of filters takes apart token by token."""
        if collection._auto_id and (found := _IDS.fullmatch(expression)):
            return [int(each) for each in found[1].split(",")]
        return _module().MilvusServicer._extract_pks_from_expr(expression, collection)

    def Insert(self, request: Any, context: Any) -> Any:
        """As the engine's own."""
        messages: Any = importlib.import_module("pymilvus.grpc_gen.milvus_pb2")
        status: Any = importlib.import_module("pymilvus.grpc_gen.common_pb2").Status
        service = _module()
        try:
            collection = self._get_collection(request, context)
            columns = _columns(collection, request)
            if columns is None:
                engine: Any = super()
                return engine.Insert(request, context)
            ids = _store(collection, columns, request.num_rows)
        except Exception as exc:  # noqa: BLE001 - a service answers with a status
            return messages.MutationResult(status=status(**service.to_status_kwargs(exc)))
        return messages.MutationResult(
            status=status(**service.success_status_kwargs()),
            IDs=self._build_ids_proto(ids, collection),
            insert_cnt=len(ids),
        )


def _columns(collection: Any, request: Any) -> dict[str, Any] | None:
    """The request as the engine's log holds it, without ids and sequence numbers; None where it is not plain."""
    fields = {field.field_name: field for field in request.fields_data}
    names = {field.name for field in collection.schema.fields if not field.is_primary}
    is_plain = (
        collection._auto_id
        and collection._partition_key_field is None
        and not collection._ingestion_chain
        and request.partition_name in ("", _PARTITION)
        and fields.keys() == names
        and not any(field.valid_data for field in request.fields_data)
    )
    if not is_plain:
        return None
    kinds = collection._wal_data_schema
    columns = {name: _column(field, kinds.field(name).type) for name, field in fields.items()}
    if any(column is None or len(column) != request.num_rows for column in columns.values()):
        return None
    return columns


def _column(field: Any, kind: Any) -> Any:
    """One column of a request; None where it is of another kind."""
    pa = load_pyarrow()

    if field.type == _FLOAT_VECTOR:
        values = pa.array(_floats(field.vectors.float_vector))
        return (
            pa.FixedSizeListArray.from_arrays(values, kind.list_size) if field.vectors.dim == kind.list_size else None
        )
    if field.type == _INT64:
        return pa.array(np.array(field.scalars.long_data.data, dtype=np.int64))
    if field.type == _VARCHAR:
        return pa.array(list(field.scalars.string_data.data), pa.string())
    texts = list(field.scalars.json_data.data)
    if field.type == _JSON and all(text.startswith(b"{") for text in texts):
        return pa.array([text.decode() for text in texts], pa.string())
    return None


def _floats(message: Any) -> Any:
    """The values of a message with one packed field of floats, without a Python number for each.

    On the wire (protobuf.dev/programming-guides/encoding) it is a tag, the length in groups of seven bits, the values.
    """
    data = message.SerializeToString()
    start = 1
    while start < len(data) and data[start] & 0x80:
        start += 1
    return np.frombuffer(data, dtype="<f4", offset=min(start + 1, len(data)))


def _store(collection: Any, columns: dict[str, Any], count: int) -> list[int]:
    pa = load_pyarrow()

    first_id, first_seq = collection._next_auto_id, collection._next_seq
    collection._next_auto_id, collection._next_seq = first_id + count, first_seq + count
    ids = np.arange(first_id, first_id + count, dtype=np.int64)
    columns[collection._pk_name] = pa.array(ids)
    columns["_seq"] = pa.array(np.arange(first_seq, first_seq + count, dtype=np.uint64))
    columns["_partition"] = pa.array([_PARTITION] * count, pa.string())
    schema = collection._wal_data_schema
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    operation = importlib.import_module("milvus_lite.engine.operation").InsertOp(partition=_PARTITION, batch=batch)
    collection._apply(operation)
    if collection._should_flush():
        collection._trigger_flush()
    return [int(each) for each in ids]

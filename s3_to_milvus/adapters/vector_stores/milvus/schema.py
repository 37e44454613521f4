"""The collections: their fields, their index, and what must be true of one that exists already."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pymilvus
from s3_to_milvus.domain import limits
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import SchemaMismatch

__all__ = [
    "LABEL_PROPERTY",
    "VectorIndex",
    "describe_spec",
    "dim_of",
    "index_params",
    "is_ours",
    "label_of",
    "make_schema",
    "verify",
    "verify_original",
]

LABEL_PROPERTY = "s3_to_milvus"  # where Milvus Lite keeps what a server keeps in the description
# The first five fields are those of the original system: same names, types, limits and order.
_ORIGINAL = ("id", "vector", "file_name", "file_date", "text")
_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("file_name", "VARCHAR", limits.FILE_NAME_BYTES),
    ("file_date", "VARCHAR", limits.FILE_DATE_BYTES),
    ("text", "VARCHAR", limits.TEXT_BYTES),
    ("object_id", "VARCHAR", 64),
    ("run", "INT64", 0),
    ("chunk_no", "INT64", 0),
    ("bucket", "VARCHAR", limits.BUCKET_BYTES),
    ("file_key", "VARCHAR", limits.FILE_KEY_BYTES),
    ("page", "INT64", 0),
    ("meta", "JSON", 0),
)


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """The index of ``vector``, as Milvus names its kinds, metrics and parameters."""

    kind: str
    metric: str
    params: Mapping[str, Any]


def make_schema(spec: CollectionSpec) -> Any:
    """The schema of a new collection."""
    pymilvus = load_pymilvus()
    kinds = pymilvus.DataType
    schema = pymilvus.MilvusClient.create_schema(
        auto_id=True, enable_dynamic_field=False, description=describe_spec(spec)
    )
    schema.add_field("id", kinds.INT64, is_primary=True, auto_id=True)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=spec.dim)
    for name, kind, size in _FIELDS:
        schema.add_field(name, kinds[kind], **({"max_length": size} if size else {}))
    return schema


def index_params(field: str, index_type: str, metric: str = "", params: Mapping[str, Any] | None = None) -> Any:
    """The parameters of one index. A scalar index has no metric."""
    found = load_pymilvus().MilvusClient.prepare_index_params()
    options: dict[str, Any] = {"index_type": index_type, "index_name": field}
    if metric:
        options.update(metric_type=metric, params=dict(params or {}))
    found.add_index(field, **options)
    return found


def describe_spec(spec: CollectionSpec) -> str:
    """What a person and a later `ensure` read in the collection's description: one line of JSON."""
    return json.dumps({"label": spec.label, "embedder": spec.embedder, "by": "s3-to-milvus"}, ensure_ascii=False)


def label_of(described: Mapping[str, Any]) -> dict[str, str]:
    """What `describe_spec` wrote; empty for collections of others."""
    text = described.get("properties", {}).get(LABEL_PROPERTY) or described.get("description") or ""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def dim_of(described: Mapping[str, Any]) -> int:
    """The dimension of ``vector``; 0 where there is no such field."""
    for field in described.get("fields", ()):
        if field["name"] == "vector":
            return int(field.get("params", {}).get("dim", 0))
    return 0


def is_ours(described: Mapping[str, Any]) -> bool:
    """True for a collection with our columns."""
    return {name for name, _, _ in _FIELDS} <= {field["name"] for field in described.get("fields", ())}


def verify_original(name: str, described: Mapping[str, Any]) -> None:
    """Raise `SchemaMismatch` for a collection that is none of the original system's."""
    found = {field["name"] for field in described.get("fields", ())}
    if missing := [each for each in _ORIGINAL if each not in found]:
        raise SchemaMismatch(
            f"The collection {name} was made by another program: it has no {', '.join(missing)}.",
            hint="Only collections of the original system can be taken over.",
        )
    if more := sorted(found - set(_ORIGINAL)):
        raise SchemaMismatch(
            f"The collection {name} has fields that the original system does not make: {', '.join(more)}.",
            hint="Their values would be lost: index the objects anew, into another collection.",
        )


def verify(spec: CollectionSpec, described: Mapping[str, Any]) -> None:
    """Raise `SchemaMismatch`, naming all that differs, where a collection that exists cannot hold our rows."""
    fields = {field["name"]: field for field in described.get("fields", ())}
    missing = [name for name in (*_ORIGINAL, *(each[0] for each in _FIELDS)) if name not in fields]
    if not set(missing) & set(_ORIGINAL) and "object_id" in missing:
        raise SchemaMismatch(
            f"The collection {spec.name} was made by the original system: it has no {', '.join(missing)}.",
            hint=f"Take it over: s3-to-milvus adopt --collection {spec.name} (it is left as it is until then).",
        )
    wrong = [f"no field {name}" for name in missing]
    if (dim := dim_of(described)) not in (spec.dim, 0):
        wrong.append(f"vectors of {dim} dimensions instead of {spec.dim}")
    wrong += [each for name in fields if (each := _difference(name, fields[name]))]
    if fields.get("id") and not (fields["id"].get("auto_id") or described.get("auto_id")):
        wrong.append("an id that is not given by Milvus")
    if (embedder := label_of(described).get("embedder", spec.embedder)) != spec.embedder:
        wrong.append(f"vectors of the embedder {embedder} instead of {spec.embedder}")
    if wrong:
        raise SchemaMismatch(f"The collection {spec.name} cannot hold these rows. It has {'; '.join(wrong)}.")


def _difference(name: str, field: Mapping[str, Any]) -> str:
    expected = next((each for each in _FIELDS if each[0] == name), None)
    if expected is None:
        return ""
    _, kind, size = expected
    found = getattr(field["type"], "name", str(field["type"]))
    if found != kind:
        return f"{name} as {found} instead of {kind}"
    length = int(field.get("params", {}).get("max_length", size))
    return f"{name} of {length} bytes instead of {size}" if length < size else ""

"""Collections as the original system made and filled them: its schema, its calls, its index, its order.

Run as a program, it does what its service did, by the ORM of pymilvus: a line of JSON on stdin is one event,
``{"collection", "type": "upload" | "delete" | "upload without delete", "file_name", "file_date", "texts"}``.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

__all__ = ["insert", "make_collection", "rows_of"]

MODEL = "text-embedding-3-large"
DIM = 3_072
INDEX = {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 128}}


def make_collection(client: Any, name: str, dim: int, metric: str = "L2", nlist: int = 128) -> None:
    """The collection with the original's five columns and its index, loaded. Not there before."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True, auto_id=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("file_name", DataType.VARCHAR, max_length=255)
    schema.add_field("file_date", DataType.VARCHAR, max_length=255)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    client.create_collection(name, schema=schema)
    index = client.prepare_index_params()
    index.add_index("vector", index_name="vector", index_type="IVF_FLAT", metric_type=metric, params={"nlist": nlist})
    client.create_index(name, index)
    client.load_collection(name)


def insert(client: Any, name: str, vectors: Sequence[Any], rows: Sequence[tuple[str, str, str]]) -> list[int]:
    """Rows (file name, date, text) as one request; their ids."""
    entities = [
        {"vector": vector, "file_name": file_name, "file_date": date, "text": text}
        for vector, (file_name, date, text) in zip(vectors, rows, strict=True)
    ]
    return [int(each) for each in client.insert(name, entities)["ids"]]


def rows_of(client: Any, name: str) -> list[tuple[str, str]]:
    """File names and texts as another reader of the collection finds them by its name."""
    client.load_collection(name)
    found = client.query(name, filter="id >= 0", output_fields=["file_name", "text"], consistency_level="Strong")
    return sorted((row["file_name"], row["text"]) for row in found)


def _collection(orm: Any, name: str) -> Any:
    if orm.utility.has_collection(name):
        return orm.Collection(name)
    kinds = orm.DataType
    fields = [
        orm.FieldSchema("id", kinds.INT64, is_primary=True, auto_id=True),
        orm.FieldSchema("vector", kinds.FLOAT_VECTOR, dim=DIM),
        orm.FieldSchema("file_name", kinds.VARCHAR, max_length=255),
        orm.FieldSchema("file_date", kinds.VARCHAR, max_length=255),
        orm.FieldSchema("text", kinds.VARCHAR, max_length=65_535),
    ]
    return orm.Collection(name, orm.CollectionSchema(fields, "Document chunks"))


def _process(orm: Any, event: dict[str, Any]) -> None:
    from tests.support.openai_server import vector_of

    collection = _collection(orm, event["collection"])
    name = event["file_name"]
    if event["type"] != "upload without delete" and collection.has_index():
        collection.load()
        collection.delete(f'file_name == "{name}"')
    if event["type"] == "delete":
        return
    texts = event["texts"]
    vectors = [vector_of(MODEL, text, DIM).tolist() for text in texts]
    collection.insert([vectors, [name] * len(texts), [event["file_date"]] * len(texts), texts])
    collection.flush()
    if not collection.has_index():
        collection.create_index("vector", INDEX)
    collection.load()


def _main(uri: str) -> None:
    warnings.simplefilter("ignore")  # of the ORM, which is about to go
    import pymilvus as orm

    orm.connections.connect(uri=uri)
    for line in sys.stdin:
        _process(orm, json.loads(line))


if __name__ == "__main__":
    _main(sys.argv[1])

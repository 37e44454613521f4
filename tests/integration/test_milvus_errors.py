"""What a server (or the network before it) may answer, and what becomes of it. The server here is a stand-in."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_lite
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import (
    ConfigError,
    FatalError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    SchemaMismatch,
    TransientError,
    Unauthorized,
    Unavailable,
)
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row, make_vector, rows_of
from tests.support.patience import HANGS_S, SOON_S

grpc: Any = pytest.importorskip("grpc")
SPEC = CollectionSpec("papers", "논문", DIM, "embedder-1")
Fault = Callable[[Any], Any]


class Server:
    """The service of Milvus Lite on a port, with faults before or after what it does."""

    def __init__(self, folder: Path, credentials: Any = None) -> None:
        load_lite()
        from milvus_lite.adapter.grpc.servicer import MilvusServicer
        from milvus_lite.db import MilvusLite
        from pymilvus.grpc_gen import milvus_pb2_grpc

        self.db = MilvusLite(str(folder))
        self.inserts = 0
        self.calls: set[str] = set()
        self.before: dict[str, Fault] = {}
        self.after: dict[str, Fault] = {}
        self.answers: dict[str, Fault] = {}
        server = self

        class Faulty(MilvusServicer):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                found = super().__getattribute__(name)
                return server.wrap(name, found) if name[:1].isupper() else found

        self.grpc = grpc.server(ThreadPoolExecutor(4))
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(Faulty(self.db), self.grpc)
        if credentials is None:
            self.uri = f"http://127.0.0.1:{self.grpc.add_insecure_port('127.0.0.1:0')}"
        else:
            self.uri = f"https://127.0.0.1:{self.grpc.add_secure_port('127.0.0.1:0', credentials)}"
        self.grpc.start()

    def wrap(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: Any) -> Any:
            self.inserts += name == "Insert"
            self.calls.add(name)
            if (given := self.answers.get(name)) and (made := given(request)) is not None:
                return made
            if fault := self.before.get(name):
                answer = fault(context)
                if answer is not None:
                    return answer
            answer = work(request, context)
            if fault := self.after.get(name):
                fault(context)
            return answer

        return call

    def close(self) -> None:
        self.grpc.stop(grace=None).wait()
        self.db.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.close()


@pytest.fixture
def store(server: Server) -> Iterator[MilvusVectorStore]:
    store = MilvusVectorStore(MilvusVectorStore.Options(uri=server.uri, timeout_s=SOON_S))
    store.ensure(SPEC)
    yield store
    store.close()


def aborting(code: Any, details: str) -> Fault:
    return lambda context: context.abort(code, details)


def answering(code: int, reason: str) -> Fault:
    from pymilvus.grpc_gen import common_pb2, milvus_pb2

    return lambda _: milvus_pb2.MutationResult(status=common_pb2.Status(code=code, reason=reason))


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection reset", Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, "auth check failure", Unauthorized),
        (grpc.StatusCode.PERMISSION_DENIED, "no right", Unauthorized),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "received message larger than max (70 vs. 67)", Rejected),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", RateLimited),
        (grpc.StatusCode.UNIMPLEMENTED, "unknown method", FatalError),
        (grpc.StatusCode.INTERNAL, "stream broken", TransientError),
    ],
)
def test_failures_of_the_wire(
    server: Server, store: MilvusVectorStore, code: Any, details: str, expected: type[S3ToMilvusError]
) -> None:
    server.before["Insert"] = aborting(code, details)
    with pytest.raises(expected) as caught:
        store.insert(SPEC.name, [make_row("a")])
    assert type(caught.value) is expected
    assert server.inserts == 1


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (8, "request is rejected by grpc RateLimiter middleware", RateLimited),
        (9, "quota exceeded: disk", QuotaExhausted),
        (1100, "length of varchar field text exceeds max length, row: 0, length: 300, max length: 255", Rejected),
        (65535, "the length (9) of float data should divide the dim (8)", TransientError),
        (65535, "value 'NaN' is not a number or infinity", Rejected),
        (1400, "not authenticated", Unauthorized),
        (800, "database not found[database=documents]", FatalError),
        (65535, "auth check failure, please check username and password", Unauthorized),
        (1, "something else", TransientError),
    ],
)
def test_failures_of_milvus(
    server: Server, store: MilvusVectorStore, code: int, reason: str, expected: type[S3ToMilvusError]
) -> None:
    server.before["Insert"] = answering(code, reason)
    with pytest.raises(expected) as caught:
        store.insert(SPEC.name, [make_row("a")])
    assert type(caught.value) is expected
    assert reason in caught.value.message
    assert server.inserts == 1


@pytest.mark.parametrize(("code", "reason"), [(102, "exceeded the limit number"), (250, "general capacity exceeded")])
def test_a_server_that_is_full_of_collections_refuses_the_new_one_only(
    server: Server, store: MilvusVectorStore, code: int, reason: str
) -> None:
    from pymilvus.grpc_gen import common_pb2

    server.before["CreateCollection"] = lambda _: common_pb2.Status(code=code, reason=reason)
    with pytest.raises(SchemaMismatch, match=reason) as caught:
        store.ensure(CollectionSpec("more", "more", DIM, "embedder-1"))
    assert "routes" in caught.value.hint
    assert len(store.insert(SPEC.name, [make_row("a")])) == 1


@pytest.mark.parametrize("kind", ["IVF_FLAT", "HNSW"])
def test_a_server_that_has_its_own_index_only_gets_that(server: Server, kind: str) -> None:
    """As Zilliz Cloud; a type that the settings ask for is not replaced in silence."""
    from pymilvus.grpc_gen import common_pb2

    asked: list[str] = []

    def answer(request: Any) -> Any:
        params = {each.key: each.value for each in request.extra_params}
        asked.append(params["index_type"])
        is_refused = asked[-1] != "AUTOINDEX"
        return common_pb2.Status(code=1100, reason=f"invalid index type: {asked[-1]}") if is_refused else None

    server.answers["CreateIndex"] = answer
    spec = CollectionSpec("auto", "auto", DIM, "embedder-1")
    made = MilvusVectorStore(MilvusVectorStore.Options(uri=server.uri, timeout_s=SOON_S, index_type=kind))
    with closing(made):
        if kind == "HNSW":
            with pytest.raises(FatalError, match="invalid index type: HNSW"):
                made.ensure(spec)
            return
        made.ensure(spec)
        made.insert(spec.name, [make_row("a")])
        assert [hit.row.text for hit in made.search(spec.name, make_vector(1.0), 3)] == ["a 1 0"]
    assert asked[:2] == ["IVF_FLAT", "AUTOINDEX"]


def test_the_name_of_a_collection_says_nothing_about_an_error(server: Server, store: MilvusVectorStore) -> None:
    """Such as "finance", in which somebody could find "nan"."""
    for name in ("finance", "nan", "database_not_found"):
        spec = CollectionSpec(name, name, DIM, "embedder-1")
        store.ensure(spec)
        server.before["Insert"] = answering(1, "node offline: finance")
        with pytest.raises(TransientError) as caught:
            store.insert(name, [make_row("a")])
        assert type(caught.value) is TransientError
        server.before.clear()


def test_a_server_is_never_asked_to_flush(server: Server, store: MilvusVectorStore) -> None:
    ids = store.insert(SPEC.name, [make_row("a"), make_row("b")])
    store.delete(SPEC.name, [rows_of("a", 1, ids[:1])])
    store.search(SPEC.name, make_vector(1.0), 3)
    store.tend(is_idle=True)
    store.close()
    assert {"Insert", "Delete", "Search"} <= server.calls
    assert not [name for name in server.calls if "Flush" in name or "Compact" in name]


def test_an_insert_whose_answer_was_lost_is_not_repeated(server: Server, store: MilvusVectorStore) -> None:
    server.after["Insert"] = aborting(grpc.StatusCode.UNAVAILABLE, "connection reset by peer")
    with pytest.raises(Unavailable):
        store.insert(SPEC.name, [make_row("a"), make_row("b")])
    server.after.clear()
    assert store.count(SPEC.name) == 2
    assert server.inserts == 1


@pytest.mark.usefixtures("store")
def test_a_server_that_never_answers_is_given_up(server: Server) -> None:
    given_up = threading.Event()
    server.before["Insert"] = lambda _: given_up.wait(HANGS_S)
    started = time.monotonic()
    with closing(MilvusVectorStore(MilvusVectorStore.Options(uri=server.uri, timeout_s=1.0))) as hasty:
        with pytest.raises(Unavailable):
            hasty.insert(SPEC.name, [make_row("a")])
        assert time.monotonic() - started < SOON_S
        given_up.set()


def test_a_collection_that_was_released_is_loaded_again(server: Server, store: MilvusVectorStore) -> None:
    ids = store.insert(SPEC.name, [make_row("a")])
    server.db.get_collection(SPEC.name).release()
    assert len(store.search(SPEC.name, make_vector(1.0), 3)) == 1
    server.db.get_collection(SPEC.name).release()
    assert len(store.fetch(SPEC.name, rows_of("a", 1, ids))) == 1
    server.db.get_collection(SPEC.name).release()
    assert [each.id for each in store.identities(SPEC.name)] == ids


def test_a_collection_that_somebody_dropped_is_made_again(server: Server, store: MilvusVectorStore) -> None:
    ids = store.insert(SPEC.name, [make_row("a")])
    server.db.drop_collection(SPEC.name)
    assert store.search(SPEC.name, make_vector(1.0), 3) == []
    assert store.fetch(SPEC.name, rows_of("a", 1, ids)) == []
    store.delete(SPEC.name, [rows_of("a", 1, ids)])
    assert len(store.insert(SPEC.name, [make_row("b")])) == 1
    assert store.count(SPEC.name) == 1


def test_nobody_at_the_address(tmp_path: Path) -> None:
    store = MilvusVectorStore(MilvusVectorStore.Options(uri=f"unix:{tmp_path}/nobody", timeout_s=0.3))
    with pytest.raises(Unavailable):
        store.check()
    store = MilvusVectorStore(MilvusVectorStore.Options(uri="http://127.0.0.1:9", timeout_s=0.3))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        store.check()
    store.close()


def test_a_wrong_password_is_no_outage(server: Server) -> None:
    server.before["Connect"] = aborting(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key")
    store = MilvusVectorStore(MilvusVectorStore.Options.model_validate({"uri": server.uri, "token": "root:wrong"}))
    with pytest.raises(Unauthorized, match="auth check failure"):
        store.check()


def test_secrets_are_not_shown() -> None:
    options = MilvusVectorStore.Options.model_validate({"uri": "http://h:1", "token": "root:geheim"})
    assert "geheim" not in repr(options)
    with pytest.raises(ConfigError, match="uri"):
        MilvusVectorStore(MilvusVectorStore.Options())

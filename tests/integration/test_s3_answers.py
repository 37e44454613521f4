"""What the S3 store makes of every answer to a GET: the documented ones, broken ones, and none at all."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.object_stores.s3 import S3Store
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion
from s3_to_milvus.errors import (
    Archived,
    ConfigError,
    Forbidden,
    NoSuchBucket,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
)
from s3_to_milvus.ports import UNCHANGED
from s3_to_milvus.testing.contracts.object_store import opened
from tests.support.patience import HANGS_S
from tests.support.ports import free_port
from tests.support.s3_server import NO_HEADERS, Answer, Server, error, make, page, serving

REF = ObjectRef("bucket", "한글/a+b.txt")
KNOWN = ObjectVersion("abc", 5)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.requests.clear()
    one_server.always(500)
    return one_server


@pytest.fixture(scope="module")
def store(one_server: Server) -> S3Store:
    return make(one_server.url)


def test_not_modified_is_unchanged_only_if_asked_for(server: Server, store: S3Store) -> None:
    server.always(304, ETag='"abc"')
    assert store.get(REF, KNOWN) is UNCHANGED
    path, query, headers = server.requests[-1]
    assert (path, query) == ("/bucket/%ED%95%9C%EA%B8%80/a%2Bb.txt", "")
    assert headers["If-None-Match"] == '"abc"'
    with pytest.raises(Unavailable):
        store.get(REF)
    assert "If-None-Match" not in server.requests[-1][2]
    assert len(server.requests) == 2


def test_a_server_that_ignores_conditions_is_understood(server: Server, store: S3Store) -> None:
    server.always(200, b"12345", ETag='"abc"')
    assert store.get(REF, KNOWN) is UNCHANGED
    content = opened(store.get(REF, ObjectVersion("abc", 6)))
    assert content.version == KNOWN
    content.close()


def test_weak_etags_come_back_as_they_were(server: Server, store: S3Store) -> None:
    server.always(200, b"12345", ETag='W/"abc"')
    content = opened(store.get(REF))
    content.close()
    store.get(REF, content.version)
    assert server.requests[-1][2]["If-None-Match"] == 'W/"abc"'


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", Forbidden),
        (403, "InvalidAccessKeyId", Unauthorized),
        (403, "SignatureDoesNotMatch", Unauthorized),
        (403, "RequestTimeTooSkewed", Unauthorized),
        (400, "ExpiredToken", Unauthorized),
        (401, "Whatever", Unauthorized),
        (403, "InvalidObjectState", Archived),
        (404, "NoSuchBucket", NoSuchBucket),
        (404, "NoSuchUpload", Unavailable),
        (429, "TooManyRequests", RateLimited),
        (503, "SlowDown", RateLimited),
        (503, "ServiceUnavailable", Unavailable),
        (500, "InternalError", Unavailable),
        (400, "RequestTimeout", Unavailable),
        (400, "KeyTooLongError", Rejected),
        (400, "InvalidRequest", Rejected),
        (409, "OperationAborted", Unavailable),
    ],
)
def test_refusals(server: Server, store: S3Store, status: int, code: str, expected: type[S3ToMilvusError]) -> None:
    server.always(status, error(code, "Look here."), Content_Type="application/xml")
    for call in (lambda: store.get(REF), lambda: store.get(REF, KNOWN), lambda: list(store.list("bucket"))):
        with pytest.raises(S3ToMilvusError) as caught:
            call()
        assert type(caught.value) is expected
        assert code in caught.value.message or "no such bucket" in caught.value.message
        assert "secret-42" not in caught.value.message


def test_a_call_is_tried_once_and_a_page_four_times(server: Server, store: S3Store) -> None:
    server.always(503, error("SlowDown"), Retry_After="7")
    with pytest.raises(RateLimited) as caught:
        store.get(REF)
    assert caught.value.retry_after_s == 7.0
    assert len(server.requests) == 1
    with pytest.raises(RateLimited):
        list(store.list("bucket"))
    assert len(server.requests) == 5
    for status, code in ((403, "AccessDenied"), (404, "NoSuchBucket")):
        server.requests.clear()
        server.always(status, error(code))
        with pytest.raises((Forbidden, NoSuchBucket)):
            list(store.list("bucket"))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (404, b"<html><body>Not Found</body></html>"),
        (404, b"no xml at all"),
        (404, error("404").encode()),
        (404, error("NoSuchWebsiteConfiguration").encode()),
        (502, b"<html>Bad Gateway</html>"),
        (500, b"<Error><Code>Inter"),
        (301, error("PermanentRedirect").encode()),
        (206, b"part"),
        (204, b""),
    ],
)
def test_only_no_such_key_is_absence(server: Server, store: S3Store, status: int, body: bytes) -> None:
    server.always(status, body)
    with pytest.raises(S3ToMilvusError):
        store.get(REF)
    server.always(404, error("NoSuchKey"))
    assert store.get(REF) is None
    assert store.get(REF, KNOWN) is None


def test_a_body_that_is_cut_is_an_error(server: Server, store: S3Store) -> None:
    server.always(200, b"x" * 70_000, ETag='"abc"', Content_Length="100000")
    for size in (-1, 10_000, 1_000_000):
        content = opened(store.get(REF))
        assert content.version.size_bytes == 100_000
        with pytest.raises(Unavailable):
            list(iter(partial(content.read, size), b""))
        content.close()


def test_a_body_that_stops_coming_is_an_error(server: Server, store: S3Store) -> None:
    release = threading.Event()

    def slow(_: dict[str, str]) -> Answer:
        if len(server.requests) > 1:
            release.wait(HANGS_S)
        return 200, {"ETag": '"abc"', "Content_Length": "10"}, b"12345"

    server.answer = slow
    content = opened(store.get(REF))
    with pytest.raises(Unavailable):
        content.read()
    content.close()
    with pytest.raises(Unavailable):
        store.get(REF)
    release.set()


def test_answers_without_a_version_are_refused(server: Server, store: S3Store) -> None:
    server.always(200, b"12345")
    with pytest.raises(Unavailable):
        store.get(REF)
    server.always(200, b"5\r\n12345\r\n0\r\n\r\n", ETag='"abc"', Transfer_Encoding="chunked")
    with pytest.raises(Unavailable):
        store.get(REF)


def test_no_server_at_all() -> None:
    store = make(f"http://127.0.0.1:{free_port()}")
    for call in (lambda: store.get(REF), lambda: list(store.list("bucket")), lambda: store.check("bucket")):
        with pytest.raises(Unavailable):
            call()


def test_a_server_that_speaks_no_tls(server: Server) -> None:
    store = make(server.url.replace("http://", "https://"))
    with pytest.raises(Unavailable, match="trusted connection"):
        store.get(REF)


@pytest.mark.parametrize(("bucket", "key"), [("no bucket!", "a"), ("bucket", "a\udcff"), ("../x", "a")])
def test_names_that_s3_cannot_have(server: Server, store: S3Store, bucket: str, key: str) -> None:
    with pytest.raises(Rejected):
        store.get(ObjectRef(bucket, key))
    assert server.requests == []


def test_missing_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = make(server.url, access_key_id=None, secret_access_key=None)
    with pytest.raises(Unauthorized):
        store.get(REF)
    with pytest.raises(Unauthorized):
        list(store.list("bucket"))


def test_what_is_not_set_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-2")
    store = S3Store(S3Store.Options())
    server.always(404, error("NoSuchKey"))
    assert store.get(REF) is None
    server.always(200, page([]))
    assert list(store.list("bucket")) == []
    for request in server.requests:
        assert "Credential=from-environment/" in request[2]["Authorization"]
        assert "/ap-northeast-2/s3/" in request[2]["Authorization"]


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ConfigError):
        make("no url")
    with pytest.raises(ValidationError, match="together"):
        make("http://127.0.0.1", secret_access_key=None)
    with pytest.raises(ValidationError):
        S3Store.Options.model_validate({"adressing_style": "path"})
    with pytest.raises(ValidationError) as caught:
        S3Store.Options.model_validate({"secret_access_key": "secret-42"})
    assert "secret-42" not in str(caught.value)
    options = S3Store.Options.model_validate({"access_key_id": "key", "secret_access_key": "secret-42"})
    assert "secret-42" not in repr(options)


def test_addressing_styles(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always(404, error("NoSuchKey"))
    monkeypatch.setenv("HTTP_PROXY", server.url)  # so that no name has to be resolved
    monkeypatch.setenv("NO_PROXY", "")
    for style, host, path in (
        ("path", "s3.example.test", "/bucket/k"),
        ("auto", "s3.example.test", "/bucket/k"),
        ("virtual", "bucket.s3.example.test", "/k"),
    ):
        assert make("http://s3.example.test", addressing_style=style).get(ObjectRef("bucket", "k")) is None
        assert server.requests[-1][2]["Host"] == host
        assert server.requests[-1][0] == path


def test_check_says_what_is_missing(server: Server, store: S3Store) -> None:
    def with_list(query: dict[str, str]) -> Answer:
        if "list-type" in query:
            return 200, NO_HEADERS, page(["a"]).encode()
        return 403, NO_HEADERS, error("AccessDenied").encode()

    server.answer = with_list
    with pytest.raises(Unauthorized, match="s3:ListBucket"):
        store.check("bucket")
    server.always(403, error("AccessDenied"))
    with pytest.raises(Unauthorized, match="s3:ListBucket is missing"):
        store.check("bucket")
    server.always(403, error("InvalidAccessKeyId"))
    with pytest.raises(Unauthorized) as caught:
        store.check("bucket")
    assert "ListBucket" not in caught.value.message
    server.always(404, error("NoSuchBucket"))
    with pytest.raises(Unavailable, match="no such bucket"):
        store.check("bucket")


def test_check_is_not_fooled_by_a_server_that_says_yes_to_all(server: Server, store: S3Store) -> None:
    def yes(query: dict[str, str]) -> Answer:
        return (200, NO_HEADERS, page(["a"]).encode()) if "list-type" in query else (200, {"ETag": '"x"'}, b"hello")

    server.answer = yes
    with pytest.raises(Unavailable, match="not there"):
        store.check("bucket")

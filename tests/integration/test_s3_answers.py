"""What the S3 store makes of every answer a server can give: the documented ones, broken ones, and none at all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.object_stores.s3 import S3Store
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion
from s3_to_milvus.errors import (
    Archived,
    ConfigError,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
)
from s3_to_milvus.ports import UNCHANGED
from s3_to_milvus.testing.contracts.object_store import opened

REF = ObjectRef("bucket", "한글/a+b.txt")
KNOWN = ObjectVersion("abc", 5)
NO_TYPES: dict[str, str] = {}

Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers as ``answer`` says; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[dict[str, str]], Answer] = lambda _: (500, {}, b"")
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def always(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.answer = lambda _: (status, headers, data)

    def in_turn(self, *answers: Answer) -> None:
        left = iter(answers)
        self.answer = lambda _: next(left)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.server.requests.append((parts.path, parts.query, dict(self.headers.items())))
        status, headers, body = self.server.answer(query)
        self.send_response(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if status != 304 and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int(headers.get("Content-Length", "0")) > len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.requests.clear()
    one_server.always(500)
    return one_server


def make(url: str, **options: Any) -> S3Store:
    defaults = {"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret-42"}
    settings = {"endpoint_url": url, **defaults, "connect_timeout_s": 2.0, "read_timeout_s": 0.5, **options}
    return S3Store(S3Store.Options.model_validate(settings), sleep=lambda _: None)


@pytest.fixture(scope="module")
def store(one_server: Server) -> S3Store:
    return make(one_server.url)


def error(code: str, message: str = "A message.") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


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
        (403, "AccessDenied", Unauthorized),
        (403, "InvalidAccessKeyId", Unauthorized),
        (403, "SignatureDoesNotMatch", Unauthorized),
        (403, "RequestTimeTooSkewed", Unauthorized),
        (400, "ExpiredToken", Unauthorized),
        (401, "Whatever", Unauthorized),
        (403, "InvalidObjectState", Archived),
        (404, "NoSuchBucket", Unavailable),
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
    server.requests.clear()
    server.always(403, error("AccessDenied"))
    with pytest.raises(Unauthorized):
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
            release.wait(5)
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
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    store = make(f"http://127.0.0.1:{port}")
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


# Listings


def page(keys: list[str], token: str | None = None, *, encoding: str = "url", space: str = "") -> str:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-23T01:04:45.000Z</LastModified>"
        f"<ETag>&quot;e{len(key)}&quot;</ETag><Size>3</Size></Contents>"
        for key in keys
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult{space}><Name>bucket</Name>'
        f"{f'<EncodingType>{encoding}</EncodingType>' if encoding else ''}"
        f"{more if token else '<IsTruncated>false</IsTruncated>'}{entries}</ListBucketResult>"
    )


def listed(store: S3Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list("bucket", prefix)]


def test_a_listing_goes_over_pages(server: Server, store: S3Store) -> None:
    pages = {
        "": page(["a"], "1&amp;+/="),
        "1&+/=": page([], "2"),
        "2": page(["b"], "3"),
        "3": page(["c"], space=' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'),
    }
    server.answer = lambda query: (200, NO_TYPES, pages[query.get("continuation-token", "")].encode())
    assert listed(store) == ["a", "b", "c"]
    assert len(server.requests) == 4
    assert all("encoding-type=url" in query for _, query, _ in server.requests)
    (entry,) = [entry for entry in store.list("bucket") if entry.key == "a"]
    assert (entry.etag, entry.size_bytes, entry.modified_at) == ("e1", 3, 1795395885.0)


def test_keys_are_decoded_only_if_the_server_says_so(server: Server, store: S3Store) -> None:
    server.always(200, page(["%ED%95%9C+%2B%25%01%0A.txt"]))
    assert listed(store) == ["한 +%\x01\n.txt"]
    server.always(200, page(["%ED+%2B.txt"], encoding=""))
    assert listed(store) == ["%ED+%2B.txt"]


def test_a_failed_page_is_asked_for_again(server: Server, store: S3Store) -> None:
    good, bad = page(["b"]).encode(), (500, NO_TYPES, error("InternalError").encode())
    cut = (200, {"Content_Length": str(len(good))}, good[:-20])
    server.in_turn((200, NO_TYPES, page(["a"], "1").encode()), bad, cut, bad, (200, NO_TYPES, good))
    assert listed(store) == ["a", "b"]
    assert ["continuation-token=1" in query for _, query, _ in server.requests] == [False, True, True, True, True]


def test_folder_markers_are_left_out(server: Server, store: S3Store) -> None:
    body = page(["a/", "b/"]).replace("<Size>3</Size>", "<Size>0</Size>", 1)
    server.always(200, body)
    assert listed(store) == ["b/"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no xml",
        page(["a"])[:-30],
        "<html><body>Please log in</body></html>",
        error("InternalError"),
        "<ListBucketResult/>",
        page(["a"]).replace("<IsTruncated>false</IsTruncated>", ""),
        page(["a"]).replace("false</IsT", "</IsT"),
        page(["a"]).replace("false</IsT", "maybe</IsT"),
        page(["a"]).replace("false</IsT", "true</IsT"),
        page(["a"], "1").replace("<NextContinuationToken>1</NextContinuationToken>", ""),
        page(["a"], "same for ever"),
        page([], "same for ever"),
        page(["b", "a"]),
        page(["a", "a"]),
        page(["a"]).replace("<Key>a</Key>", ""),
        page(["a"]).replace("<Key>a</Key>", "<Key></Key>"),
        page(["a"]).replace("<Size>3</Size>", ""),
        page(["a"]).replace("<Size>3</Size>", "<Size>x</Size>"),
        page(["a", "b"]).replace("<ETag>&quot;e1&quot;</ETag>", "", 1),
        '<!DOCTYPE x [<!ENTITY e "eeee">]>' + page(["a"]).partition("?>")[2].replace("<Key>a", "<Key>&e;"),
    ],
    ids=range(21),
)
def test_a_listing_that_may_not_be_whole_is_an_error(server: Server, store: S3Store, body: str) -> None:
    server.always(200, body)
    with pytest.raises(Unavailable):
        listed(store)


def test_keys_outside_of_the_prefix_are_an_error(server: Server, store: S3Store) -> None:
    server.always(200, page(["a", "b"]))
    with pytest.raises(Unavailable):
        listed(store, "b")


def test_the_order_is_that_of_bytes(server: Server, store: S3Store) -> None:
    server.always(200, page(["%EF%BF%AE", "%F0%9F%98%80"]))
    assert listed(store) == ["\uffee", "\U0001f600"]
    server.always(200, page(["%F0%9F%98%80", "%EF%BF%AE"]))
    with pytest.raises(Unavailable, match="out of order"):
        listed(store)


def test_an_entity_bomb_stays_small(server: Server, store: S3Store) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{below};" * 10}">' for below, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    server.always(200, bomb + "]>" + page(["a"]).partition("?>")[2].replace("<Key>a", "<Key>&i;"))
    started = time.process_time()
    with pytest.raises(Unavailable):
        listed(store)
    assert time.process_time() - started < 1.0


# Check


def test_check_says_what_is_missing(server: Server, store: S3Store) -> None:
    def with_list(query: dict[str, str]) -> Answer:
        if "list-type" in query:
            return 200, NO_TYPES, page(["a"]).encode()
        return 403, NO_TYPES, error("AccessDenied").encode()

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
        return (200, NO_TYPES, page(["a"]).encode()) if "list-type" in query else (200, {"ETag": '"x"'}, b"hello")

    server.answer = yes
    with pytest.raises(Unavailable, match="not there"):
        store.check("bucket")


def test_a_wrong_region_is_named(server: Server, store: S3Store) -> None:
    server.always(
        400, error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-central-1'")
    )
    with pytest.raises(Unauthorized, match="eu-central-1") as caught:
        listed(store)
    assert "region" in caught.value.hint

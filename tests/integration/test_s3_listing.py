"""What the S3 lister makes of pages: only a listing that is surely whole and in order ends without an error."""

import time
from collections.abc import Iterator

import pytest

from s3_to_milvus.adapters.object_stores.s3 import S3Store
from s3_to_milvus.errors import (
    Unauthorized,
    Unavailable,
)
from tests.support.s3_server import NO_HEADERS, Server, error, make, page, serving


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


def listed(store: S3Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list("bucket", prefix)]


def test_a_listing_goes_over_pages(server: Server, store: S3Store) -> None:
    pages = {
        "": page(["a"], "1&amp;+/="),
        "1&+/=": page([], "2"),
        "2": page(["b"], "3"),
        "3": page(["c"], space=' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'),
    }
    server.answer = lambda query: (200, NO_HEADERS, pages[query.get("continuation-token", "")].encode())
    assert listed(store) == ["a", "b", "c"]
    assert len(server.requests) == 4
    assert all("encoding-type=url" in query for _, query, _ in server.requests)
    (entry,) = [entry for entry in store.list("bucket") if entry.key == "a"]
    assert (entry.etag, entry.size_bytes, entry.modified_at) == ("e1", 3, 1795395885.0)


def test_keys_are_decoded_only_if_the_server_says_so(server: Server, store: S3Store) -> None:
    server.always(200, page(["+a", "%ED%95%9C+%2B%25%01%0A.txt"]))
    assert listed(store) == [" a", "한 +%\x01\n.txt"]
    server.always(200, page(["%ED+%2B.txt"], encoding=""))
    assert listed(store) == ["%ED+%2B.txt"]


def test_a_failed_page_is_asked_for_again(server: Server, store: S3Store) -> None:
    good, bad = page(["b"]).encode(), (500, NO_HEADERS, error("InternalError").encode())
    cut = (200, {"Content_Length": str(len(good))}, good[:-20])
    server.in_turn((200, NO_HEADERS, page(["a"], "1").encode()), bad, cut, bad, (200, NO_HEADERS, good))
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


@pytest.mark.parametrize("truncated", ["", "<IsTruncated>maybe</IsTruncated>"])
def test_a_token_alone_does_not_say_that_it_goes_on(server: Server, store: S3Store, truncated: str) -> None:
    first = page(["a"], "1").replace("<IsTruncated>true</IsTruncated>", truncated)
    pages = {"": first, "1": page(["b"])}
    server.answer = lambda query: (200, NO_HEADERS, pages[query.get("continuation-token", "")].encode())
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
    assert time.process_time() - started < 20


def test_a_wrong_region_is_named(server: Server, store: S3Store) -> None:
    server.always(
        400, error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-central-1'")
    )
    with pytest.raises(Unauthorized, match="eu-central-1") as caught:
        listed(store)
    assert "region" in caught.value.hint

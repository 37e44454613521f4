"""Certificates of SNS: fetched once, within bounds of size and time, and believed while they are valid."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from s3_to_milvus.adapters.events.sns import Certificates, certificates, fetched
from s3_to_milvus.errors import Rejected, Unavailable
from tests.support.http_server import QuietHandler, QuietServer, running
from tests.support.patience import SOON_S
from tests.support.sns import CERTIFICATE, Signer, certificate

SIGNER = Signer()


class _Pages(QuietServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.parts, self.pause_s = 200, [SIGNER.pem], 0.0
        self.headers: dict[str, str] = {}
        self.gone = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x.pem"


class _Handler(QuietHandler):
    server: _Pages

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for part in self.server.parts:
                self.wfile.write(part)
                self.wfile.flush()
                self.server.gone.wait(self.server.pause_s)
        except OSError:
            pass
        self.close_connection = True


@pytest.fixture
def pages() -> Iterator[_Pages]:
    with running(_Pages()) as server:
        yield server
        server.gone.set()


def test_a_certificate_is_fetched_as_it_lies_there(pages: _Pages) -> None:
    assert fetched(pages.url) == SIGNER.pem


def test_a_redirect_is_not_followed(pages: _Pages) -> None:
    pages.status, pages.headers = 302, {"Location": pages.url}
    with pytest.raises(Unavailable, match="302"):
        fetched(pages.url)


@pytest.mark.parametrize(
    ("status", "error"), [(404, Rejected), (403, Rejected), (429, Unavailable), (503, Unavailable)]
)
def test_what_is_not_there_is_refused_and_what_is_away_comes_later(
    pages: _Pages, status: int, error: type[Exception]
) -> None:
    pages.status = status
    with pytest.raises(error, match=str(status)):
        fetched(pages.url)


def test_a_large_one_is_not_read_to_its_end(pages: _Pages) -> None:
    pages.parts = [b"x" * 65_536] * 10_000
    with pytest.raises(Unavailable, match="too large"):
        fetched(pages.url)


def test_a_slow_one_is_not_waited_for(pages: _Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_TIMEOUT_S", 0.3)
    pages.parts, pages.pause_s = [b"x"] * 10_000, 0.05
    began = time.monotonic()
    with pytest.raises(Unavailable, match="too slowly"):
        fetched(pages.url)
    assert time.monotonic() - began < SOON_S


def test_nobody_there() -> None:
    with running(_Pages()) as server:
        url = server.url
    with pytest.raises(Unavailable, match="ConnectError"):
        fetched(url)


def test_one_is_fetched_once_however_many_ask() -> None:
    asked: list[str] = []

    def fetch(address: str) -> bytes:
        asked.append(address)
        time.sleep(0.05)
        return SIGNER.pem

    known = Certificates(fetch)
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: known.key(CERTIFICATE), range(64)))
    assert {key.public_numbers() for key in keys} == {SIGNER.key.public_key().public_numbers()}
    assert asked == [CERTIFICATE]


def test_a_failure_is_not_kept() -> None:
    answers = [b"no certificate", SIGNER.pem]
    known = Certificates(lambda address: answers.pop(0))
    with pytest.raises(Rejected, match="is none"):
        known.key(CERTIFICATE)
    assert known.key(CERTIFICATE)


@pytest.mark.parametrize(("begins", "ends"), [(-2, -1), (1, 2)])
def test_one_that_is_not_valid_now_is_refused(begins: int, ends: int) -> None:
    pem = certificate(SIGNER.key, timedelta(hours=begins), timedelta(hours=ends))
    with pytest.raises(Rejected, match="not valid now"):
        Certificates(lambda address: pem).key(CERTIFICATE)


def test_one_that_ran_out_is_fetched_anew() -> None:
    now = time.time()
    times, asked = [now], [0]

    def fetch(address: str) -> bytes:
        asked[0] += 1
        return certificate(SIGNER.key, ends_in=timedelta(hours=1 if asked[0] == 1 else 9))

    known = Certificates(fetch, now=lambda: times[0])
    assert known.key(CERTIFICATE)
    times[0] = now + 2 * 3_600
    assert known.key(CERTIFICATE)
    assert known.key(CERTIFICATE)
    assert asked == [2]


def test_one_without_a_key_of_rsa_is_refused() -> None:
    pem = certificate(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Rejected, match="RSA"):
        Certificates(lambda address: pem).key(CERTIFICATE)


def test_addresses_without_end_are_not_fetched_and_not_kept() -> None:
    asked: list[str] = []

    def fetch(address: str) -> bytes:
        asked.append(address)
        return SIGNER.pem

    known = Certificates(fetch)
    known.key(CERTIFICATE)
    for number in range(19):
        known.key(f"https://sns/{number}.pem")
    with pytest.raises(Unavailable, match="Too many"):
        known.key("https://sns/one-more.pem")
    assert len(asked) == 20
    assert known.key("https://sns/18.pem")  # what is kept costs nothing
    with pytest.raises(Unavailable):
        known.key(CERTIFICATE)  # the oldest made room

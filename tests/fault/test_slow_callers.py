"""Many connections, slow requests, large uploads: each has its limit, and the others are answered meanwhile."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from s3_to_milvus.settings import Settings
from s3_to_milvus.web import bodies, connections
from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication, until
from tests.support.real_server import RealServer, answer_of, real_server

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: "
FORM = "Content-Type: multipart/form-data; boundary=B"
PART = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
END = b"\r\n--B--\r\n"
SOON_S = 0.3


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TICK_S", 0.02)


@pytest.fixture
def application(tmp_path: Path) -> FakeApplication:
    application = FakeApplication(tmp_path)
    parsing = {"max_upload_mb": 2, "max_uploads_mb": 8}
    application.settings = Settings.model_validate({"data_dir": tmp_path, "max_connections": 12, "parsing": parsing})
    return application


@pytest.fixture
def server(application: FakeApplication) -> Iterator[RealServer]:
    with capture_logs(), real_server(create_app(application.as_real)) as found:
        yield found


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Connections that end with the test."""
    with ExitStack() as stack:
        yield stack


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(65_536) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _upload(server: RealServer, declared: int) -> socket.socket:
    """An upload that has begun."""
    connection = server.connect()
    head = f"POST /upload_parse_document HTTP/1.1\r\nHost: 127.0.0.1\r\n{FORM}\r\nContent-Length: {declared}\r\n\r\n"
    connection.sendall(head.encode() + PART)
    return connection


def _honest(server: RealServer, size: int) -> int:
    return server.post("/upload_parse_document", PART + b"y" * size + END, FORM)[0]


def test_half_a_head_is_not_waited_for(server: RealServer, held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", SOON_S)
    silent, half, second = (held.enter_context(server.connect()) for _ in range(3))
    half.sendall(HALF)
    second.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    second.recv(65_536)
    second.sendall(HALF)  # on a connection that asked well before
    for each in (silent, half, second):
        until(lambda each=each: _is_closed(each))  # type: ignore[misc]


def test_bytes_that_trickle_do_not_prolong_it(
    server: RealServer, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", SOON_S)
    half = held.enter_context(server.connect())
    half.sendall(HALF)

    def is_over() -> bool:
        try:
            half.sendall(b"x")
        except OSError:
            return True
        return _is_closed(half)

    until(is_over)


def test_half_requests_make_room_for_whole_ones(server: RealServer, held: ExitStack) -> None:
    many = [held.enter_context(server.connect()) for _ in range(40)]
    for each in many:
        try:
            each.sendall(HALF)
        except OSError:
            continue
    for path in ("/healthz", "/readyz", "/api/v1/status", "/"):
        assert server.get(path)[0] == 200
    assert sum(not _is_closed(each) for each in many) <= 12


def test_bodies_that_are_awaited_make_room_where_nothing_else_does(server: RealServer, held: ExitStack) -> None:
    many = [held.enter_context(server.connect()) for _ in range(20)]
    for each in many:
        try:
            each.sendall(b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        except OSError:
            continue
    assert server.get("/readyz")[0] == 200
    assert server.post("/api/v1/search", b'{"query":"x"}', "Content-Type: application/json")[0] == 200


def test_answers_that_are_made_are_never_cut_and_one_too_many_is_told(
    application: FakeApplication, server: RealServer, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(application.mirror, "search", lambda *_: go_on.wait(60) and [])
    body = b'{"query":"x"}'
    head = "POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
    asked: list[socket.socket] = []
    refused: list[object] = []

    def is_full() -> bool:
        one = held.enter_context(server.connect())
        one.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        one.settimeout(0.1)
        try:
            is_answered = bool(one.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            is_answered = False
        one.settimeout(30)
        asked.append(one)
        if is_answered:
            refused.append(answer_of(asked.pop()))
        return bool(refused)

    until(is_full, 30)
    assert refused[0][0] == 503  # type: ignore[index]
    assert refused[0][1]["code"] == "too_many_connections"  # type: ignore[index]
    go_on.set()
    assert [answer_of(each)[0] for each in asked].count(200) == 12
    held.close()
    until(lambda: server.get("/readyz")[0] == 200)


def test_a_body_that_does_not_come_is_not_waited_for(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.Body.__init__, "__defaults__", (SOON_S,))
    with server.connect() as small, _upload(server, 1_000_000) as large:
        small.sendall(b"POST /process_s3_event HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        for each in (small, large):
            status, body = answer_of(each)
            assert (status, body["code"]) == (408, "request_timeout")


def test_who_goes_on_sending_after_a_refusal_is_cut_off(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LINGER_S", SOON_S)
    with server.connect() as endless:
        endless.sendall(b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        cut = threading.Event()

        def send() -> None:
            try:
                while True:
                    endless.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            except OSError:
                cut.set()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        assert endless.recv(12) == b"HTTP/1.1 413"
        assert cut.wait(30)


def test_an_answer_that_nobody_reads_is_given_up(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_STUCK_S", SOON_S)
    text = b"&" * 1_900_000  # five times as long in HTML
    with server.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        head = f"POST /upload_parse_document HTTP/1.1\r\nHost: 127.0.0.1\r\n{FORM}"
        deaf.sendall(f"{head}\r\nContent-Length: {len(PART + text + END)}\r\n\r\n".encode() + PART + text + END)
        until(lambda: _is_reset(deaf), 30)


def _is_reset(connection: socket.socket) -> bool:
    """Whether the other side has given up; nothing is read for that."""
    try:
        connection.sendall(b"x")
    except OSError:
        return True
    return False


def test_unfinished_uploads_take_so_much_room_and_no_more(server: RealServer, held: ExitStack) -> None:
    for _ in range(3):
        held.enter_context(_upload(server, 2 << 20))
    time.sleep(0.2)
    with _upload(server, 2 << 20) as fourth:
        status, body = answer_of(fourth)
    assert (status, body["code"]) == (429, "too_many_uploads")
    assert _honest(server, 100_000) == 200, "a small one finds room"
    held.close()
    until(lambda: _honest(server, 1_500_000) == 200)


def test_an_upload_of_unknown_size_is_counted_as_it_comes(server: RealServer, held: ExitStack) -> None:
    for _ in range(3):
        held.enter_context(_upload(server, 2 << 20))
    time.sleep(0.2)
    with server.connect() as chunked:
        head = f"POST /upload_parse_document HTTP/1.1\r\nHost: 127.0.0.1\r\n{FORM}\r\nTransfer-Encoding: chunked"
        chunked.sendall(head.encode() + b"\r\n\r\n" + b"%x\r\n%s\r\n" % (len(PART), PART))
        try:
            for _ in range(16):
                chunked.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        except OSError:
            pass
        assert answer_of(chunked)[0] == 429
    held.close()


def test_nothing_is_left_of_uploads_that_were_given_up(
    application: FakeApplication,
    server: RealServer,
    held: ExitStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = set(application.data_dir.iterdir())
    many = [held.enter_context(_upload(server, 2 << 20)) for _ in range(3)]
    for each in many:
        each.sendall(b"x" * 1_500_000)
    until(lambda: len(_open_files(temporary)) == 3)
    held.close()
    until(lambda: not _open_files(temporary))
    assert list(temporary.iterdir()) == []
    assert set(application.data_dir.iterdir()) == before


def _open_files(folder: Path) -> list[str]:
    """Files of this process in a folder, also those without a name."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(each))  # noqa: PTH115 - what is deleted has no path
        except OSError:
            continue
    return [each for each in found if each.startswith((f"{folder}/", f"{folder.resolve()}/"))]

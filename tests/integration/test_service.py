"""`uvicorn main:app` and `s3-to-milvus up` as people start them: real processes, files, a watched folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.application import until
from tests.support.patience import SOON_S
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
HITS = "/api/v1/search"
STOPPED_S = 30.0


class Home:
    """A data folder, a folder of documents, and the processes over them."""

    def __init__(self, folder: Path) -> None:
        self.documents = folder / "문서"
        self.data = folder / "data"
        self.log = folder / "log.txt"
        (self.documents / "인사").mkdir(parents=True)
        self.environment = {
            **os.environ,
            "S2M_DATA_DIR": str(self.data),
            "S2M_SOURCE": str(self.documents),
            "S2M_EMBEDDER__KIND": "hash",
            "S2M_EVENTS__WATCH__FORCE_POLLING": "false",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "s3_to_milvus.cli.main", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SOON_S,
            check=False,
        )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    for process in home.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def _ask(url: str, body: Any = None, token: str = "") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urlopen(Request(url, data, headers), timeout=SOON_S) as answer:
        return json.load(answer)


def _is_answered(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return bool(_ask(f"{url}/readyz")["status"] == "ready")
        except OSError:
            return False

    return ask


def _keys(url: str, query: str, token: str = "") -> list[str]:
    return [hit["key"] for hit in _ask(url + HITS, {"query": query, "top": 1}, token)["hits"]]


def _stop_s(process: subprocess.Popen[bytes], how: signal.Signals) -> float:
    started = time.monotonic()
    process.send_signal(how)
    process.wait(timeout=SOON_S)
    return time.monotonic() - started


def test_uvicorn_alone_runs_the_whole_service(home: Home) -> None:
    (home.documents / "인사" / "휴가.txt").write_text("연차휴가는 해마다 열다섯 날이다.", encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = home.start("uvicorn", "main:app", "--host", "0.0.0.0", "--port", str(port))
    until(_is_answered(url))
    # Others can reach it: without a key it answers nothing, and says how to get one.
    with pytest.raises(HTTPError, match="401") as caught:
        _keys(url, "x")
    caught.value.close()
    assert "The first one (admin), shown only now: s2m_" in home.said()
    token = (home.data / "door.token").read_text()
    until(lambda: _keys(url, "연차휴가는 해마다", token) == ["인사/휴가.txt"])

    # A change of the folder shows without anybody's help, and so does its end.
    (home.documents / "new.md").write_text("# Sabbatical\n\nzebra quagga okapi", encoding="utf-8")
    until(lambda: _keys(url, "zebra quagga okapi", token) == ["new.md"])
    (home.documents / "new.md").unlink()
    until(lambda: _keys(url, "zebra quagga okapi", token) != ["new.md"])

    # Commands find the service by the address that uvicorn was given.
    found = home.command("search", "연차휴가는", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["hits"][0]["key"] == "인사/휴가.txt"

    # A second process on the same data says so, and stops.
    second = home.start("uvicorn", "main:app", "--port", str(free_port()))
    assert second.wait(timeout=SOON_S) != 0
    assert f"process {process.pid} holds it and serves {url}" in home.said()
    assert "Traceback" not in home.said()

    assert _stop_s(process, signal.SIGTERM) < STOPPED_S
    assert json.loads(home.command("status", "--json").stdout)["objects"]["indexed"] == 1


def test_behind_a_proxy_under_a_prefix_everything_works(home: Home) -> None:
    (home.documents / "인사" / "휴가.txt").write_text("연차휴가는 해마다 열다섯 날이다.", encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}"  # as the proxy asks: it cuts the prefix off
    home.start("uvicorn", "main:app", "--port", str(port), "--root-path", "/s3_to_milvus")
    until(_is_answered(url))
    until(lambda: _keys(url, "연차휴가는 해마다") == ["인사/휴가.txt"])
    event = {"bucket_name": home.documents.name, "file_key": "인사/휴가.txt", "event_type": "upload"}
    for door in ("/process_s3_event", "/events"):
        _ask(url + door, event)
    body = json.dumps({"source": str(home.documents)}).encode()
    with urlopen(Request(f"{url}/api/v1/sync", body, {"Content-Type": "application/json"}), timeout=SOON_S) as answer:
        assert answer.headers["Location"].startswith("/s3_to_milvus/api/v1/sync/")
    with urlopen(f"{url}/", timeout=SOON_S) as answer:
        assert b'"/s3_to_milvus/static/' in answer.read()


def test_up_says_what_to_do_and_ctrl_c_stops_it(home: Home) -> None:
    (home.documents / "a.md").write_text("hello there", encoding="utf-8")
    (home.documents / "b.bin").write_bytes(bytes(range(256)))
    process = home.start("s3_to_milvus.cli.main", "up", "--port", "0")
    until(lambda: "1 documents are searchable; 1 failed" in home.said())
    said = home.said()
    assert f"Mirroring {home.documents}" in said
    assert "Look:    http://127.0.0.1:" in said
    assert 's3-to-milvus search "…"' in said
    assert "hello there" in home.command("search", "hello").stdout
    assert _stop_s(process, signal.SIGINT) < STOPPED_S
    assert process.returncode == 0
    assert "Traceback" not in home.said()


def test_serve_tells_programs_where_it_answers(home: Home) -> None:
    process = home.start("s3_to_milvus.cli.main", "serve", "--port", "0", "--json")
    until(lambda: '"url"' in home.said())
    line = next(line for line in home.said().splitlines() if '"url"' in line)
    told = json.loads(line)
    assert set(told) == {"url", "pid", "sources"}
    assert (told["pid"], told["sources"]) == (process.pid, [str(home.documents)])
    assert _is_answered(told["url"])()
    assert _stop_s(process, signal.SIGTERM) < STOPPED_S


def test_a_taken_port_is_told_before_anything_is_opened(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = home.command("serve", "--port", str(taken.getsockname()[1]))
    assert result.returncode == 2
    assert result.stderr.startswith("error: Can't listen on 127.0.0.1:")
    assert not home.data.exists()


def test_sync_watch_follows_changes_until_stopped(home: Home) -> None:
    (home.documents / "a.md").write_text("hello there", encoding="utf-8")
    process = home.start("s3_to_milvus.cli.main", "sync", str(home.documents), "--watch")
    until(lambda: "Following changes" in home.said())
    assert ": 1 added" in home.said()
    (home.documents / "b.md").write_text("general kenobi", encoding="utf-8")
    until(lambda: '"key": "b.md"' in home.said())
    assert _stop_s(process, signal.SIGTERM) < STOPPED_S
    assert "Traceback" not in home.said()
    status = home.command("status", "--json")
    assert json.loads(status.stdout)["objects"]["indexed"] == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from s3_to_milvus.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print('MODULES', *sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in run.stdout.rpartition("MODULES")[2].split()}
    heavy = {"asyncio", "boto3", "fastapi", "httpx", "jinja2", "numpy", "pydantic", "pymilvus", "rich", "structlog"}
    assert not modules & heavy

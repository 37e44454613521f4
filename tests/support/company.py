"""A company that has the original system: its bucket, its three paid services, its Milvus, its own ``.env``."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

from tests.support import notion_server as notion
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage
from tests.support.application import until
from tests.support.ministack import running_ministack
from tests.support.ports import free_port

__all__ = ["BUCKET", "ROOT", "Company"]

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "company"


class Company:
    """The bucket, the three paid services, and our service as one process that knows them by the original names.

    ``milvus`` empty: Milvus Lite. ``settings`` are more variables of the environment.
    """

    def __init__(self, folder: Path, stack: ExitStack, milvus: str = "", **settings: str) -> None:
        self.folder = folder
        self.stack = stack
        self.milvus = milvus or str(folder / "milvus.db")
        self.server = stack.enter_context(running_ministack(folder))
        self.upstage = stack.enter_context(upstage.upstage_server())
        self.openai = stack.enter_context(openai.openai_server())
        self.notion = stack.enter_context(notion.notion_server())
        self.s3 = self.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._write_env()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("S2M_", "AWS_"))}
        self.environment = inherited | self._where_they_are() | settings

    def client(self, name: str) -> Any:
        """A client of AWS."""
        made: Any = boto3.client(  # type: ignore[call-overload]
            name,
            endpoint_url=self.server.endpoint_url,
            region_name=self.server.region,
            aws_access_key_id=self.server.access_key_id,
            aws_secret_access_key=self.server.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, read_timeout=120),
        )
        return self.stack.enter_context(closing(made))

    def _write_env(self) -> None:
        """The original's own `.env`."""
        values = {
            "UPSTAGE_API_KEY": upstage.KEY,
            "UPSTAGE_API_URL": self.upstage.url,
            "OPENAI_API_KEY": openai.KEY,
            "MILVUS_URL": self.milvus,
            "NOTION_TOKEN": notion.TOKEN,
            "NOTION_DATABASE_ID": self.notion.add_database(notion.ORIGINAL),
            "AWS_ACCESS_KEY": self.server.access_key_id,
            "AWS_SECRET_KEY": self.server.secret_access_key,
        }
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        (self.folder / ".env").write_text(text, encoding="utf-8")

    def _where_they_are(self) -> dict[str, str]:
        """Nothing that chooses anything."""
        return {
            "S2M_DATA_DIR": str(self.folder / "data"),
            "S2M_STORE__S3__ENDPOINT_URL": self.server.endpoint_url,
            "S2M_STORE__S3__REGION": self.server.region,
            "S2M_EMBEDDER__OPENAI__BASE_URL": self.openai.url,
            "S2M_JOURNAL__NOTION__BASE_URL": self.notion.url,
            "S2M_JOURNAL__NOTION__SETTLE_S": "0.2",
            "S2M_ENGINE__SCAN_INTERVAL_S": "0",  # only events from here on
        }

    @property
    def log(self) -> Path:
        """What our service says."""
        return self.folder / "log.txt"

    def start(self) -> None:
        """Our service, ready when this returns."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT), "main:app", "--port", str(self.port)]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.stack.callback(_end, self.process)
        until(self._is_ready, 120)

    def kill(self) -> None:
        """Our service, as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """A command of ours."""
        command = [sys.executable, "-m", "s3_to_milvus.cli.main", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, text=True, capture_output=True, timeout=600, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def _is_ready(self) -> bool:
        try:
            return bool(self.ask("/readyz")["status"] == "ready")
        except (OSError, HTTPError):
            return False

    def ask(self, path: str, body: Any = None) -> Any:
        """Our service's answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        with urlopen(Request(self.url + path, data, headers), timeout=60) as answer:
            return json.load(answer)

    def tell(self, key: str, event_type: str) -> None:
        """What the original's Lambda sends."""
        self.ask("/process_s3_event", {"bucket_name": BUCKET, "file_key": key, "event_type": event_type})

    def embedded(self) -> int:
        """How many texts of documents were paid for; queries of this test left out."""
        return sum(text != "x" for request in self.openai.requests for text in request["input"])

    def is_idle(self) -> bool:
        """Nothing waits and nothing runs."""
        counts = self.ask("/api/v1/status")["objects"]
        return not counts["waiting"] and not counts["running"]

    def hits(self, collection: str = "") -> list[Any]:
        """What a search over everything (or one collection) brings."""
        try:
            found: list[Any] = self.ask("/api/v1/search", {"query": "x", "top": 50, "collection": collection or None})[
                "hits"
            ]
        except HTTPError as refused:  # no such collection
            refused.close()
            return []
        return found

    def found(self, collection: str = "") -> set[str]:
        """Their keys."""
        return {hit["key"] for hit in self.hits(collection)}

    def texts(self, key: str) -> str:
        """What stands for an object."""
        return "\n".join(hit["text"] for hit in self.hits() if hit["key"] == key)

    def jobs(self, key: str) -> list[tuple[str, str]]:
        """Action and status of the rows about an object in the original's table of Notion, as they came."""
        rows = self.notion.rows()
        mine = [row for row in rows if notion.plain(row, "Title") == f"{BUCKET}/{key}"]
        return [(notion.plain(row, "Action"), notion.plain(row, "Status")) for row in mine]

    def expect_silence(self, *texts: str) -> None:
        """No secret and none of these texts in the log."""
        said = self.log.read_text(encoding="utf-8", errors="replace")
        for secret in (notion.TOKEN, upstage.KEY, openai.KEY, *texts):
            assert secret not in said


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

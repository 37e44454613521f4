"""Our service as a process over a bucket of Ceph, told of changes by Ceph itself."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

from tests.support.application import until
from tests.support.ceph import Ceph
from tests.support.ports import free_port

__all__ = ["CephService", "ceph_client"]

_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


def ceph_client(ceph: Ceph, stack: ExitStack, name: str = "s3", *, over_tls: bool = False) -> Any:
    """A client of Ceph; ``sns`` for its topics."""
    made: Any = boto3.client(  # type: ignore[call-overload]
        name,
        endpoint_url=ceph.tls_endpoint_url if over_tls else ceph.endpoint_url,
        verify=str(ceph.certificate) if over_tls else None,
        region_name=ceph.region,
        aws_access_key_id=ceph.access_key_id,
        aws_secret_access_key=ceph.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
    )
    return stack.enter_context(closing(made))


class CephService:
    """It asks for keys, embeds by hashes into Milvus Lite, and scans at its start only. ``bucket`` is made."""

    def __init__(self, folder: Path, ceph: Ceph, bucket: str, stack: ExitStack) -> None:
        self.folder = folder
        self.bucket = bucket
        self.s3 = ceph_client(ceph, stack)
        self.s3.create_bucket(Bucket=bucket)
        self.topics = ceph_client(ceph, stack, "sns", over_tls=True)
        self.port = free_port()
        self._stack = stack
        self._process: subprocess.Popen[bytes] | None = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("S2M_", "AWS_"))}
        self._environment = inherited | {
            "S2M_DATA_DIR": str(folder / "data"),
            "S2M_SOURCE": f"s3://{bucket}",
            "S2M_STORE__S3__ENDPOINT_URL": ceph.endpoint_url,
            "S2M_STORE__S3__ACCESS_KEY_ID": ceph.access_key_id,
            "S2M_STORE__S3__SECRET_ACCESS_KEY": ceph.secret_access_key,
            "S2M_EMBEDDER__KIND": "hash",
            "S2M_ENGINE__SCAN_INTERVAL_S": "0",
            "S2M_AUTH__MODE": "required",
            "S2M_PORT": str(self.port),
        }
        self._key = self.run("keys", "add", "tester", "--role", "admin").stdout.strip()

    def run(
        self, *arguments: str, code: int | None = 0, settings: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """A command of ours; ``settings`` are more variables, ``code`` None any exit code."""
        command = [sys.executable, "-m", "s3_to_milvus.cli.main", *arguments]
        environment = self._environment | (settings or {})
        done = subprocess.run(
            command, env=environment, cwd=self.folder, text=True, capture_output=True, timeout=600, check=False
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def start(self) -> int:
        """Ready, and its first scan done, when this returns its process id."""
        command = [sys.executable, "-m", "s3_to_milvus.cli.main", "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
        self._stack.callback(self.stop)
        until(self._has_scanned, 60)
        return self._process.pid

    def stop(self) -> None:
        """As the system stops it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log.txt"

    def refusals(self) -> list[dict[str, Any]]:
        """Lines of the log about events that were refused."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line["event"] == "events.refused"]

    def connect(self, key: str = "", *, is_persistent: bool = False) -> str:
        """Tell Ceph to tell us; the ARN of its topic. Without a ``key``, a new one is made for it."""
        key = key or self.run("keys", "add", f"ceph-{self.bucket}", "--role", "events").stdout.strip()
        attributes = {"push-endpoint": f"http://ceph:{key}@127.0.0.1:{self.port}/events"}
        if is_persistent:
            attributes["persistent"] = "true"
        arn: str = self.topics.create_topic(Name=f"topic-{self.bucket}", Attributes=attributes)["TopicArn"]
        rule = {"Id": "s3-to-milvus", "TopicArn": arn, "Events": _EVENTS}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"TopicConfigurations": [rule]}
        )
        return arn

    def put(self, key: str, text: str) -> None:
        """Write an object."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def delete(self, key: str, **version: str) -> None:
        """Delete an object; ``VersionId=…`` a version of it."""
        self.s3.delete_object(Bucket=self.bucket, Key=key, **version)

    def shown(self) -> dict[str, str]:
        """What a search can find, by key."""
        try:
            hits = json.loads(self._ask("/api/v1/search", {"query": "x", "top": 1_000}))["hits"]
        except HTTPError as error:
            error.close()
            return {}
        return {hit["key"]: hit["text"] for hit in hits}

    def expect(self, wanted: dict[str, str], seconds: float = 15.0) -> None:
        """Within this time, a search finds exactly this."""
        try:
            until(lambda: self.shown() == wanted, seconds)
        except AssertionError:
            assert self.shown() == wanted, self.log.read_text(encoding="utf-8")[-2_000:]

    def events(self, result: str = "taken") -> int:
        """How many events it has taken since its start."""
        return sum(
            int(float(line.split()[-1]))
            for line in self._ask("/metrics").decode().splitlines()
            if line.startswith(f's2m_events_total{{result="{result}"}}')
        )

    def _has_scanned(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8")[-2_000:]
        try:
            status = json.loads(self._ask("/api/v1/status"))
            is_ready = bool(json.loads(self._ask("/readyz"))["status"] == "ready")
        except OSError:
            return False
        sources: Sequence[dict[str, Any]] = status["sources"]
        return is_ready and all(source["last_scan_at"] for source in sources) and not _is_busy(status["objects"])

    def _ask(self, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-API-Key": self._key}
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, headers), timeout=60) as answer:
            content: bytes = answer.read()
            return content


def _is_busy(counts: dict[str, int]) -> bool:
    return bool(counts["waiting"] or counts["running"])

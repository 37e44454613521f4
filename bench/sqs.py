"""From a bucket over SQS to searchable, on a real server of both protocols (ministack), with the hash embedder.

"pace": 20 objects of 2 KB are put each second; the bucket tells the queue, and the time is from the end of the put
until a search over HTTP finds the new text. "burst": 1,000 objects, their events shuffled, a fifth of them sent twice,
while the service is killed (SIGKILL) five times; counted is what the service does not hold at the end, by its events
and by the scan of each start. All processes share the cores.
"""

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import httpx

from bench.corpus import make_text
from bench.tools import head, is_found, line, percentile, serving, wait
from tests.support.ministack import Ministack, running_ministack

__all__ = ["main"]

_PER_SECOND, _OBJECTS = 20, 300
_BURST, _KILLS, _DOUBLED = 1_000, 5, 0.2


class _Place:
    """A bucket and a queue."""

    def __init__(self, server: Ministack, name: str, *, tells: bool) -> None:
        given: Any = {
            "endpoint_url": server.endpoint_url,
            "region_name": server.region,
            "aws_access_key_id": server.access_key_id,
            "aws_secret_access_key": server.secret_access_key,
        }
        self.name = name
        self.s3, self.sqs = boto3.client("s3", **given), boto3.client("sqs", **given)
        self.s3.create_bucket(Bucket=name)
        self.queue = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rules: Any = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        if tells:
            self.s3.put_bucket_notification_configuration(
                Bucket=name, NotificationConfiguration={"QueueConfigurations": rules}
            )
        self.settings = {
            "S2M_EVENTS__KIND": "sqs",
            "S2M_EVENTS__SQS__QUEUE_URL": self.queue,
            "S2M_EVENTS__SQS__VISIBILITY_S": "5",
            "S2M_ENGINE__SCAN_INTERVAL_S": "0",
        }
        for section in ("EVENTS__SQS", "STORE__S3"):
            self.settings |= {
                f"S2M_{section}__ENDPOINT_URL": server.endpoint_url,
                f"S2M_{section}__REGION": server.region,
                f"S2M_{section}__ACCESS_KEY_ID": server.access_key_id,
                f"S2M_{section}__SECRET_ACCESS_KEY": server.secret_access_key,
            }

    def put(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def messages_left(self) -> int:
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def _word(number: int) -> str:
    return f"zebrafish{number:06d}q"


def pace(server: Ministack, data: Path) -> list[float]:
    """Seconds until each object was found."""
    place, dice = _Place(server, "pace", tells=True), random.Random(5)
    texts = [f"{_word(number)}\n\n{make_text(dice, 2_000)}" for number in range(_OBJECTS)]
    put_at: dict[int, float] = {}

    def put_all() -> None:
        began = time.perf_counter()
        for number, text in enumerate(texts):
            time.sleep(max(0.0, began + number / _PER_SECOND - time.perf_counter()))
            place.put(f"docs/file{number}.txt", text)
            put_at[number] = time.perf_counter()

    waits: list[float] = []
    with serving(f"s3://{place.name}", data, **place.settings) as (url, _), httpx.Client(base_url=url) as client:
        wait(lambda: bool(client.get("/readyz").is_success))
        putter = threading.Thread(target=put_all)
        putter.start()
        for number in range(_OBJECTS):
            wait(lambda number=number: number in put_at and is_found(client, _word(number)))  # type: ignore[misc]
            waits.append(time.perf_counter() - put_at[number])
        putter.join()
    return waits


def burst(server: Ministack, data: Path) -> tuple[int, int, float]:
    """How many objects are missing at the end, how many messages are left, and the seconds it took."""
    place, dice = _Place(server, "burst", tells=False), random.Random(6)
    numbers = [*range(_BURST), *dice.sample(range(_BURST), int(_BURST * _DOUBLED))]
    dice.shuffle(numbers)
    began = time.monotonic()
    share = -(-len(numbers) // (_KILLS + 1))
    for part in range(_KILLS + 1):
        with serving(f"s3://{place.name}", data, **place.settings) as (url, pid), httpx.Client(base_url=url) as client:
            wait(lambda: bool(client.get("/readyz").is_success))
            for batch in _tens(numbers[part * share : (part + 1) * share]):
                _tell(place, batch)
            if part < _KILLS:
                time.sleep(dice.random())
                os.kill(pid, signal.SIGKILL)
                continue
            wait(lambda: place.messages_left() == 0 and _is_idle(client), 0.2, 240.0)
            indexed = client.get("/api/v1/status").json()["objects"]["indexed"]
            return _BURST - indexed, place.messages_left(), time.monotonic() - began
    raise AssertionError


def _tens(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many as fit into one call."""
    return (numbers[at : at + 10] for at in range(0, len(numbers), 10))


def _tell(place: _Place, numbers: Sequence[int]) -> None:
    """Puts objects (again), and tells the queue in the words of the original."""
    entries: Any = []
    for at, number in enumerate(numbers):
        key = f"docs/file{number}.txt"
        place.put(key, _word(number))
        body = f'{{"bucket_name": "{place.name}", "file_key": "{key}", "event_type": "upload"}}'
        entries.append({"Id": str(at), "MessageBody": body})
    place.sqs.send_message_batch(QueueUrl=place.queue, Entries=entries)


def _is_idle(client: httpx.Client) -> bool:
    counts = client.get("/api/v1/status").json()["objects"]
    return not counts["waiting"] and not counts["running"]


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as name, running_ministack(Path(name)) as server:
        waits_ms = [each * 1e3 for each in pace(server, Path(name, "pace-data"))]
        line(f"pace: p50 of {_OBJECTS} objects", percentile(waits_ms, 0.5), "ms", 400)
        line("pace: p95", percentile(waits_ms, 0.95), "ms")
        missing, left, took_s = burst(server, Path(name, "burst-data"))
        line("burst: objects lost", missing, "objects", 0)
        line("burst: messages left", left, "messages", 0)
        line("burst: all of it", took_s, "s")


if __name__ == "__main__":
    main()

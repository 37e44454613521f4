"""What listing costs: keys per CPU-second of our S3 lister, of boto3's paginator, and of the folder store.

``python -m bench.listing [PAGES]`` lists PAGES x 1,000 keys from a static server in a process of its own, and prints
one JSON line; ``ratio`` is how many times cheaper ours is than boto3's.
"""

import json
import os
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.adapters.object_stores.s3 import S3Store

__all__ = ["measure"]

_ENTRY = (
    "<Contents><Key>docs/2026/{page:05d}/report-{number:06d}.pdf</Key><LastModified>2026-11-23T01:04:45.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
    "<ChecksumType>FULL_OBJECT</ChecksumType><Size>12345</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def _page(number: int, pages: int) -> bytes:
    entries = "".join(_ENTRY.format(page=number, number=entry) for entry in range(1000))
    more = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if number + 1 < pages else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Name>bench</Name><Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{entries}"
        "</ListBucketResult>"
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class _Handler(socketserver.StreamRequestHandler):
    """Answers every request with the page that its continuation token names."""

    pages: tuple[bytes, ...] = ()

    def handle(self) -> None:
        """Serve one connection."""
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            query = parse_qs(urlsplit(line.split()[1].decode()).query)
            self.wfile.write(self.pages[int(query.get("continuation-token", ["0"])[0])])


def _serve(pages: int) -> None:
    _Handler.pages = tuple(_page(number, pages) for number in range(pages))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()


def _cost(run: Callable[[], Iterable[object]]) -> tuple[int, float]:
    started = time.process_time()
    count = sum(1 for _ in run())
    return count, time.process_time() - started


def _boto3_keys(endpoint_url: str) -> Iterable[object]:
    import boto3

    client = boto3.session.Session(aws_access_key_id="bench", aws_secret_access_key="bench-secret").client(
        "s3", endpoint_url=endpoint_url, region_name="us-east-1"
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bench"):
        yield from page["Contents"]


def _folder_seconds(files: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        for number in range(files):
            path = Path(name, f"folder-{number % 100:02d}", f"문서-{number:06d}.txt")
            path.parent.mkdir(exist_ok=True)
            path.touch()
        store = FolderStore(FolderStore.Options(), {"bench": Path(name)})
        count, seconds = _cost(lambda: store.list("bench"))
        assert count == files
        return seconds


def measure(pages: int = 50, files: int = 20_000) -> dict[str, float]:
    """Microseconds of CPU per key for each lister, and the ratio."""
    command = [sys.executable, "-m", "bench.listing", "--serve", str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as server:
        assert server.stdout is not None
        endpoint_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            options = S3Store.Options.model_validate(
                {
                    "endpoint_url": endpoint_url,
                    "region": "us-east-1",
                    "access_key_id": "bench",
                    "secret_access_key": "bench-secret",
                }
            )
            store = S3Store(options)
            next(store.list("bench"))
            ours, ours_s = _cost(lambda: store.list("bench"))
            theirs, theirs_s = _cost(lambda: _boto3_keys(endpoint_url))
        finally:
            server.terminate()
    assert ours == theirs == pages * 1000
    return {
        "keys": ours,
        "s3_us_per_key": round(ours_s / ours * 1e6, 2),
        "boto3_us_per_key": round(theirs_s / theirs * 1e6, 2),
        "ratio": round(theirs_s / ours_s, 2),
        "folder_us_per_key": round(_folder_seconds(files) / files * 1e6, 2),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(int(sys.argv[2]))
    else:
        print(json.dumps(measure(*map(int, sys.argv[1:2]))))

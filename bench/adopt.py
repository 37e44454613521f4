"""Taking over a collection of the original system on a real Milvus server 2.3.5: 1,000 files, 10,000 rows, 3,072 dims.

"plan": read every row's name, date and text, match them with the objects. "copy": the rows with their vectors into
the collection with our columns, each object by the whole line (read, hash, insert, commit). "switch": another client
searches by the name all the time; how often it failed, and how long the name led nowhere. "unrecorded rows of one
object": what a crash may leave, found by our column, and in the original's collection, where only a walk over all
rows can tell which ids nobody has recorded (decision 0004).
"""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.tools import build_app, head, line, percentile
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.engine.adoption import AdoptionTally
from s3_to_milvus.testing.hash_embedder import HashEmbedder
from tests.support import original_system
from tests.support.milvus_server import milvus_server, why_not

__all__ = ["main"]

_FILES, _ROWS, _DIM = 1_000, 10, 3_072
_LATE = "2100-01-01T00:00:00Z"
_LOOKS = 5


def main() -> None:
    """Print a table."""
    if reason := why_not():
        raise SystemExit(f"No Milvus server can be started here: {reason}")
    with tempfile.TemporaryDirectory() as place, milvus_server(Path(place)) as uri:
        documents = Path(place) / "documents"
        (documents / "HR").mkdir(parents=True)
        for number in range(_FILES):
            (documents / "HR" / f"{number}.txt").write_text(f"document {number}", encoding="utf-8")
        _fill(uri)
        _measure(documents, Path(place) / "service", uri)


def _fill(uri: str) -> None:
    from pymilvus import MilvusClient

    client, embedder = MilvusClient(uri), HashEmbedder(HashEmbedder.Options(dim=_DIM))
    original_system.make_collection(client, "HR", _DIM)
    for number in range(_FILES):
        texts = [f"<p>document {number}, paragraph {place}: fifteen days of leave</p>" for place in range(_ROWS)]
        vectors = [each.tolist() for each in embedder.embed_documents(texts)]
        original_system.insert(client, "HR", vectors, [(f"{number}.txt", _LATE, text) for text in texts])
    client.close()


def _measure(documents: Path, data: Path, uri: str) -> None:
    more = {"embedder.hash.dim": _DIM, "vector_store.milvus.uri": uri}
    application = build_app(documents, data, **more)
    try:
        mirror = application.mirror
        mirror.start()
        head()
        planned_s, adoption = _timed(lambda: mirror.adopter().plan("HR", application.sources))
        line("plan", planned_s, "s")
        tally = AdoptionTally(adoption.refs)
        adopter = mirror.adopter()
        copied_s, _ = _timed(lambda: _copy(mirror, adopter, adoption, application.sources, tally))
        if (tally.copied, tally.embedded) != (_FILES, 0):
            raise RuntimeError(f"{tally.copied} copied, {tally.embedded} embedded")
        line("copy, rows each second", _FILES * _ROWS / copied_s, "")
        with _Reader(uri) as reader:
            adopter.finish(adoption)
            time.sleep(2)
        line("switch: searches by the name meanwhile", len(reader.answers), "")
        line("switch: of them failed", sum(not is_well for _, is_well in reader.answers), "")
        line("switch: the name led nowhere for", reader.longest_ms(), "ms")
        _compare(mirror.parts.vectors)
    finally:
        application.stop()


def _copy(mirror: Any, adopter: Any, adoption: Any, sources: Any, tally: AdoptionTally) -> None:
    with mirror._heard_by(tally.take):
        adopter.begin(adoption)
        mirror.pool.wake()
        mirror.wait(sources)


def _compare(vectors: Any) -> None:
    ref = ObjectRef("documents", "HR/1.txt")
    by_column = [
        _timed(lambda: vectors.delete_other_runs("HR_s2m", ref.object_id, 2**62, 2**61))[0] for _ in range(_LOOKS)
    ]
    by_walk = [_timed(lambda: list(vectors.originals.rows("HR_original")))[0] for _ in range(_LOOKS)]
    line("unrecorded rows of one object, by our column", percentile(by_column, 0.5) * 1e3, "ms")
    line("the same in the original's collection, by a walk", percentile(by_walk, 0.5) * 1e3, "ms")
    line("walk / column", percentile(by_walk, 0.5) / percentile(by_column, 0.5), "")


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


class _Reader:
    """Another program that searches the collection by its name, as fast as it can."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[tuple[float, bool]] = []

    def __enter__(self) -> "_Reader":
        self._thread.start()
        while not self.answers:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def longest_ms(self) -> float:
        """From the last answer before a failure to the next one after it."""
        longest, last = 0.0, self.answers[0][0]
        has_failed = False
        for moment, is_well in self.answers:
            if is_well:
                longest = max(longest, moment - last) if has_failed else longest
                last, has_failed = moment, False
            has_failed |= not is_well
        return longest * 1e3

    def _run(self) -> None:
        import logging

        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        client = MilvusClient(self._uri)
        query = HashEmbedder(HashEmbedder.Options(dim=_DIM)).embed_query("leave").tolist()
        while not self._stop.is_set():
            try:
                found = client.search("HR", data=[query], limit=3, output_fields=["file_name"], timeout=5)
                self.answers.append((time.perf_counter(), len(found[0]) == 3))
            except MilvusException:
                self.answers.append((time.perf_counter(), False))
        client.close()


if __name__ == "__main__":
    main()

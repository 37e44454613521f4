"""Drains an outbox into Notion in children that may be killed at any moment: ``python -m tests.support.notion_kills``.

This process has one thread, so that it may fork; what it imports is there at once in every child.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import notion_client  # noqa: F401 - for the children

from s3_to_milvus.adapters.journals.notion import NotionJournal
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import TransientError
from tests.support.notion_entries import entry

__all__ = ["BATCH", "main"]

BATCH = 100  # as the service takes from the outbox
MOST_CHILDREN = 200


def main(given: dict[str, Any]) -> int:
    """Start children until nothing is left; prints how many there were, and how many were killed."""
    entries = [entry(number) for number in range(1, given["entries"] + 1)]
    done = killed = children = 0
    while done * BATCH < len(entries):
        children += 1
        if children > MOST_CHILDREN:
            return 1
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            Path(given["pid_file"]).write_text(str(os.getpid()))
            _drain(entries[done * BATCH :], given["options"], writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            done += len(pipe.read())
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    print(json.dumps({"children": children, "killed": killed}))
    return 0


def _drain(entries: Sequence[JournalEntry], options: dict[str, Any], told: int) -> None:
    """Deliver batch after batch, each until it is taken; a byte says that one was, as the outbox would be told."""
    journal = NotionJournal(NotionJournal.Options.model_validate(options))
    for start in range(0, len(entries), BATCH):
        while True:
            try:
                journal.deliver(entries[start : start + BATCH])
                break
            except TransientError:
                time.sleep(0.002)
        os.write(told, b".")


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

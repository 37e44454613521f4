"""Turns an open object into a draft: download, detect, parse, split. Rows are made by the load."""

import time
from collections.abc import Iterator
from dataclasses import replace

from s3_to_milvus.domain.documents import Chunk
from s3_to_milvus.domain.records import Claim, Outcome
from s3_to_milvus.domain.rows import IdRanges, StoredRow
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.donation import Donation
from s3_to_milvus.engine.download import Download, download
from s3_to_milvus.engine.draft import Draft
from s3_to_milvus.engine.observe import log, stage
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.readers import Readers
from s3_to_milvus.engine.reading import Reading
from s3_to_milvus.engine.reuse import Reuse
from s3_to_milvus.engine.suspects import is_deadly
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import Content

__all__ = ["Ingest"]


class Ingest:
    """Prepares drafts. Holds no state of its own between objects."""

    def __init__(self, parts: Parts, collections: Collections) -> None:
        self._parts = parts
        self._collections = collections

    def open(self, claim: Claim, content: Content, label: str, *, is_forced: bool) -> Draft:
        """A draft bound to the version that ``content`` is; nothing is read yet."""
        version = content.version
        return Draft(
            claim=claim,
            version=version,
            spec=self._collections.spec_of(label),
            file_date=_date(version.modified_at),
            recipe=self._parts.readers_of(claim.ref).recipe_for(None),
            content_hash="",
            media_type="",
            is_forced=is_forced,
        )

    def read(self, draft: Draft, content: Content, label: str) -> Iterator[Chunk]:
        """The chunks of the document, read as they are asked for; none where the same bytes stand already.

        Raises what parsers, splitters and stores raise; scratch files are gone when the iterator ends or is closed.
        """
        self._collections.verify(label)
        readers = self._parts.readers_of(draft.claim.ref)
        with stage("download", draft.clock):
            got = download(self._parts, readers, content, draft.claim.ref.file_name)
        try:
            content.close()
            draft.content_hash = got.content_hash
            draft.media_type = got.media_type
            donation = self._donation_for(draft)
            find = readers.parser_for if donation else readers.require
            draft.recipe = readers.recipe_for(find(got.media_type))
            if self._is_same(draft):
                draft.is_same_content = True
                return
            if donation is not None:
                draft.spec = self._collections.ensure(label)
                yield from self._take_over(draft, donation)
                return
            reading = self._parse(draft, readers, got)
            draft.spec = self._collections.ensure(label)
            draft.reuse = self._reuse(draft)
            yield from self._parts.splitter.split(reading.document, label)
            _tell(draft, reading.warnings)
        finally:
            got.close()

    def _donation_for(self, draft: Draft) -> Donation | None:
        donation = self._parts.donations.get(draft.claim.ref)
        return donation if donation is not None and donation.version.is_same_as(draft.version) else None

    def _take_over(self, draft: Draft, donation: Donation) -> Iterator[Chunk]:
        draft.is_adopted = True
        draft.file_date = donation.file_date
        draft.reuse = donation.reuse(draft.claim.ref.file_name)
        missing = len(donation.ids)
        for chunk in donation.chunks(draft.reuse):
            missing -= 1
            yield chunk
        if missing:
            raise Unavailable(
                f"{missing} rows of {donation.collection} are gone since they were looked at.",
                hint="Stop whatever still writes into it, then adopt once more.",
            )

    def _parse(self, draft: Draft, readers: Readers, got: Download) -> Reading:
        with stage("parse", draft.clock):
            source = replace(got.as_input(draft.claim.ref.file_name), must_isolate=is_deadly(draft.claim))
            reading = Reading(self._parts, readers, source, draft.meter)
        draft.language = reading.document.language
        return reading

    def _is_same(self, draft: Draft) -> bool:
        record = draft.claim.record
        return (
            record is not None
            and record.outcome is not Outcome.FAILED
            and not draft.is_forced
            and record.content_hash == draft.content_hash
            and record.recipe == draft.recipe
            and record.collection in (draft.spec.name, "")
        )

    def _reuse(self, draft: Draft) -> Reuse | None:
        record = draft.claim.record
        if record is None or record.collection != draft.spec.name or not record.ids or draft.is_forced:
            return None
        if len(record.ids) > self._parts.config.reuse_chunks:
            return None
        vectors, rows = self._parts.vectors, record.rows

        def read_rows(ids: IdRanges, with_vectors: bool) -> list[StoredRow]:
            return vectors.fetch(record.collection, replace(rows, ids=ids), with_vectors=with_vectors)

        reuse = Reuse(read_rows, draft.claim.ref.file_name)
        for _ in reuse.read(record.ids):
            pass
        return reuse


def _tell(draft: Draft, warnings: list[str]) -> None:
    """What of a document could not be read, where people look for it."""
    draft.warnings = tuple(warnings)
    if warnings:
        ref = draft.claim.ref
        log.warning("document.partly_read", run=draft.claim.run, bucket=ref.bucket, key=ref.key, count=len(warnings))


def _date(modified_at: float | None) -> str:
    return "" if modified_at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(modified_at))

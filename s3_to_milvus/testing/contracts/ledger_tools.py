"""What the ledger's contracts have in common: short ways to make refs, records and whole rounds of work."""

from collections.abc import Sequence

from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import Claim, Commit, Failure, Outcome, Record, RunStats, SettleState
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.ports import Ledger

__all__ = ["BROKEN", "HOSTILE_KEYS", "LEASE_S", "RECHECK_S", "STATS", "A", "B", "Desk", "T", "ids_of_run"]

A = ObjectRef("docs", "보고서/2024.txt")
B = ObjectRef("docs", "plain.txt")
T = 1_700_000_000.0
LEASE_S = 60.0
RECHECK_S = 300.0
BROKEN = Failure("unavailable", "Milvus did not answer", "Wait.")
STATS = RunStats(3, 2, 10, (("parse", 0.5), ("embed", 0.25)), Usage(tokens=1_200, pages=4, nano_usd=40_156_000))
# NFC and NFD twins, an undecodable name, NUL and control characters, quotes, slashes, emoji, 1,024 bytes.
HOSTILE_KEYS = (
    " ",
    "%2F+ %",
    "'; DROP TABLE objects; --",
    '" or file_name != "',
    "a\0b",
    "a\nb\tc\x7f",
    "a//b/",
    "k" * 1024,
    "undecodable-\udcff\udc80.txt",
    "\u1112\u1161\u11ab\u1100\u1173\u11af.txt",
    "한글.txt",
    "\U0001f600.txt",
    "\uffff",
)


def ids_of_run(run: int, chunks: int = 3) -> IdRanges:
    """Ids that belong to one run alone."""
    return IdRanges.of(range(run * 1000, run * 1000 + chunks))


class Desk:
    """A ledger with a worker at it: every step of an attempt in one short call."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def observe(self, *refs: ObjectRef, now: float = T, lane: Lane = Lane.LIVE) -> None:
        """Mark dirty."""
        self.ledger.observe(refs, lane, now)

    def take(self, now: float = T, limit: int = 10, owner: str = "w1") -> list[Claim]:
        """Claim what is due."""
        return self.ledger.claim(owner, limit, now, LEASE_S)

    def take_one(self, now: float = T) -> Claim:
        """Claim the only object that is due."""
        (claim,) = self.take(now)
        return claim

    def record(
        self, claim: Claim, outcome: Outcome = Outcome.INDEXED, collection: str = "docs", etag: str = "v1"
    ) -> Record:
        """What the claim's run made."""
        has_rows = outcome is Outcome.INDEXED
        is_failed = outcome is Outcome.FAILED
        return Record(
            ref=claim.ref,
            version=ObjectVersion(etag, 10, "ver", T - 5),
            outcome=outcome,
            recipe="recipe",
            content_hash="hash",
            collection=collection if has_rows else "",
            run=claim.run if has_rows else 0,
            ids=ids_of_run(claim.run) if has_rows else IdRanges(),
            chunk_count=3 if has_rows else 0,
            indexed_at=T,
            error_code="unreadable_document" if is_failed else "",
            error="깨진 파일" if is_failed else "",
            media_type="text/plain",
        )

    def commit(self, claim: Claim, outcome: Outcome = Outcome.INDEXED, now: float = T, etag: str = "v1") -> Record:
        """Commit what the claim's run made."""
        record = self.record(claim, outcome, etag=etag)
        assert self.ledger.commit([Commit(claim, record, "replace", STATS)], now) == [True]
        return record

    def settle(self, claim: Claim, now: float = T) -> SettleState:
        """Settle one claim."""
        (state,) = self.ledger.settle([claim], now, RECHECK_S)
        return state

    def retry(
        self, claim: Claim, now: float = T, due: float = T + 30, *, is_unclean: bool = False, is_charged: bool = True
    ) -> SettleState:
        """Give one claim back."""
        return self.ledger.retry(claim, BROKEN, now, due, is_unclean=is_unclean, is_charged=is_charged)

    def bury(self, claim: Claim, now: float = T) -> SettleState:
        """Bury one claim."""
        return self.ledger.bury(claim, BROKEN, now, RECHECK_S)

    def index(self, ref: ObjectRef, now: float = T, outcome: Outcome = Outcome.INDEXED) -> Record:
        """A whole round of work that ends well."""
        self.observe(ref, now=now)
        claim = self.take_one(now)
        assert claim.ref == ref
        record = self.commit(claim, outcome, now)
        assert self.settle(claim, now) is SettleState.DONE
        return record

    def fail(self, ref: ObjectRef, now: float = T) -> Record:
        """A whole round of work that ends as dead letter."""
        self.observe(ref, now=now)
        claim = self.take_one(now)
        record = self.commit(claim, Outcome.FAILED, now)
        assert self.bury(claim, now) is SettleState.DONE
        return record

    def outbox(self, now: float = T + 9999) -> list[str]:
        """Outcomes of the journal entries that wait."""
        return [entry.outcome for entry in self.ledger.outbox(now, 1000)]

    def keys(self, claims: Sequence[Claim]) -> list[str]:
        """Keys of claims, in their order."""
        return [claim.ref.key for claim in claims]

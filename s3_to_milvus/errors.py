"""The failures s3-to-milvus knows, and what the engine does with each family.

Adapters translate every vendor error into one of these, once, with ``raise ... from exc``.
"""

from typing import ClassVar

__all__ = [
    "Archived",
    "ConfigError",
    "DataInUse",
    "DiskFull",
    "DocumentTooLarge",
    "EncryptedDocument",
    "FatalError",
    "Forbidden",
    "Interrupted",
    "LeaseLost",
    "LedgerDamaged",
    "LedgerLost",
    "NoSuchBucket",
    "ParserCrashed",
    "ParserKilled",
    "ParserTimeout",
    "PermanentError",
    "QuotaExhausted",
    "RateLimited",
    "Rejected",
    "RemovalGuard",
    "S3ToMilvusError",
    "SchemaMismatch",
    "Superseded",
    "TooManyOpenFiles",
    "TransientError",
    "Unauthorized",
    "Unavailable",
    "UnreadableDocument",
    "UnsupportedFormat",
]


class S3ToMilvusError(Exception):
    """Root of all failures that s3-to-milvus raises on purpose.

    ``code`` is stable and machine readable, ``message`` is for people, ``hint`` names the next step.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    @property
    def told(self) -> str:
        """What happened and what to do, in one text for people."""
        return f"{self.message} {self.hint}".strip()


class TransientError(S3ToMilvusError):
    """May work later: retried with back-off, or at ``retry_after_s`` where the other side named a time."""

    code = "transient"
    default_hint = "It is retried by itself; if it stays, look at the service it names."

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class RateLimited(TransientError):
    """The other side asked us to slow down: waits, and is not charged as an attempt."""

    code = "rate_limited"
    default_hint = "It continues by itself; raise the limit of the service if this is too slow."


class Unavailable(TransientError):
    """The other side did not answer, or answered that it cannot just now."""

    code = "unavailable"
    default_hint = "It is retried by itself; check that the service is up and reachable."


class TooManyOpenFiles(Unavailable):
    """This process, or the whole machine, can open no more files: nothing is wrong with what it was to read."""

    code = "too_many_open_files"
    default_hint = "It is retried by itself; raise the limit of open files (ulimit -n) if it stays."


class NoSuchBucket(Unavailable):
    """There is no bucket of this name, or it is another account's: waits, since a wrong endpoint looks the same."""

    code = "no_such_bucket"
    default_hint = "Correct the bucket's name, the endpoint or the account; nothing is removed because of this."


class Interrupted(TransientError):
    """The service itself ended several times while this object was in work; nobody knows whether because of it."""

    code = "interrupted"
    default_hint = "Nothing is lost; to read it at once, run `s3-to-milvus retry KEY`."


class PermanentError(S3ToMilvusError):
    """This file will never work as it is: dead letter at once, with the reason."""

    code = "permanent"
    default_hint = "Change the file or the settings, then run `s3-to-milvus retry KEY`."


class UnsupportedFormat(PermanentError):
    """No parser on this object's route reads this kind of file."""

    code = "unsupported_format"
    default_hint = "Convert the file to a supported format, or leave it: nothing else is held up by it."


class UnreadableDocument(PermanentError):
    """The kind of file is known, but its bytes are damaged or not what they claim to be."""

    code = "unreadable_document"
    default_hint = "Open the file with its own program and save it again, then upload it once more."


class EncryptedDocument(UnreadableDocument):
    """The file asks for a password that we do not have."""

    code = "encrypted_document"
    default_hint = "Add its password to S2M_PARSING__PASSWORDS or to its route, or upload a copy without one."


class ParserTimeout(UnreadableDocument):
    """Parsing took longer than the limit and was stopped."""

    code = "parser_timeout"
    default_hint = "It is tried again by itself later; raise S2M_PARSING__TIMEOUT_S if files like this are expected."


class ParserCrashed(UnreadableDocument):
    """The parsing process died while it read this file (memory limit, crash of a native library)."""

    code = "parser_crashed"
    default_hint = (
        "It is tried again by itself later, and by a newer parser; raise S2M_PARSING__MEMORY_MB if files like this are "
        "expected."
    )


class ParserKilled(ParserCrashed):
    """The parsing process was killed while it read this file, most likely since the machine had no memory left."""

    code = "parser_killed"
    default_hint = "It is tried again by itself later; give the machine more memory, or parse fewer files at a time."


class DocumentTooLarge(PermanentError):
    """The file is over a size limit of the settings."""

    code = "document_too_large"
    default_hint = "Raise the limit that the message names, or split the file."


class Rejected(PermanentError):
    """Another service refuses this content for good (too long, forbidden value)."""

    code = "rejected"


class Archived(PermanentError):
    """The object lies in an archive storage class and can't be read; its rows are kept."""

    code = "archived"
    default_hint = "Restore the object in its store; it is looked at again when its state changes."


class FatalError(S3ToMilvusError):
    """Nothing will work until a person acts: the queue is held, no attempts are burnt.

    `Forbidden` and `SchemaMismatch` concern one object or collection: only that waits (`domain.retrying.is_for_all`).
    """

    code = "fatal"
    default_hint = "Run `s3-to-milvus doctor`."


class Unauthorized(FatalError):
    """Credentials are missing, wrong, or lack a right."""

    code = "unauthorized"
    default_hint = "Check the credentials and their rights; `s3-to-milvus doctor` names what is missing."


class Forbidden(Unauthorized):
    """We are known, and may not read this object or bucket: it waits with back-off, others are not held up."""

    code = "forbidden"


class QuotaExhausted(FatalError):
    """A paid quota is used up."""

    code = "quota_exhausted"


class DiskFull(QuotaExhausted):
    """A disk that the service writes to is full, over its quota or read-only."""

    code = "disk_full"
    default_hint = "Free some space, or make the disk writable; work goes on by itself, and nothing is lost."


class SchemaMismatch(FatalError):
    """A collection that exists cannot hold our rows (other dimension, missing field)."""

    code = "schema_mismatch"
    default_hint = "Use another collection name for this source, or the embedder the collection was made with."


class LedgerDamaged(FatalError):
    """The file of the ledger can't be read as it was written: nothing is written to it any more."""

    code = "ledger_damaged"
    default_hint = (
        "Stop the service. Restore a backup with `s3-to-milvus restore FOLDER`; or move the file away, with its -wal "
        "and -shm: at the next start everything is found in the source and indexed anew."
    )


class LedgerLost(FatalError):
    """The file of the ledger was deleted or replaced while open: nothing is written, what it knew last is read."""

    code = "ledger_lost"
    default_hint = (
        "Put the file back, or leave it, and restart the service: it goes on with the file that lies there then; "
        "without one, everything is found in the source and indexed anew."
    )


class Superseded(S3ToMilvusError):
    """The object changed while it was being read: reconcile it again at once; no failure."""

    code = "superseded"


class LeaseLost(S3ToMilvusError):
    """The claim's lease ran out and another run may own the object: stop, remove own rows."""

    code = "lease_lost"


class ConfigError(S3ToMilvusError):
    """The settings are wrong: refuse to start, and say where the value came from."""

    code = "config"
    default_hint = "Run `s3-to-milvus config` to see every value and where it came from."


class DataInUse(ConfigError):
    """Another process owns this data folder."""

    code = "data_in_use"
    default_hint = "Talk to the running service, stop it, or choose another folder with S2M_DATA_DIR."


class RemovalGuard(S3ToMilvusError):
    """A scan would remove so many objects that a person must confirm it first."""

    code = "removal_guard"
    default_hint = "If the removal is meant, run `s3-to-milvus sync SOURCE --yes`."

    def __init__(self, message: str, *, removals: int, indexed: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.removals = removals
        self.indexed = indexed

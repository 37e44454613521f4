"""Exit codes, and which failure ends in which."""

from s3_to_milvus.errors import ConfigError, FatalError, PermanentError, RemovalGuard, S3ToMilvusError

__all__ = ["FATAL", "INTERRUPTED", "IN_SYNC", "PERMANENT", "RETRYABLE", "USAGE", "code_of", "code_of_failures"]

IN_SYNC = 0
USAGE = 2
RETRYABLE = 5
PERMANENT = 6
FATAL = 7
INTERRUPTED = 130


def code_of(error: S3ToMilvusError) -> int:
    """The exit code of a command that ended with this error."""
    if isinstance(error, ConfigError | RemovalGuard):
        return USAGE
    if isinstance(error, FatalError):
        return FATAL
    return PERMANENT if isinstance(error, PermanentError) else RETRYABLE


def code_of_failures(failed: int, retrying: int) -> int:
    """The exit code for ``failed`` objects, of which ``retrying`` are still being tried: those come first, since
    running again helps them."""
    if retrying:
        return RETRYABLE
    return PERMANENT if failed else IN_SYNC

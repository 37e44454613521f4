"""What this process ran out of, told from what a document did wrong."""

import errno

from s3_to_milvus.errors import S3ToMilvusError, TooManyOpenFiles, Unavailable

__all__ = ["as_retryable", "without_blame"]

_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
_LIMITS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
)
_AGAIN_S = 5.0


def without_blame(error: Exception) -> Exception:
    """The same error, or `TooManyOpenFiles` where that is its cause, whatever was made of it on the way up."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError) and cause.errno in _NO_MORE_FILES:
            found = TooManyOpenFiles("This process, or the whole machine, has too many files open.")
            found.__cause__ = error
            return found
        seen.add(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return error


def as_retryable(error: Exception) -> Exception:
    """As `without_blame`; what else a machine says that is at its limits (a full disk) is `Unavailable`, unless an
    adapter has named it: no document is to blame."""
    error = without_blame(error)
    if isinstance(error, OSError) and not isinstance(error, S3ToMilvusError) and error.errno in _LIMITS:
        where = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return Unavailable(f"The machine is at its limits: {error.strerror}{where}.", retry_after_s=_AGAIN_S)
    return error

"""What this process ran out of, told from what a document did wrong."""

import errno

from s3_to_milvus.errors import TooManyOpenFiles

__all__ = ["without_blame"]

_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)


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

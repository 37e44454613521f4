"""What an S3 server's refusals mean to us. The codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from botocore import exceptions as vendor
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from s3_to_milvus.errors import (
    Archived,
    Forbidden,
    NoSuchBucket,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
)

__all__ = ["error_code", "is_not_modified", "saying_what_is_missing", "translated"]

_THROTTLED = {
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequests",
    "TooManyRequestsException",
}
_UNAUTHORIZED = {
    "AccountProblem",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "InvalidTokenId",
    "NotSignedUp",
    "PermanentRedirect",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
    "XAmzContentSHA256Mismatch",
}
_NO_RIGHT = {"AccessDenied", "403", "AllAccessDisabled"}
_RIGHTS = (
    "Grant s3:GetObject on the objects and s3:ListBucket on the bucket; "
    "without s3:ListBucket a missing key can't be told from a forbidden one."
)
_REJECTED = {"InvalidArgument", "InvalidBucketName", "InvalidRequest", "InvalidURI", "KeyTooLongError"}
_NO_CREDENTIALS = (
    vendor.NoCredentialsError,
    vendor.PartialCredentialsError,
    vendor.RefreshWithMFAUnsupportedError,
    vendor.SSOError,
    vendor.TokenRetrievalError,
)
_NETWORK = (vendor.BotoCoreError, HTTPError, ResponseParserError, OSError)
_NOT_MODIFIED = 304
_FORBIDDEN = {401, 403}
_TOO_MANY = 429
_SERVER_FAULT = 500


def error_code(error: vendor.ClientError) -> str:
    """The S3 error code, or the HTTP status as text where the server sent none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_not_modified(error: vendor.ClientError) -> bool:
    """True for the answer to a conditional GET: still the version that was named."""
    return _status(error) == _NOT_MODIFIED


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn every vendor error that leaves the block into one of ours; ``what`` was being done, for the message."""
    try:
        yield
    except vendor.ClientError as error:
        raise _refused(error, what) from error
    except _NO_CREDENTIALS as error:
        hint = "Set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile."
        raise Unauthorized(f"{what}: {error}", hint=hint) from error
    except (vendor.ParamValidationError, UnicodeEncodeError) as error:
        raise Rejected(f"{what}: no S3 server can have this name: {error}") from error
    except vendor.SSLError as error:
        hint = "Check the server's certificate, or name your own authority with ca_bundle."
        raise Unavailable(f"{what}: no trusted connection: {error}", hint=hint) from error
    except _NETWORK as error:
        raise Unavailable(f"{what}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def saying_what_is_missing(right: str) -> Iterator[None]:
    """Put the name of the right in front of a refusal that is about rights (not about who we are)."""
    try:
        yield
    except Forbidden as error:
        raise Forbidden(f"{right} is missing: {error.message}", hint=error.hint) from error.__cause__


def _refused(error: vendor.ClientError, what: str) -> S3ToMilvusError:
    code, status = error_code(error), _status(error)
    detail = str(error.response.get("Error", {}).get("Message", "")).strip()
    message = f"{what}: {code or status}" + (f": {detail}" if detail and detail != code else "")
    if code == "InvalidObjectState":
        return Archived(message)
    if code == "NoSuchBucket":
        return NoSuchBucket(f"{what}: there is no such bucket")
    if code in _THROTTLED or status == _TOO_MANY:
        return RateLimited(message, retry_after_s=_retry_after_s(error))
    if code in _NO_RIGHT:
        return Forbidden(message, hint=_RIGHTS)
    if code in _UNAUTHORIZED or (status in _FORBIDDEN and code != "RequestTimeout"):
        return Unauthorized(message, hint=_right_hint(code))
    if code in _REJECTED:
        return Rejected(message)
    return Unavailable(message, retry_after_s=_retry_after_s(error) if status >= _SERVER_FAULT else None)


def _right_hint(code: str) -> str | None:
    if code == "RequestTimeTooSkewed":
        return "Set this machine's clock."
    if code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}:
        return "Set region and endpoint_url to those of the bucket."
    return None


def _metadata(error: vendor.ClientError) -> Mapping[str, Any]:
    return error.response.get("ResponseMetadata", {})


def _status(error: vendor.ClientError) -> int:
    return int(_metadata(error).get("HTTPStatusCode", 0))


def _retry_after_s(error: vendor.ClientError) -> float | None:
    text = str(_metadata(error).get("HTTPHeaders", {}).get("retry-after", ""))
    return float(text) if text.isdecimal() else None

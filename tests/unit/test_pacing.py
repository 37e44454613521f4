"""What ``Retry-After`` asks for, by any service."""

import pytest

from s3_to_milvus.adapters.pacing import retry_after_s


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("999999", 86_400.0),
        ("Thu, 01 Jan 1970 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:01:30 -0000", 90.0),
        ("Wed, 31 Dec 1969 00:00:00 GMT", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_seconds_or_a_date_never_longer_than_a_day(text: str, expected: float | None) -> None:
    assert retry_after_s(text, now=0.0) == expected

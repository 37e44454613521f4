"""Dates of other programs: what span of time they can mean."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.file_dates import Span, read_date

SEOUL = ZoneInfo("Asia/Seoul")
MOMENT = datetime(2024, 5, 1, 0, 30, tzinfo=UTC).timestamp()  # 09:30 in Seoul
DAY_S = 86_400
LONG_AGO, FAR_OFF = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1971, 2200))


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T00:30:00Z",
        "2024-05-01T00:30:00+00:00",
        "2024-05-01 00:30:00.123456+00:00",
        "2024-05-01T09:30:00+09:00",
        "Wed, 01 May 2024 00:30:00 GMT",
        str(int(MOMENT)),
        f"{int(MOMENT)}123",
        f"{int(MOMENT)}.5",
    ],
)
def test_a_date_with_a_zone_means_one_second(text: str):
    assert read_date(text) == Span(MOMENT, MOMENT + 1)
    assert read_date(text, SEOUL) == Span(MOMENT, MOMENT + 1)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01 09:30:00",
        " 2024-05-01T09:30:00 ",
        "20240501093000",
        "20240501T093000",
        "2024.05.01 09:30:00",
        "2024. 5. 1. 09:30:00",
        "2024/5/1 09:30:00",
        "2024년 5월 1일 09:30:00",
        "2024-05-01 09:30:00,123",
    ],
)
def test_a_date_without_a_zone_is_read_in_the_given_one(text: str):
    assert read_date(text, SEOUL) == Span(MOMENT, MOMENT + 1)
    anywhere = read_date(text)
    assert anywhere is not None
    local = MOMENT + 9 * 3_600
    assert (anywhere.earliest, anywhere.latest) == (local - 14 * 3_600, local + 12 * 3_600 + 1)


@pytest.mark.parametrize("text", ["2024-05-01", "2024.05.01", "2024. 5. 1.", "2024/05/01", "20240501"])
def test_a_day_means_the_whole_of_it(text: str):
    start = datetime(2024, 5, 1, tzinfo=SEOUL).timestamp()
    assert read_date(text, SEOUL) == Span(start, start + DAY_S)


@pytest.mark.parametrize("text", ["", "어제", "2024", "2024-13-01", "v1.2", "99999999999999", "0001-01-01", "x" * 255])
def test_what_is_no_date_is_none(text: str):
    assert read_date(text) is None


@given(st.text(max_size=30))
def test_any_text_is_answered(text: str):
    found = read_date(text)
    assert found is None or found.earliest < found.latest


@given(
    st.datetimes(LONG_AGO, FAR_OFF),
    st.integers(-12 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_the_moment_lies_in_the_span_wherever_it_was_written(local: datetime, offset: timedelta):
    meant = (local - offset).replace(tzinfo=UTC).timestamp()
    for text in (local.isoformat(), local.strftime("%Y-%m-%d"), local.strftime("%Y.%m.%d %H:%M:%S")):
        span = read_date(text)
        assert span is not None
        assert span.earliest <= meant < span.latest

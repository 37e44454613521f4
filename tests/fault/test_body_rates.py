"""How slowly a body may come: by its rate, not by its size."""

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from s3_to_milvus.web.bodies import Body, Pool, Room
from tests.support.virtual_time import in_virtual_time

MB = 1 << 20
ROOM = Room(100 * MB, Pool(512 * MB), is_reserved=True)


async def _received(pieces: list[tuple[float, int]], declared: int = 0) -> int:
    """Status after a body whose pieces come after so many seconds each; 200 where all of it was taken."""
    left = list(pieces)

    async def receive() -> Message:
        pause_s, size = left.pop(0)
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(left)}

    body = Body(receive, ROOM, declared)
    try:
        while not body.is_whole:
            await body.receive()
        return 200
    except HTTPException as error:
        return error.status_code
    finally:
        body.release()
        assert ROOM.pool.used_bytes == 0


@pytest.mark.parametrize("rate", [16_384, 125_000, 1_250_000])
@pytest.mark.parametrize("piece", [1_024, 65_536])
def test_honest_lines_are_waited_for_however_long_it_takes(rate: int, piece: int) -> None:
    count = (8 if piece == 1_024 else 90) * MB // piece
    status, took_s = in_virtual_time(_received([(piece / rate, piece)] * count, count * piece))
    assert status == 200
    assert took_s == pytest.approx(count * piece / rate, rel=0.01)


def test_a_pause_is_no_fault() -> None:
    pieces = [(0.01, 65_536)] * 10 + [(15.0, 65_536)] + [(0.01, 65_536)] * 10
    assert in_virtual_time(_received(pieces * 3))[0] == 200


@pytest.mark.parametrize(
    "pieces", [[(1e6, 1)], [(1.0, 1)] * 10_000, [(1.0, 4_096)] * 10_000, [(0.01, 60_000), (1e6, 1)]]
)
def test_holding_the_line_is(pieces: list[tuple[float, int]]) -> None:
    status, took_s = in_virtual_time(_received(pieces))
    assert status == 408
    assert took_s <= 60


def test_what_is_there_is_never_late() -> None:
    assert in_virtual_time(_received([(0.0, 65_536)] * 1_000)) == (200, 0.0)

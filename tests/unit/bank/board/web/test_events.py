"""The live feed: bounded in subscribers and in memory, and it ends when the daemon does."""

import asyncio
import json

import pytest

from bank.board.feed import Batch
from bank.board.web.events import QUEUE_ROUNDS, Hub
from mixmint.errors import Unavailable


async def test_each_subscriber_gets_each_event() -> None:
    """Event name, id and data, as the standard has them."""
    hub = Hub(2)
    feeds = [hub.subscribe(), hub.subscribe()]
    for feed in feeds:
        assert (await anext(feed)).startswith(b":")
    hub.publish(7, b"{}")
    for feed in feeds:
        assert await anext(feed) == b"event: round\nid: 7\ndata: {}\n\n"
        await feed.aclose()
    assert len(hub) == 0


async def test_a_slow_subscriber_is_dropped_and_the_others_are_not() -> None:
    """Nobody waits for him, and what he holds is bounded."""
    evicted: list[int] = []
    hub = Hub(2, lambda: evicted.append(1))
    slow, quick = hub.subscribe(), hub.subscribe()
    await anext(slow)
    await anext(quick)
    for number in range(QUEUE_ROUNDS + 1):
        hub.publish(number, b"{}")
        await anext(quick)
    assert (len(hub), evicted) == (1, [1])
    assert len([event async for event in slow]) == QUEUE_ROUNDS - 1
    hub.publish(99, b"{}")
    assert b"id: 99" in await anext(quick)


async def test_there_is_a_limit_and_a_place_becomes_free_again() -> None:
    """A stranger can't take the board's memory by subscribing."""
    hub = Hub(1)
    first = hub.subscribe()
    await anext(first)
    with pytest.raises(Unavailable):
        await anext(hub.subscribe())
    await first.aclose()
    assert await anext(hub.subscribe())


async def test_silence_is_broken_by_comments() -> None:
    """So that a proxy doesn't close a quiet feed."""
    feed = Hub(1).subscribe(idle_s=0.01)
    assert [await anext(feed), await anext(feed)] == [b": still here\n\n"] * 2


async def test_over_http_a_closed_round_is_told_at_once(start_board, mint) -> None:
    """The data is the same as in /api/v1/rounds."""
    board = await start_board(subscribers=1)
    async with board.session.get(board.url + "/events") as response:
        assert response.content_type == "text/event-stream"
        await response.content.readuntil(b"\n\n")
        value = board.board.metrics.registry.get_sample_value
        assert value("mixmint_board_subscribers") == 1
        async with board.session.get(board.url + "/events") as refused:
            assert refused.status == 503
            assert (await refused.json())["error"] == "unavailable"
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        await board.close_round()
        event = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
        name, number, data = event.decode().splitlines()[:3]
        assert (name, number) == ("event: round", "id: 1")
        async with board.session.get(board.url + "/api/v1/rounds") as page:
            assert [json.loads(data.removeprefix("data: "))] == (await page.json())["rounds"]


async def test_a_feed_ends_when_the_board_stops(start_board) -> None:
    """An open feed must not hold up a restart."""
    board = await start_board()
    async with board.session.get(board.url + "/events") as response:
        await response.content.readuntil(b"\n\n")
        board.board.hub.close()
        assert await asyncio.wait_for(response.content.read(), 5) == b""

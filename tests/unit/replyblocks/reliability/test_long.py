"""A request and an answer of 1 MiB through mixes that drop packets: only what is missing is sent again."""

import asyncio
import os
from pathlib import Path

from replyblocks.delivery import Delivery
from replyblocks.long.formats import MOST_PAIRS
from replyblocks.long.parts import MOST_BYTES, count_parts
from replyblocks.post import Post
from tests.unit.replyblocks.reliability.paper_packets import on_paper
from tests.unit.replyblocks.reliability.town import Town

REQUEST_BYTES = MOST_BYTES - len(b"done: ")


def test_a_mebibyte_both_ways_while_every_mix_drops_packets(tmp_path: Path) -> None:
    """It arrives whole, is worked on once, and few packets are too many; its state can be seen all along."""
    body, seen = os.urandom(REQUEST_BYTES), set()

    async def ask(posts: list[Post]) -> None:
        (post,) = posts
        request_id, expires_s = os.urandom(16), int(town.now_s() + post.long_lifetime_s)
        asking = asyncio.create_task(post.ask_long("echo", request_id, body, expires_s, post.long_lifetime_s))
        while not asking.done():
            await asyncio.sleep(5)
            seen.update(request.delivery for request in post.requests())
        assert await asking == b"done: " + body

    with on_paper():
        town = Town(tmp_path, drop=0.05)
        town.visit(1, ask)
    parts = count_parts(MOST_BYTES)
    needed = parts + parts + parts / MOST_PAIRS
    assert town.network.cascade.submitted / needed <= 1.4
    assert town.executed == {body: 1}
    assert {Delivery.SENT, Delivery.AT_SERVICE, Delivery.ANSWERED} <= seen

"""A claim put on the board over a real cascade, by a customer whom nobody sees; and read back by everyone."""

import asyncio
import os
import time
from pathlib import Path

import aiohttp

from bank.board.claims.client import submit, submit_over_mixes
from bank.board.reading.client import BoardReader, Cursor
from bank.formats.claim import Claim
from bank.formats.entry import ClaimEntry
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.integration.board.test_mixes import make
from tests.unit.bank.board.claims.claimants import claim


async def test_a_claim_over_the_mixes_is_on_the_board_once(tmp_path: Path) -> None:
    """In two packets; the same over HTTP afterwards names the same round."""
    network, url = make(tmp_path)
    try:
        await network.start()
        member = create_member(tmp_path / "member", network.network_file, "g1")
        key = member.directory.service("board").identity
        claimed = claim(*range(1, 9))
        data = claimed.entry().encode()
        async with Post(member) as post, aiohttp.ClientSession() as session:

            async def ask(body: bytes) -> bytes:
                conversation = os.urandom(16)
                try:
                    expires_s = int(time.time()) + 3600
                    return await post.ask("board", conversation, body, expires_s, timeout_s=30)
                finally:
                    post.forget(conversation)

            receipt = await submit_over_mixes(ask, key, data)
            assert receipt.holds(key, data)
            async with asyncio.timeout(90):
                async for round_ in BoardReader.at(url, key, session).follow(Cursor(), poll_s=0.05):
                    if round_.number == receipt.round:
                        break
            (entry,) = round_.entries
            assert isinstance(entry, ClaimEntry)
            assert Claim.decode(entry.body) == claimed
            again = await submit(url, key, data, session)
            assert (again.leaf, again.round) == (receipt.leaf, receipt.round)
    finally:
        network.kill()

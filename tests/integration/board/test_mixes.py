"""The board read over a real cascade, by a member who is nobody to it."""

import os
import time
from pathlib import Path

import aiohttp

from bank.board.anonymous import DistantLog
from bank.board.feed import Batch, FeedClient
from bank.board.reading.client import BoardReader, Cursor, log_key
from bank.formats.entry import AccountEntry, decode_entry
from mixmint.keys import SigningKey
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.integration.network.harness import Daemon, Network, make_network, mixmint
from tests.ports import free_ports

BANK = SigningKey(b"b" * 32)


def make(folder: Path) -> tuple[Network, str]:
    """A cascade, and a board behind g2 that takes the test's feed; its address."""
    port, operations = free_ports(2)
    words = ("--gateway", "g2", "--host", "127.0.0.1", "--port", port, "--operations-port", operations)
    mixmint("board", "init", folder / "board", *words, "--round-ms", 100, "--bank-key", BANK.public.hex())
    network = make_network(folder, extra=[folder / "board" / "descriptor"])
    network.daemons["board"] = Daemon("board", "board", folder / "board" / "board.toml", operations, 0)
    return network, f"http://127.0.0.1:{port}"


async def test_rounds_read_over_the_mixes_pass_every_check(tmp_path: Path) -> None:
    """What comes by packets is what comes by HTTP, proved under the key that the directory lists."""
    network, url = make(tmp_path)
    try:
        await network.start()
        member = create_member(tmp_path / "member", network.network_file, "g1")
        key = member.directory.service("board").identity
        entries = [AccountEntry(bytes([n]) * 32).encode() for n in range(3)]
        cursor = Cursor()
        async with aiohttp.ClientSession() as session:
            feed = FeedClient(url, key, BANK, session)
            receipt = await feed.feed(Batch(1, [entries]))
            async for round_ in BoardReader.at(url, key, session).follow(Cursor(), poll_s=0.05):
                if round_.number == receipt.round:
                    break
                cursor = round_.after
        async with Post(member) as post:

            async def ask(body: bytes) -> bytes:
                conversation = os.urandom(16)
                try:
                    expires_s = int(time.time()) + 3600
                    return await post.ask("board", conversation, body, expires_s, timeout_s=30)
                finally:
                    post.forget(conversation)

            reader = BoardReader(DistantLog(ask, log_key(url, key)))
            (found,) = await reader.rounds(cursor, most=1)
        assert found == round_
        assert found.entries == tuple(decode_entry(entry) for entry in entries)
    finally:
        network.kill()

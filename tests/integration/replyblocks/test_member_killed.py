"""A member's process, killed with SIGKILL at named steps, over a real cascade; then a new one goes on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replyblocks.address import Address
from replyblocks.echo import read_echo
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.integration.network.harness import Network
from tests.integration.replyblocks.echoing import with_echo

REQUEST_ID = bytes(range(16))
BODY = b"asked once"

# What dies, and where: `die` kills the process as soon as it is called (before) or has returned (after).
DYING = """
import asyncio, os, signal, sys, time
from pathlib import Path
from replyblocks.intake import Intake
from replyblocks.member import open_member
from replyblocks.post import Post
from mix.endpoint import GatewayClient

def die(owner, name, when):
    honest = getattr(owner, name)
    def kill():
        os.kill(os.getpid(), signal.SIGKILL)
    def dying(*arguments):
        if when == "before":
            kill()
        result = honest(*arguments)
        kill()
    async def dying_later(*arguments):
        if when == "before":
            kill()
        await honest(*arguments)
        kill()
    setattr(owner, name, dying_later if asyncio.iscoroutinefunction(honest) else dying)

async def main(home, owner, name, when):
    async with Post(open_member(Path(home))) as post:
        await post.reach()
        die({"Intake": Intake, "GatewayClient": GatewayClient}[owner], name, when)
        await post.ask("echo", bytes(range(16)), b"asked once", int(time.time()) + 300, 30)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One for all: members come and go, and no daemon of it is stopped."""
    made = with_echo(tmp_path_factory.mktemp("network"))
    try:
        asyncio.run(made.start())
        yield made
    finally:
        made.kill()


@pytest.mark.parametrize("anchor", ["submit-before", "submit-after", "take-before", "take-after"])
async def test_killed_at_a_step_and_asked_again(network: Network, tmp_path: Path, anchor: str) -> None:
    """
    Killed before or after the gateway has the request, before or after the answer is stored: the next process
    gets the answer, and the service worked on the request once.
    """
    step, when = anchor.split("-")
    owner = "GatewayClient" if step == "submit" else "Intake"
    member = create_member(tmp_path / "alice", network.network_file, "g1")
    words = [sys.executable, "-c", DYING, member.home, owner, step, when]
    died = await asyncio.to_thread(subprocess.run, words, timeout=180, check=False)
    assert died.returncode == -signal.SIGKILL
    async with Post(member) as post:
        answer = await post.ask("echo", REQUEST_ID, BODY, int(time.time()) + 300, 60)
    assert read_echo(answer, BODY) > 0
    async with Post(member) as post:
        assert await post.ask("echo", REQUEST_ID, BODY, int(time.time()) + 300, 0) == answer


async def test_a_message_whose_reader_was_killed_is_there_once(network: Network, tmp_path: Path) -> None:
    """Stored and not acknowledged: the same packets come again, and the message doesn't."""
    member = create_member(tmp_path / "alice", network.network_file, "g1")
    async with Post(member) as post:
        post.messages.outbox.queue(Address.of(member), "to myself, " + os.urandom(3000).hex(), time.time())
        await post.send_queued()
    words = [sys.executable, "-c", DYING, member.home, "Intake", "take", "after"]
    # It dies with the first batch that it has stored.
    died = await asyncio.to_thread(subprocess.run, words, timeout=180, check=False)
    assert died.returncode == -signal.SIGKILL
    async with Post(member) as post:
        while not post.messages.inbox.all():
            await post.poll(5)
        await post.poll(0.5)
        assert len(post.messages.inbox.all()) == 1

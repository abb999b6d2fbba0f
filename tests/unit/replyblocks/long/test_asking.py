"""Long requests with real packets: cut, encrypted, lost, acknowledged, put together."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mixmint.errors import PeerError, PendingError, UserError
from replyblocks.long.box import LONG_SCHEMA
from replyblocks.long.hosting import LongHost
from replyblocks.long.parts import MOST_BYTES
from replyblocks.member import create_member
from replyblocks.post import Post
from replyblocks.remembering import Remembering, open_answers
from replyblocks.service import Request, ServiceHost
from tests.unit.replyblocks.fake_network import NOW_S, FakeNetwork
from tests.unit.replyblocks.reliability.town import InlineWriter
from tests.unit.replyblocks.reliability.virtual import VirtualLoop

Ask = Callable[[Post, ServiceHost], Awaitable[None]]


def now_s() -> float:
    return NOW_S + asyncio.get_running_loop().time()


def run(folder: Path, network: FakeNetwork, ask: Ask, *, takes_long: bool = True) -> list[bytes]:
    """A member and a service that doubles what it is asked; the bodies that it worked on."""
    worked_on: list[bytes] = []

    def double(_: object, request: Request) -> bytes:
        worked_on.append(request.body)
        return (2 * request.body)[: request.most_answer_bytes]

    async def main() -> None:
        connection = open_answers(folder / "answers.db", (LONG_SCHEMA,))
        writer = InlineWriter(connection)
        host = ServiceHost(
            network.directory,
            "echo",
            network.service_link("echo"),
            network.services["echo"].endpoint,
            Remembering(writer, double, now_s=now_s),  # type: ignore[arg-type]  # a writer without its thread
            long=LongHost(writer) if takes_long else None,  # type: ignore[arg-type]  # the same
            now_s=now_s,
        )

        async def deliver() -> None:
            while True:
                network.deliver()
                await asyncio.sleep(0.1)

        tasks = [asyncio.create_task(host.run()), asyncio.create_task(deliver())]
        member = create_member(folder / "alice", network.write(folder / "network"), "g2", NOW_S)
        async with Post(member, network.link(member.owner), now_s=now_s) as post:
            await ask(post, host)
        for task in tasks:
            task.cancel()
        connection.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return worked_on


def test_parts_that_are_lost_are_sent_again_and_no_others(tmp_path: Path) -> None:
    """Every fifth packet is lost: request and answer arrive whole, and the work is done once."""
    body = os.urandom(20_000)
    count = 0

    def lose(_: bytes) -> int:
        nonlocal count
        count += 1
        return 0 if count % 5 == 0 else 1

    async def ask(post: Post, host: ServiceHost) -> None:
        request_id, expires_s = os.urandom(16), int(now_s() + 10_000)
        assert await post.ask_long("echo", request_id, body, expires_s, 9000) == 2 * body
        assert await post.ask_long("echo", request_id, body, expires_s, 0) == 2 * body
        with pytest.raises(UserError, match="another request"):
            await post.ask_long("echo", request_id, b"other", expires_s, 0)
        post.forget(request_id)
        assert not post.requests()
        left = post._store.connection.execute("SELECT (SELECT COUNT(*) FROM long_part), COUNT(*) FROM block")
        assert left.fetchone() == (0, 0)

    network = FakeNetwork(tick_ms=50, weather=lose)
    assert run(tmp_path, network, ask) == [body]
    # 11 parts there, 21 back and 3 questions, and a fifth of them again, and again.
    assert network.submitted <= 55


def test_a_service_that_takes_no_long_requests_drops_them(tmp_path: Path) -> None:
    """In silence and counted, as everything that makes no sense to it."""

    async def ask(post: Post, host: ServiceHost) -> None:
        with pytest.raises(PendingError):
            await post.ask_long("echo", os.urandom(16), bytes(3000), int(now_s() + 600), 300)
        assert host.outcomes.labels("format")._value.get() >= 3

    assert run(tmp_path, FakeNetwork(tick_ms=50), ask, takes_long=False) == []


def test_one_id_stands_for_one_request_short_or_long(tmp_path: Path) -> None:
    """The answer of one form may not fit the other, so the other form of the same id is refused."""

    async def ask(post: Post, host: ServiceHost) -> None:
        request_id, expires_s = os.urandom(16), int(now_s() + 600)
        assert await post.ask_long("echo", request_id, bytes(1400), expires_s, 300) == bytes(2800)
        with pytest.raises(PeerError, match="refused"):
            await post.ask("echo", request_id, bytes(1400), expires_s, 300)
        other = os.urandom(16)
        assert await post.ask("echo", other, b"short", expires_s, 300) == b"shortshort"
        with pytest.raises(PeerError, match="refused"):
            await post.ask_long("echo", other, b"short", expires_s, 300)

    assert len(run(tmp_path, FakeNetwork(tick_ms=50), ask)) == 2


def test_what_is_too_long_is_not_begun(tmp_path: Path) -> None:
    """Nothing is stored or sent."""

    async def ask(post: Post, host: ServiceHost) -> None:
        with pytest.raises(ValueError, match="at most"):
            await post.ask_long("echo", os.urandom(16), bytes(MOST_BYTES + 1), int(now_s() + 600), 1)
        assert not post.requests()

    network = FakeNetwork(tick_ms=50)
    assert run(tmp_path, network, ask) == []
    assert network.submitted == 0

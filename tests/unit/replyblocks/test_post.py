"""Conversations from end to end, over a network in one process."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from mix.packet.build import build_forward, build_reply_block, use_reply_block
from mixmint.errors import PeerError, PendingError, Unavailable, UserError
from replyblocks.member import create_member, open_member
from replyblocks.post import ExpiredError, Post
from replyblocks.service import Request, ServiceHost
from tests.unit.replyblocks.fake_network import FakeNetwork

LATER_S = 600


class Upper:
    """Answers with the body in capitals, and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[Request]] = []

    async def handle(self, requests: Sequence[Request]) -> list[bytes]:
        self.batches.append(list(requests))
        return [request.body.upper() for request in requests]

    @property
    def asked(self) -> int:
        return sum(len(batch) for batch in self.batches)


@asynccontextmanager
async def hosted(network: FakeNetwork, handler: object, name: str = "echo") -> AsyncIterator[ServiceHost]:
    """A service host that runs while inside."""
    host = ServiceHost(
        network.directory, name, network.service_link(name), network.services[name].endpoint, handler
    )
    task = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def make_network(weather: Callable[[bytes], int] | None = None, **options: object) -> FakeNetwork:
    return FakeNetwork(now_s=time.time(), weather=weather, **options)


def make_post(tmp_path: Path, network: FakeNetwork, name: str = "alice") -> Post:
    home = tmp_path / name
    if (home / "member.key").exists():
        member = open_member(home)
    else:
        member = create_member(home, network.write(tmp_path / f"{name}-network"), "g2")
    return Post(member, network.link(member.owner))


def expiry() -> int:
    return int(time.time()) + LATER_S


async def test_a_request_is_answered(tmp_path: Path) -> None:
    """Request and answer go through the cascade, and the mailbox is acknowledged on both sides."""
    network, handler = make_network(), Upper()
    async with hosted(network, handler), make_post(tmp_path, network) as post:
        assert await post.ask("echo", os.urandom(16), b"hello", expiry(), 5) == b"HELLO"
    assert handler.asked == 1
    assert not network.boxes[post.member.owner.public].items


async def test_many_asks_at_once_share_one_poller(tmp_path: Path) -> None:
    """Each asker gets his own answer, and the gateway sees one fetch at a time."""
    network = make_network()
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        bodies = [f"body {number}".encode() for number in range(20)]
        asks = [post.ask("echo", os.urandom(16), body, expiry(), 5) for body in bodies]
        assert await asyncio.gather(*asks) == [body.upper() for body in bodies]


async def test_the_stored_answer_is_given_without_asking_again(tmp_path: Path) -> None:
    """The same id gives the same answer in a later process, until it is forgotten."""
    network, handler, request_id = make_network(), Upper(), os.urandom(16)
    async with hosted(network, handler), make_post(tmp_path, network) as post:
        await post.ask("echo", request_id, b"hello", expiry(), 5)
    async with make_post(tmp_path, network) as post:
        assert await post.ask("echo", request_id, b"hello", expiry(), 0) == b"HELLO"
        assert handler.asked == 1
        with pytest.raises(UserError, match="another request"):
            await post.ask("echo", request_id, b"other", expiry(), 0)
        post.forget(request_id)
        post.forget(request_id)
        with pytest.raises(PendingError):
            await post.ask("echo", request_id, b"hello", expiry(), 0)


async def test_time_that_is_up_is_pending_and_the_answer_is_found_later(tmp_path: Path) -> None:
    """A service that comes late answers a request whose asker has gone and come back."""
    network, request_id = make_network(), os.urandom(16)
    network.service_link("echo")
    async with make_post(tmp_path, network) as post:
        with pytest.raises(PendingError, match=r"no answer from echo yet$"):
            await post.ask("echo", request_id, b"hello", expiry(), 0.05)
    async with hosted(network, Upper()):
        await asyncio.sleep(0)
    async with hosted(network, Upper()) as host, make_post(tmp_path, network) as post:
        assert await post.ask("echo", request_id, b"hello", expiry(), 5) == b"HELLO"
    assert host.outcomes.labels("answered")._value.get() <= 1


async def test_a_lost_request_is_sent_again(tmp_path: Path) -> None:
    """The first sending is lost; the resend brings the answer, by both of its reply blocks."""
    seen: list[bytes] = []

    def lose_first(packet: bytes) -> int:
        seen.append(packet)
        return 0 if len(seen) == 1 else 1

    network = make_network(lose_first, tick_ms=0)

    async def deliver() -> None:
        while True:
            network.deliver()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(deliver())
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        assert await post.ask("echo", os.urandom(16), b"hello", expiry(), 5) == b"HELLO"
    task.cancel()
    assert network.submitted == 2 + 2


async def test_nobody_waits_for_the_long_poll_of_another(tmp_path: Path) -> None:
    """While one asks and nothing comes, others reach the gateway, resume and ask at once."""
    network, resumed = make_network(), os.urandom(16)
    network.service_link("echo")
    async with make_post(tmp_path, network) as post:
        with pytest.raises(PendingError):
            await post.ask("echo", resumed, b"hello", expiry(), 0)
    async with make_post(tmp_path, network) as post:
        waiting = asyncio.create_task(post.ask("echo", os.urandom(16), b"first", expiry(), 60))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await post.reach()
            await post.poll(0)
            with pytest.raises(PendingError):
                await post.ask("echo", resumed, b"hello", expiry(), 0)
        waiting.cancel()


async def test_a_sending_that_the_gateway_refuses_does_not_count(tmp_path: Path) -> None:
    """A wrong clock, say: the caller hears of it, and mends it before a resend is used up."""
    network, request_id = make_network(), os.urandom(16)
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        link, honest = post._given_link, post._given_link.submit

        async def refuse(_: object) -> None:
            raise UserError("this machine's clock is 900 s behind")

        link.submit = refuse
        with pytest.raises(UserError, match="clock"):
            await post.ask("echo", request_id, b"hello", expiry(), 5)
        kept = post._store.conversation(request_id)
        assert kept is not None
        assert kept.sendings == 0
        link.submit = honest
        assert await post.ask("echo", request_id, b"hello", expiry(), 5) == b"HELLO"


async def test_a_second_answer_by_the_same_block_is_dropped(tmp_path: Path) -> None:
    """A gateway that hands out an answer packet twice changes nothing."""
    network = make_network()
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        request_id = os.urandom(16)
        await post.ask("echo", request_id, b"hello", expiry(), 5)
        network.put(*network.delivered[-1])
        await post.poll(0)
        assert post.intake.dropped["block"] == 1
        assert await post.ask("echo", request_id, b"hello", expiry(), 5) == b"HELLO"


async def test_killed_between_storing_and_acknowledging(tmp_path: Path) -> None:
    """
    The answer is stored and the process dies: the items come again, are dropped, and the answer is there.
    """
    network, request_id = make_network(), os.urandom(16)
    async with hosted(network, Upper()):
        async with make_post(tmp_path, network) as post:
            post._given_link.loses_acknowledgements = True
            await post.ask("echo", request_id, b"hello", expiry(), 5)
        async with make_post(tmp_path, network) as post:
            await post.poll(0)
            assert post.intake.dropped["block"] == 1
            assert await post.ask("echo", request_id, b"hello", expiry(), 0) == b"HELLO"


async def test_a_crash_before_the_commit_uses_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer can't be stored: its block isn't used, nothing is acknowledged; the next process gets it."""
    network, request_id = make_network(), os.urandom(16)
    async with hosted(network, Upper()):
        async with make_post(tmp_path, network) as post:
            with monkeypatch.context() as patch:
                patch.setattr(post._store, "forget_blocks", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await post.ask("echo", request_id, b"hello", expiry(), 5)
            kept = post._store.conversation(request_id)
            assert kept is not None
            assert kept.answer is None
        async with make_post(tmp_path, network) as post:
            assert (await post.poll(0)).answers == 1
            assert not post.intake.dropped
            assert await post.ask("echo", request_id, b"hello", expiry(), 0) == b"HELLO"


async def test_a_changed_answer_is_dropped_and_a_resend_brings_another(tmp_path: Path) -> None:
    """A body that was changed on the way uses up its block; the resend's blocks are others."""
    network = make_network(tick_ms=0)
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        honest, changed = network.put, []

        def change_first(token: bytes, packet: bytes) -> None:
            if token == post.member.replies.token and not changed:
                changed.append(packet)
                packet = packet[:-1] + bytes([packet[-1] ^ 1])
            honest(token, packet)

        network.put = change_first
        assert await post.ask("echo", os.urandom(16), b"hello", expiry(), 5) == b"HELLO"
        assert post.intake.dropped["body"] == 1
        network.put(post.member.replies.token, changed[0])
        await post.poll(0)
        assert post.intake.dropped["block"] >= 1


async def test_answers_to_the_address_and_letters_to_the_blocks_are_dropped(tmp_path: Path) -> None:
    """Each mailbox takes its own kind only: nobody can test whether two of them are one person's."""
    network = make_network()
    async with make_post(tmp_path, network) as post:
        await post.reach()
        member, now_s = post.member, time.time()
        for mailbox in (member.address, member.replies):
            route = network.directory.route("g2", mailbox.token, mailbox.endpoint.public, now_s)
            block, _ = build_reply_block(route, int(now_s) + 3600)
            network.accept([use_reply_block(block, b"hello"), build_forward(route, b"\x04" + bytes(16))])
        await post.poll(0)
        # The stranger's block is none of ours; a loop to the address is a stranger's, and means nothing.
        assert post.intake.dropped == {"command": 2, "block": 1}
        assert not post.loops


async def test_a_gateway_that_is_away_leaves_the_request_on_disk(tmp_path: Path) -> None:
    """Nothing was taken, so no sending is counted; when the gateway is back the request goes out."""
    network, handler, request_id = make_network(), Upper(), os.urandom(16)
    async with hosted(network, handler):
        async with make_post(tmp_path, network) as post:
            network.is_down = True
            with pytest.raises(Unavailable):
                await post.reach()
            with pytest.raises(PendingError, match="can't be reached"):
                await post.ask("echo", request_id, b"hello", expiry(), 0.05)
            kept = post._store.conversation(request_id)
            assert kept is not None
            assert (kept.sendings, kept.body) == (0, b"hello")
        network.is_down = False
        async with make_post(tmp_path, network) as post:
            await post.reach()
            assert await post.ask("echo", request_id, b"hello", expiry(), 5) == b"HELLO"


async def test_a_submission_whose_answer_is_lost_is_submitted_again(tmp_path: Path) -> None:
    """
    The gateway had the packet; the same packet again is stopped as a replay, and the request is done once.
    """
    network, handler = make_network(), Upper()
    async with hosted(network, handler), make_post(tmp_path, network) as post:
        post._given_link.fail_submit_after = 1
        assert await post.ask("echo", os.urandom(16), b"hello", expiry(), 5) == b"HELLO"
    assert (handler.asked, network.replays) == (1, 1)


async def test_an_expired_request_says_so_and_can_be_asked_anew(tmp_path: Path) -> None:
    """The service drops what has expired; a later expiry begins the same request again."""
    network, request_id = make_network(), os.urandom(16)
    network.service_link("echo")
    async with make_post(tmp_path, network) as post:
        with pytest.raises(ExpiredError):
            await post.ask("echo", request_id, b"hello", int(time.time()) - 1000, 5)
        async with hosted(network, Upper()):
            assert await post.ask("echo", request_id, b"hello", expiry(), 5) == b"HELLO"


async def test_a_service_that_refuses_is_heard(tmp_path: Path) -> None:
    """An empty answer means that the id stands for another request."""

    class Refusing:
        async def handle(self, requests: Sequence[Request]) -> list[bytes]:
            return [b"" for _ in requests]

    network = make_network()
    async with hosted(network, Refusing()), make_post(tmp_path, network) as post:
        with pytest.raises(PeerError, match="refused"):
            await post.ask("echo", os.urandom(16), b"hello", expiry(), 5)


async def test_two_posts_of_one_home_never_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one gives up after some seconds; a post that was closed lets the next one in."""
    network = make_network()
    async with make_post(tmp_path, network):
        monkeypatch.setattr("replyblocks.member.lock_home.__wrapped__.__defaults__", (0.01,))
        with pytest.raises(UserError, match="another mixmint command"):
            async with make_post(tmp_path, network):
                pytest.fail("two commands held the lock")
    async with make_post(tmp_path, network):
        pass


async def test_the_database_holds_nothing_in_the_clear(tmp_path: Path) -> None:
    """Neither ids, which a service knows, nor bodies or tokens can be found in a copied file."""
    network, request_id = make_network(), os.urandom(16)
    async with hosted(network, Upper()), make_post(tmp_path, network) as post:
        await post.ask("echo", request_id, b"a body nobody may read", expiry(), 5)
        files = b"".join(path.read_bytes() for path in (tmp_path / "alice").glob("post.db*"))
        member = post.member
    for secret in (request_id, b"a body nobody", b"A BODY", member.address.token, member.replies.token):
        assert secret not in files

"""From payer to payee by a request's reply blocks, over a network in one process."""

import time
from pathlib import Path

import pytest

from mixmint.errors import UserError
from mixmint.keys import BoxKey
from replyblocks.envelope import Envelope, seal_envelope
from replyblocks.fragments import split
from replyblocks.inbox import Inbox, InboxRow
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.unit.replyblocks.fake_network import FakeNetwork
from wallet.notices.letters import LettersByPost
from wallet.payment_request import ReplyTo


class Pair:
    """A payee and a payer, each opened for one step at a time, as commands do."""

    def __init__(self, tmp_path: Path) -> None:
        self.network = FakeNetwork(now_s=time.time())
        file = self.network.write(tmp_path / "network")
        self.members = {
            name: create_member(tmp_path / name, file, f"g{n}") for n, name in ((1, "ann"), (2, "bob"))
        }

    def post(self, name: str) -> Post:
        member = self.members[name]
        return Post(member, self.network.link(member.owner))

    async def ask(self) -> tuple[int, ReplyTo]:
        async with self.post("bob") as post:
            await post.reach()
            return LettersByPost(post, time.time).expect("payment request over 8 units", 2)

    async def tell(self, reply: ReplyTo, text: str, *, last: bool = False) -> None:
        async with self.post("ann") as post:
            letters = LettersByPost(post, time.time)
            letters.queue(reply, text, last=last)
            assert letters.is_loaded
            await letters.carry()
            assert not letters.is_loaded

    async def arrived(self, number: int) -> list[str]:
        async with self.post("bob") as post:
            letters = LettersByPost(post, time.time)
            await letters.carry(number)
            found = letters.arrived().get(number, [])
            letters.keep()
            return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


async def test_what_is_queued_arrives_under_the_requests_number(pair: Pair) -> None:
    """Two requests, two ways; a second text goes by the last block."""
    first, way = await pair.ask()
    second, other = await pair.ask()
    await pair.tell(way, "held")
    await pair.tell(other, "sealed")
    await pair.tell(way, "pay it back", last=True)
    async with pair.post("bob") as post:
        letters = LettersByPost(post, time.time)
        await letters.carry(first)
        assert letters.arrived() == {first: ["held", "pay it back"], second: ["sealed"]}


async def test_what_was_dealt_with_does_not_come_again(pair: Pair) -> None:
    """In no later process either; and what was only read does."""
    number, way = await pair.ask()
    await pair.tell(way, "held")
    async with pair.post("bob") as post:
        letters = LettersByPost(post, time.time)
        await letters.carry(number)
        assert letters.arrived() == {number: ["held"]}
    assert await pair.arrived(number) == ["held"]
    await pair.tell(way, "pay it back", last=True)
    assert await pair.arrived(number) == ["pay it back"]
    async with pair.post("bob") as post:
        assert LettersByPost(post, time.time).arrived() == {}


async def test_flooded_inbox_costs_what_is_new_in_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is opened once, whoever sent it, and no look takes more than its share."""
    monkeypatch.setattr("wallet.notices.letters.MOST_A_LOOK", 10)
    monkeypatch.setattr("wallet.notices.letters._PAGE", 4)
    number, way = await pair.ask()
    async with pair.post("bob") as post:
        flood(post, 30)
    await pair.tell(way, "held")
    opened: list[int] = []

    def counted(self: Inbox, at: int, sealed: bytes) -> InboxRow:
        opened.append(at)
        return plain(self, at, sealed)

    plain = Inbox._open
    monkeypatch.setattr(Inbox, "_open", counted)
    found: list[str] = []
    for _ in range(5):
        async with pair.post("bob") as post:
            letters = LettersByPost(post, time.time)
            await letters.carry()
            found += letters.arrived().get(number, [])
            before = len(opened)
            assert letters.arrived() is letters.arrived()
            assert len(opened) == before
            letters.keep()
    assert found == ["held"]
    assert opened == list(range(1, 32))


def flood(post: Post, count: int) -> None:
    """Messages to the published address."""
    with post.messages.transaction():
        for _ in range(count):
            sealed = seal_envelope(
                Envelope(BoxKey.generate().public, (), "hello"), post.member.sealing.public
            )
            (fragment,) = split(sealed)
            assert post.messages.inbox.take_fragment(fragment.encode(), None, time.time())


async def test_expired_blocks_are_said_before_anything_is_queued(pair: Pair) -> None:
    """Blocks that a stranger made up, or that died with their keys: our gateway would refuse the packet."""
    _, way = await pair.ask()
    made_up = ReplyTo(way.key, (bytes(258),))
    async with pair.post("ann") as post:
        letters = LettersByPost(post, time.time)
        with pytest.raises(UserError, match="expired"):
            letters.queue(made_up, "held")
        with pytest.raises(UserError, match="too long"):
            letters.queue(ReplyTo(way.key, way.blocks[:1]), "x" * 3000)
        late = LettersByPost(post, lambda: time.time() + 90 * 86400)
        with pytest.raises(UserError, match="expired"):
            late.queue(way, "held")
        assert not letters.is_loaded


async def test_a_key_that_is_none_is_said_before_anything_is_done(pair: Pair) -> None:
    """A hold would be made otherwise, of which nobody can be told."""
    _, way = await pair.ask()
    async with pair.post("ann") as post:
        with pytest.raises(UserError, match="can't be sealed to"):
            LettersByPost(post, time.time).check(ReplyTo(bytes(32), way.blocks))


async def test_the_requests_key_opens_what_was_sealed_to_it(pair: Pair) -> None:
    """A notice as a file, closed to everyone else."""
    number, way = await pair.ask()
    async with pair.post("bob") as post:
        assert LettersByPost(post, time.time).key(number).public == way.key

"""Messages between people, over a network in one process."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from mix.packet.build import build_forward
from mixmint.errors import Unavailable, UserError
from replyblocks.address import Address
from replyblocks.envelope import MOST_TEXT_BYTES, Envelope, longest_text, seal_envelope
from replyblocks.fragments import DATA_BYTES, split
from replyblocks.inbox import MOST_FRAGMENTS
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.unit.replyblocks.fake_network import FakeNetwork

LONG = "".join(chr(0x4E00 + number % 500) for number in range(MOST_TEXT_BYTES // 3))


def read_databases(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*/post.db*"))


class People:
    """Two members of one network, each opened for one step at a time, as commands do."""

    def __init__(self, tmp_path: Path, weather: Callable[[bytes], int] | None = None) -> None:
        self.network = FakeNetwork(now_s=time.time(), weather=weather)
        file = self.network.write(tmp_path / "network")
        self.alice = create_member(tmp_path / "alice", file, "g1")
        self.bob = create_member(tmp_path / "bob", file, "g2")

    def post(self, name: str) -> Post:
        member = getattr(self, name)
        return Post(member, self.network.link(member.owner))

    def address(self, name: str) -> Address:
        return Address.of(getattr(self, name))

    async def send(self, name: str, to: str, text: str, blocks: int = 4) -> int:
        async with self.post(name) as post:
            number = post.messages.outbox.queue(self.address(to), text, time.time(), blocks)
            await post.send_queued()
            return number

    async def answer(self, name: str, number: int, text: str) -> int:
        async with self.post(name) as post:
            answer = post.messages.answer(number, text, time.time())
            await post.send_queued()
            return answer

    async def read(self, name: str) -> list[str]:
        async with self.post(name) as post:
            await post.poll(0)
            return [row.text for _, row in post.messages.inbox.all()]

    async def states(self, name: str) -> list[str]:
        async with self.post(name) as post:
            return [row.state for _, row in post.messages.outbox.all()]


@pytest.fixture
async def people(tmp_path: Path) -> People:
    people = People(tmp_path)
    # Opens the mailboxes.
    for name in ("alice", "bob"):
        async with people.post(name) as post:
            await post.reach()
    return people


async def test_a_message_is_answered_through_its_reply_blocks(people: People) -> None:
    """Back and forth twice, and neither side's address travels with an answer."""
    assert await people.send("alice", "bob", "meet at the mill") == 1
    assert await people.read("bob") == ["meet at the mill"]
    await people.answer("bob", 1, "I'll be there")
    assert await people.read("alice") == ["I'll be there"]
    await people.answer("alice", 1, "good")
    assert await people.read("bob") == ["meet at the mill", "good"]
    async with people.post("alice") as post:
        assert post.messages.inbox.get(1).answer_to == 1
    assert await people.states("alice") == ["answered", "sent"]


async def test_the_longest_message_arrives(people: People) -> None:
    """64 KiB in many fragments, in one piece."""
    await people.send("alice", "bob", LONG)
    assert await people.read("bob") == [LONG]
    with pytest.raises(UserError, match="at most 65536"):
        await people.send("alice", "bob", "x" * (MOST_TEXT_BYTES + 1))


async def test_every_packet_of_a_message_can_come_twice(people: People) -> None:
    """A gateway that repeats everything delivers nothing twice, at once or later."""
    await people.send("alice", "bob", LONG[:3000])
    for token, packet in list(people.network.delivered):
        people.network.put(token, packet)
    assert await people.read("bob") == [LONG[:3000]]
    for token, packet in list(people.network.delivered):
        people.network.put(token, packet)
    assert await people.read("bob") == [LONG[:3000]]


async def test_a_message_sent_again_fills_the_gaps(tmp_path: Path) -> None:
    """Lost fragments of the first sending come with the second; the message is delivered once."""
    chance = Random(3)
    people = People(tmp_path, lambda _: chance.choice((0, 1, 2)))
    async with people.post("bob") as post:
        await post.reach()
    await people.send("alice", "bob", LONG)
    chance.shuffle(people.network.waiting)
    people.network.deliver()
    assert await people.read("bob") == []
    people.network.weather = None
    async with people.post("alice") as post:
        post.messages.outbox.send_again(1)
        assert await post.send_queued() == [1]
    assert await people.read("bob") == [LONG]


async def test_a_message_waits_while_the_gateway_is_away(people: People) -> None:
    """It stays queued, and the next command sends it."""
    people.network.is_down = True
    with pytest.raises(Unavailable):
        await people.send("alice", "bob", "later")
    assert await people.states("alice") == ["queued"]
    people.network.is_down = False
    async with people.post("alice") as post:
        assert await post.send_queued() == [1]
    assert await people.read("bob") == ["later"]


async def test_killed_between_submitting_and_marking_it_sent(people: People) -> None:
    """The next command sends it again, and the receiver takes it once."""
    async with people.post("alice") as post:
        number = post.messages.outbox.queue(people.address("bob"), "once", time.time())
        await post._submit(post.messages.outbox.packets(number, time.time()))
    assert await people.states("alice") == ["queued"]
    async with people.post("alice") as post:
        await post.send_queued()
    assert await people.read("bob") == ["once"]


async def test_an_answer_submitted_twice_is_the_same_packets(people: People) -> None:
    """The first mix stops the copies: a reply block never carries two different things."""
    await people.send("alice", "bob", "hello")
    await people.read("bob")
    async with people.post("bob") as post:
        number = post.messages.answer(1, "hi", time.time())
        first = post.messages.outbox.packets(number, time.time())
        assert first == post.messages.outbox.packets(number, time.time())
        await post._submit(first)
        await post.send_queued()
    assert people.network.replays == len(first)
    assert await people.read("alice") == ["hi"]


async def test_an_answer_is_bounded_by_the_blocks(people: People) -> None:
    """Exactly as long as the inbox says, and blocks that are used can't be used again."""
    await people.send("alice", "bob", "write me a lot", blocks=2)
    await people.read("bob")
    longest = longest_text(2, 0)
    with pytest.raises(UserError, match=f"can take {longest}"):
        await people.answer("bob", 1, "x" * (longest + 1))
    await people.answer("bob", 1, "x" * longest)
    assert await people.read("alice") == ["x" * longest]
    with pytest.raises(UserError, match="used or expired"):
        await people.answer("bob", 1, "more")


async def test_blocks_left_over_carry_a_second_answer(people: People) -> None:
    """A short answer takes one block; the next answer takes others."""
    await people.send("alice", "bob", "hello")
    await people.read("bob")
    await people.answer("bob", 1, "one")
    await people.answer("bob", 1, "two")
    assert sorted(await people.read("alice")) == ["one", "two"]


async def test_a_message_without_blocks_cannot_be_answered(people: People) -> None:
    """The sender decides."""
    await people.send("alice", "bob", "no answer, please", blocks=0)
    await people.read("bob")
    with pytest.raises(UserError, match="can't be answered"):
        await people.answer("bob", 1, "but")


async def test_an_answer_whose_blocks_die_in_the_outbox_does_not_hold_up_others(people: People) -> None:
    """It is marked expired, and what is queued behind it goes out."""
    await people.send("alice", "bob", "hello")
    await people.read("bob")
    people.network.is_down = True
    with pytest.raises(Unavailable):
        await people.answer("bob", 1, "too late")
    people.network.is_down = False
    later_s = time.time() + 30 * 86400
    async with people.post("bob") as post:
        assert post.messages.outbox.packets(1, later_s) == []
    assert await people.states("bob") == ["expired"]


async def test_a_message_whose_gateway_left_does_not_hold_up_others(people: People) -> None:
    """A new directory no longer lists the receiver's gateway: the message is marked expired, no error."""
    people.network.is_down = True
    with pytest.raises(Unavailable):
        await people.send("alice", "bob", "hello")
    people.network.is_down = False
    listed = people.alice.directory
    nodes = tuple(node for node in listed.nodes if node.name != "g2")
    people.alice.directory = msgspec.structs.replace(listed, nodes=nodes)
    async with people.post("alice") as post:
        assert await post.send_queued() == []
    assert await people.states("alice") == ["expired"]


async def test_junk_at_the_address_is_dropped_and_counted(people: People) -> None:
    """Whatever a stranger sends: nothing in the inbox, a counter, and the post goes on."""
    bob, now_s = people.bob, time.time()
    route = people.network.directory.route("g2", bob.address.token, bob.address.endpoint.public, now_s)
    sealed_for_another = seal_envelope(Envelope(bytes(32), (), "x"), people.alice.sealing.public)
    junk = [
        b"",
        b"\x03",
        b"\xff" * 100,
        b"\x03" + bytes(16) + b"\x00\x00data",
        b"\x03" + bytes(16) + b"\x00\xffdata",
        b"\x03" + bytes(16) + b"\x00\x01not what the id says",
        *(fragment.encode() for fragment in split(sealed_for_another)),
    ]
    await people.send("alice", "bob", "before")
    people.network.accept([build_forward(route, message) for message in junk])
    people.network.put(bob.address.token, bytes(2270))
    people.network.put(bob.replies.token, people.network.delivered[-2][1])
    await people.send("alice", "bob", "after")
    async with people.post("bob") as post:
        await post.poll(0)
        dropped = post.intake.dropped
        assert [row.text for _, row in post.messages.inbox.all()] == ["before", "after"]
    assert (dropped["length"], dropped["format"], dropped["parts"]) == (2, 1, 2)
    assert (dropped["message-id"], dropped["sealed"]) == (1, 1)
    assert sum(dropped.values()) == len(junk) + 2


async def test_a_flood_of_fragments_pushes_out_the_oldest_only(people: People) -> None:
    """The store stays bounded, and a message that arrives during the flood is delivered."""
    async with people.post("bob") as post:
        with post._store.transaction():
            for number in range(MOST_FRAGMENTS + 50):
                name = number.to_bytes(16)
                fragment = b"\x03" + name + b"\x00\x02" + bytes(DATA_BYTES)
                assert post.messages.inbox.take_fragment(fragment, None, time.time()) == 0
            (kept,) = post._store.connection.execute("SELECT COUNT(*) FROM fragment").fetchone()
            assert kept == MOST_FRAGMENTS
    await people.send("alice", "bob", LONG[:2000])
    assert await people.read("bob") == [LONG[:2000]]


async def test_incomplete_messages_expire(people: People) -> None:
    """Fragments that wait for too long are gone at the next opening."""
    async with people.post("bob") as post:
        with post._store.transaction():
            old_s = time.time() - 9 * 86400
            post.messages.inbox.take_fragment(
                b"\x03" + bytes(16) + b"\x00\x02" + bytes(DATA_BYTES), None, old_s
            )
    async with people.post("bob") as post:
        assert post._store.connection.execute("SELECT COUNT(*) FROM fragment").fetchone() == (0,)


async def test_the_files_hold_no_text_no_address_no_token(people: People, tmp_path: Path) -> None:
    """What is written is sealed on both sides."""
    await people.send("alice", "bob", "a text nobody may find")
    await people.read("bob")
    await people.answer("bob", 1, "an answer nobody may find")
    await people.read("alice")
    files = read_databases(tmp_path)
    assert len(files) > 10_000
    for member in (people.alice, people.bob):
        for secret in (member.address.token, member.replies.token, Address.of(member).encode().encode()):
            assert secret not in files
    assert b"nobody may find" not in files

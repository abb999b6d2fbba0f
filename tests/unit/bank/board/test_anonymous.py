"""bank/board/anonymous.py: the log a packet at a time, read with the same checks as over the web."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bank.board.anonymous import MALFORMED, MOST_HASHES, DistantLog, Kind, LogHandler
from bank.board.log.note import cosign_text
from bank.board.log.tree import Node
from bank.board.reading.client import BoardReader, Cursor
from bank.board.reading.fork import ForkedLog
from bank.board.rounds import leaves_of
from bank.formats.entry import AccountEntry, ClaimEntry
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError
from mixmint.keys import SigningKey
from replyblocks.formats import ANSWER_BODY_BYTES, REQUEST_BODY_BYTES
from replyblocks.service import Request
from tests.unit.bank.board.logs import BEGIN_S, LogMaker

KEY = SigningKey(b"k" * 32)
WITNESS = SigningKey(b"w" * 32)

Ask = Callable[[bytes], Awaitable[bytes]]


def account(number: int) -> bytes:
    return AccountEntry(number.to_bytes(32)).encode()


@pytest.fixture
def maker(tmp_path: Path) -> LogMaker:
    made = LogMaker(tmp_path / "log", KEY)
    long = ClaimEntry(os.urandom(30_000)).encode()
    leaves: list[bytes] = []
    for number in range(200):
        entries = [account(3 * number + each) for each in range(3)] + [long] * (number == 120)
        leaves += leaves_of(number + 1, BEGIN_S + number, len(leaves), entries)
    made.append(leaves)
    made.round = 200
    made.publish()
    return made


@pytest.fixture
def handler(maker: LogMaker) -> LogHandler:
    return LogHandler(maker.folder, lambda: maker.edge.size)


@pytest.fixture
def ask(handler: LogHandler) -> Ask:
    """Packets without a network: what fits is checked."""

    async def send(body: bytes) -> bytes:
        assert len(body) <= REQUEST_BODY_BYTES
        (answer,) = await handler.handle([Request(bytes(16), body)])
        assert 1 <= len(answer) <= ANSWER_BODY_BYTES
        return answer

    return send


async def test_the_whole_log_is_read_by_packets(maker: LogMaker, ask: Ask) -> None:
    """Also an entry that is longer than any packet; the end is proved by the checkpoint."""
    reader = BoardReader(DistantLog(ask, maker.verifier))
    cursor, numbers = Cursor(), []
    while rounds := await reader.rounds(cursor, most=70):
        numbers += [one.number for one in rounds]
        cursor = rounds[-1].after
    assert numbers == list(range(1, 201))
    assert cursor.frontier == maker.edge.frontier()
    assert await reader.head() == cursor


async def test_few_packets_bring_what_is_new(maker: LogMaker, handler: LogHandler, ask: Ask) -> None:
    """One for the checkpoint, one for a few entries: no hash is needed for what reaches the end."""
    asked: list[int] = []

    async def counting(body: bytes) -> bytes:
        asked.append(body[0])
        return await ask(body)

    cursor = await BoardReader(DistantLog(ask, maker.verifier)).head()
    maker.close([account(1000)])
    maker.publish()
    assert len(await BoardReader(DistantLog(counting, maker.verifier)).rounds(cursor)) == 1
    assert asked == [Kind.CHECKPOINT, Kind.READ]


async def test_a_fork_is_told_over_the_mixes_too(maker: LogMaker, ask: Ask, tmp_path: Path) -> None:
    """The same code finds the same proof."""
    reader = BoardReader(DistantLog(ask, maker.verifier))
    cursor = await reader.head()
    other = LogMaker(tmp_path / "other", KEY)
    leaves: list[bytes] = []
    for number in range(300):
        leaves += leaves_of(number + 1, BEGIN_S, len(leaves), [account(number), account(number + 1)])
    other.append(leaves)
    other.publish()
    maker.folder, maker.edge = other.folder, other.edge
    handler = LogHandler(other.folder, lambda: other.edge.size)

    async def forked(body: bytes) -> bytes:
        return (await handler.handle([Request(bytes(16), body)]))[0]

    with pytest.raises(ForkedLog) as caught:
        await BoardReader(DistantLog(forked, maker.verifier)).rounds(cursor)
    assert caught.value.fork.holds(maker.verifier)


async def test_as_many_cosignatures_come_as_fit(maker: LogMaker, ask: Ask) -> None:
    """The log's own line is always there."""
    note = maker.sign()
    witnesses = [cosign_text(WITNESS, f"witness-{number}.example.net", note.text, 5) for number in range(40)]
    maker.folder.publish(note.plus(witnesses))
    answer = await ask(bytes([Kind.CHECKPOINT]))
    published = await DistantLog(ask, maker.verifier).checkpoint()
    assert len(answer) > ANSWER_BODY_BYTES - 200
    assert published.note.signatures == (*note.signatures, *witnesses)[: len(published.note.signatures)]


SIZE = 801
"""600 accounts, a claim, 200 marks."""
WRONG: dict[str, bytes] = {
    "nothing": b"",
    "an unknown kind": b"\x63",
    "kind 0": b"\0",
    "a cut read": b"\1" + bytes(11),
    "a read with more": b"\1" + bytes(13),
    "a read far inside an entry": b"\1" + bytes(8) + (70_000).to_bytes(4),
    "a checkpoint with more": b"\2\0",
    "no hashes": b"\3" + SIZE.to_bytes(8),
    "hashes of a larger log": b"\3" + (SIZE + 1).to_bytes(8) + bytes(9),
    "hashes beyond the log": b"\3" + SIZE.to_bytes(8) + b"\0" + SIZE.to_bytes(8),
    "a node that isn't full": b"\3" + SIZE.to_bytes(8) + b"\x0a" + bytes(8),
    "a very high node": b"\3" + SIZE.to_bytes(8) + b"\xff" + bytes(8),
    "a cut node": b"\3" + SIZE.to_bytes(8) + bytes(8),
    "more hashes than fit": b"\3" + SIZE.to_bytes(8) + bytes(9) * (MOST_HASHES + 1),
    "a claim that nobody handles": b"\4claim",
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_no_request_gets_one_answer(ask: Ask, what: str) -> None:
    """Uniform and short: hostile packets cost little and tell nothing."""
    assert await ask(WRONG[what]) == MALFORMED


async def test_reads_at_the_end_and_beyond_it_are_empty(ask: Ask) -> None:
    """A reader who is up to date learns that nothing is new."""
    for index in (SIZE, SIZE + 1, 2**64 - 1):
        assert await ask(b"\1" + index.to_bytes(8) + bytes(4)) == b"\1"


async def test_every_hash_that_fits_is_given(maker: LogMaker, ask: Ask) -> None:
    """One packet holds them."""
    log = DistantLog(ask, maker.verifier)
    nodes = [Node(0, index) for index in range(MOST_HASHES + 5)]
    assert await log.nodes(nodes, SIZE) == [maker.folder.node(node, SIZE) for node in nodes]


async def test_a_damaged_file_is_unavailable_and_the_rest_goes_on(maker: LogMaker, ask: Ask) -> None:
    """The operator repairs it; the daemon answers what it can."""
    (maker.folder.path / "tile/entries/000").unlink()
    with pytest.raises(Unavailable):
        await BoardReader(DistantLog(ask, maker.verifier)).rounds(Cursor())
    assert (await ask(bytes([Kind.CHECKPOINT])))[0] == Kind.CHECKPOINT


async def test_further_kinds_are_answered_by_whoever_takes_them(maker: LogMaker) -> None:
    """Claims come this way; what they refuse looks like any refusal."""

    async def claim(body: bytes) -> bytes:
        if body != b"good":
            raise UserError("not this one")
        return b"taken"

    handler = LogHandler(maker.folder, lambda: maker.edge.size, {Kind.CLAIM: claim})
    requests = [Request(bytes(16), b"\4good"), Request(bytes(16), b"\4bad")]
    assert await handler.handle(requests) == [b"\4taken", MALFORMED]


@pytest.mark.parametrize(
    "answer",
    [b"\2", b"\1", b"\1\0", b"\1\0\x05ab", b"\1" + bytes(ANSWER_BODY_BYTES)],
    ids=["another kind", "nothing", "half a length", "half an entry", "only empty entries"],
)
async def test_false_answers_to_a_read_are_refused(maker: LogMaker, ask: Ask, answer: bytes) -> None:
    """Neither an endless trickle nor another kind is taken."""

    async def lying(body: bytes) -> bytes:
        return answer if body[0] == Kind.READ else await ask(body)

    with pytest.raises(PeerError):
        await BoardReader(DistantLog(lying, maker.verifier)).rounds(Cursor())


async def test_false_hashes_are_refused(maker: LogMaker, ask: Ask) -> None:
    """Of a wrong length, or of another log."""
    for answer in (b"\3" + bytes(31), b"\3" + bytes(32 * 8)):

        async def lying(body: bytes, answer: bytes = answer) -> bytes:
            return answer if body[0] == Kind.HASHES else await ask(body)

        with pytest.raises((MalformedMessage, PeerError)):
            await BoardReader(DistantLog(lying, maker.verifier)).rounds(Cursor(), most=3)

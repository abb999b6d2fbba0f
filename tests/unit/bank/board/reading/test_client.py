"""bank/board/reading/client.py: reading a log from a plain web server, and boards that lie in every way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import MOST_NOTE_BYTES, KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.policy import NO_POLICY, Policy, parse_policy
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource, HttpSource
from bank.board.log.tiles import WIDTH, pack
from bank.board.log.tree import EMPTY_ROOT
from bank.board.reading.client import BoardReader, Cursor, log_key
from bank.board.reading.conviction import accusation_of
from bank.board.reading.cursor import MOST_ROUND_BYTES
from bank.board.reading.fork import Fork, ForkedLog
from bank.board.rounds import MOST_ROUND_ENTRIES
from bank.formats.entry import AccountEntry, ClaimEntry, PostedEntry, RoundEntry, decode_entry
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S, ORIGIN, LogMaker
from tests.unit.bank.board.webserver import WebServer

KEY = SigningKey(b"k" * 32)
WITNESS = SigningKey(b"w" * 32)


def account(number: int) -> bytes:
    return AccountEntry(number.to_bytes(32)).encode()


def reader_of(maker: LogMaker, policy: Policy = NO_POLICY) -> BoardReader:
    return BoardReader(LogReader(FolderSource(maker.folder.path), maker.verifier, policy))


@pytest.fixture
def maker(tmp_path: Path) -> LogMaker:
    return LogMaker(tmp_path / "log", KEY)


@pytest.fixture
async def server(maker: LogMaker) -> AsyncIterator[WebServer]:
    async with WebServer(maker.folder.path) as running:
        yield running


@pytest.fixture
def reader(maker: LogMaker, server: WebServer) -> BoardReader:
    """Over HTTP, from a web server that knows nothing."""
    source = HttpSource(server.url, server.session)
    return BoardReader(LogReader(source, maker.verifier))


# Honest boards


async def test_whole_rounds_are_read_in_order_and_verified(maker, reader, mint) -> None:
    """Entries come decoded, empty rounds come too, and the cursor leads on."""
    maker.close([mint.certified(1, 3), mint.spent(2)])
    maker.close([])
    maker.close([mint.certified(3)])
    maker.publish()
    rounds = await reader.rounds(Cursor())
    assert [(one.number, len(one.entries)) for one in rounds] == [(1, 2), (2, 0), (3, 1)]
    assert rounds[0].entries == tuple(decode_entry(e) for e in sorted([mint.certified(1, 3), mint.spent(2)]))
    assert [one.first for one in rounds] == [0, 3, 4]
    assert [one.closed_at_s for one in rounds] == [BEGIN_S, BEGIN_S + 1, BEGIN_S + 2]
    assert await reader.rounds(rounds[2].after) == []
    assert await reader.rounds(rounds[0].after) == rounds[1:]
    assert await reader.head() == rounds[2].after
    assert rounds[2].after.index == maker.edge.size
    assert rounds[2].after.frontier.root() == maker.edge.root()


async def test_a_page_has_at_most_as_many_rounds_as_wanted(maker, reader) -> None:
    """The next page goes on behind it, without asking again for the bundle at hand."""
    for number in range(30):
        maker.close([account(number)])
    maker.publish()
    rounds = await reader.rounds(Cursor(), most=20)
    assert [one.number for one in rounds] == list(range(1, 21))
    rest = await reader.rounds(rounds[-1].after)
    assert [one.number for one in rest] == list(range(21, 31))


async def test_a_full_bundle_is_fetched_once(maker, server, reader) -> None:
    """However many pages are cut from it."""
    for number in range(200):
        maker.close([account(number)])
    maker.publish()
    cursor = Cursor()
    while rounds := await reader.rounds(cursor, most=7):
        cursor = rounds[-1].after
    assert cursor.index == maker.edge.size == 400
    assert server.asked.count("tile/entries/000") == 1
    assert server.asked.count("tile/entries/001.p/144") == 1


async def test_large_rounds_come_a_page_at_a_time(maker, monkeypatch) -> None:
    """What is held is bounded by the largest round, not by how far behind the reader is."""
    monkeypatch.setattr("bank.board.reading.cursor.MOST_ROUND_ENTRIES", 600)
    for number in range(4):
        maker.close([account(400 * number + each) for each in range(400)])
    maker.publish()
    reader, cursor, pages = reader_of(maker), Cursor(), []
    while rounds := await reader.rounds(cursor):
        pages.append([len(one.entries) for one in rounds])
        cursor = rounds[-1].after
    assert pages == [[400, 400], [400, 400]]


async def test_a_checkpoint_between_two_pages_may_be_a_newer_one(maker, reader) -> None:
    """Each page is proved under the checkpoint of its moment, also while full tiles replace partial ones."""
    seen, cursor = [], Cursor()
    for number in range(40):
        maker.close([account(20 * number + each) for each in range(10)])
        before = maker.edge.size
        maker.publish()
        maker.folder.clean(max(0, before - 11), before)
        for one in await reader.rounds(cursor, most=1):
            seen.append(one.number)
            cursor = one.after
        if number % 2:
            continue
        # Behind, so that the older checkpoint isn't where the cursor stands.
        maker.close([])
        maker.publish()
    while rounds := await reader.rounds(cursor, most=3):
        seen += [one.number for one in rounds]
        cursor = rounds[-1].after
    assert seen == list(range(1, 61))


async def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one(maker, server, reader) -> None:
    """A board that has grown since its checkpoint was fetched."""
    maker.close([account(number) for number in range(100)])
    old = maker.publish()
    maker.close([account(number) for number in range(100, 300)])
    maker.publish()
    maker.folder.clean(101, maker.edge.size)
    server.bends["checkpoint"] = old.encode()
    (one,) = await reader.rounds(Cursor())
    assert len(one.entries) == 100
    assert await reader.head() == one.after


async def test_kinds_that_this_program_doesnt_know_are_left_out(maker, reader) -> None:
    """A newer board may have them; they count as leaves all the same."""
    maker.close([account(1), b"\x63 of the future", account(2)])
    maker.publish()
    (one,) = await reader.rounds(Cursor())
    assert [type(entry) for entry in one.entries] == [AccountEntry, AccountEntry]
    assert one.after.index == 4


async def test_following_goes_on_from_a_stored_cursor(maker, reader) -> None:
    """Over a restart of the reader nothing is read twice and nothing is missed."""
    maker.close([])
    maker.publish()
    seen = []
    following = reader.follow(Cursor(), poll_s=0.01)
    seen.append(await anext(following))
    waiting = asyncio.ensure_future(anext(following))
    maker.close([account(1)])
    maker.publish()
    seen.append(await asyncio.wait_for(waiting, 5))
    await following.aclose()
    stored = Cursor.decode(seen[-1].after.encode())
    maker.close([])
    maker.publish()
    again = await asyncio.wait_for(anext(reader_of(maker).follow(stored, poll_s=0.01)), 5)
    assert [one.number for one in (*seen, again)] == [1, 2, 3]


async def test_following_waits_for_a_board_that_is_away_and_then_gives_up(server, maker) -> None:
    """Patience has an end, so that a command can say so."""
    reader = BoardReader.at(server.url, KEY.public, server.session)
    await server.stop()
    with pytest.raises(Unavailable, match="is it running"):
        await anext(reader.follow(Cursor(), poll_s=0.01, patience_s=0.05))


async def test_one_lost_answer_is_asked_for_again(maker, server) -> None:
    """A busy board isn't a lying one."""
    maker.close([account(1)])
    maker.publish()
    server.bends["checkpoint"] = 503
    reader = BoardReader.at(server.url, KEY.public, server.session, policy=Policy(log=maker.verifier))
    reading = asyncio.ensure_future(reader.rounds(Cursor()))
    await server.answered.wait()
    del server.bends["checkpoint"]
    assert len(await reading) == 1


async def test_a_board_that_has_published_nothing_is_waited_for(reader) -> None:
    """It has no past yet that could be wrong."""
    with pytest.raises(Unavailable, match="no checkpoint yet"):
        await reader.rounds(Cursor())


def test_a_log_is_named_by_its_url_or_by_the_policy() -> None:
    """A policy about another log would demand the wrong thing."""
    assert log_key("https://board.example.org/", KEY.public).name == "board.example.org"
    named = Policy(log=VerifierKey("elsewhere", KEY.public))
    assert log_key("https://board.example.org/", KEY.public, named) == named.log
    with pytest.raises(UserError, match="another key"):
        log_key("https://board.example.org/", WITNESS.public, named)


# Late


def policy_of(key: SigningKey) -> Policy:
    verifier = VerifierKey("w1", key.public, KeyKind.WITNESS)
    return parse_policy(f"witness w1 {verifier.text()}\nquorum w1\n")


async def test_a_checkpoint_with_too_few_cosignatures_is_waited_for(maker) -> None:
    """Settled means: seen by the reader's witnesses."""
    maker.close([account(1)])
    note = maker.publish()
    reader = reader_of(maker, policy_of(WITNESS))
    with pytest.raises(Unavailable, match="0 of 1 witnesses"):
        await reader.rounds(Cursor())
    maker.folder.publish(note.plus([cosign_text(WITNESS, "w1", note.text, BEGIN_S)]))
    (one,) = await reader.rounds(Cursor())
    assert one.after.note == maker.folder.checkpoint()


async def test_an_older_checkpoint_is_late_and_no_lie(maker, server, reader) -> None:
    """A mirror lags; a board restored from a backup looks the same until it signs something else."""
    maker.close([account(1)])
    old = maker.publish()
    maker.close([account(2)])
    maker.publish()
    rounds = await reader.rounds(Cursor())
    server.bends["checkpoint"] = old.encode()
    with pytest.raises(Unavailable, match="older state"):
        await reader.rounds(rounds[-1].after)
    with pytest.raises(Unavailable, match="older state"):
        # Also for a reader who hasn't come as far: he has seen the newer one.
        await reader.rounds(rounds[0].after)


@pytest.mark.parametrize(
    ("status", "kind"), [(503, Unavailable), (500, Unavailable), (403, PeerError), (301, PeerError)]
)
async def test_statuses_become_errors_of_ours(maker, server, reader, status: int, kind: type) -> None:
    """Not now, or not a board: never a redirect to somewhere else."""
    maker.close([])
    maker.publish()
    server.bends["checkpoint"] = status
    with pytest.raises(kind):
        await reader.rounds(Cursor())


# Lies


def forge(maker: LogMaker) -> None:
    maker.key = SigningKey(b"x" * 32)
    maker.publish()


def rename(maker: LogMaker) -> None:
    maker.origin = "elsewhere.example.org"
    maker.publish()


def miscount(maker: LogMaker) -> None:
    """Checkpoints are ends of rounds."""
    maker.append([account(1)])
    maker.publish()


def no_end(maker: LogMaker) -> None:
    maker.append([account(0)] * (MOST_ROUND_ENTRIES + 2))
    maker.close([])
    maker.publish()


def mark(number: int, first: int, closed_at_s: int = BEGIN_S + 1) -> bytes:
    return RoundEntry(number, closed_at_s, first).encode()


def appended(*leaves: bytes) -> Callable[[LogMaker], None]:
    def lie(maker: LogMaker) -> None:
        maker.append(leaves)
        maker.publish()

    return lie


def tile(path: str, change: Callable[[bytes], bytes | None]) -> Callable[[LogMaker], None]:
    def lie(maker: LogMaker) -> None:
        file = maker.folder.path / path
        changed = change(file.read_bytes())
        file.unlink()
        if changed is not None:
            file.write_bytes(changed)

    return lie


def note(change: Callable[[bytes], bytes]) -> Callable[[LogMaker], None]:
    return tile("checkpoint", change)


BUNDLE = "tile/entries/000.p/4"


def bundle(*leaves: bytes) -> Callable[[LogMaker], None]:
    return tile(BUNDLE, lambda _: pack([*leaves, mark(1, 0, BEGIN_S)]))


LIES: dict[str, tuple[Callable[[LogMaker], None], str]] = {
    "an entry changed": (bundle(account(1), account(3), account(4)), "tile"),
    "an entry left out": (bundle(account(1), account(2)), "tile"),
    "a bundle cut short": (tile(BUNDLE, lambda d: d[:-1]), "length"),
    "a bundle missing": (tile(BUNDLE, lambda _: None), "tile"),
    "an empty bundle": (tile(BUNDLE, lambda d: b""), "tile"),
    "entries out of order": (appended(account(2), account(1), mark(2, 4)), "sorted"),
    "a kind that sorts behind the mark": (appended(b"\x80", mark(2, 4)), "sorted"),
    "a round left out": (appended(mark(3, 4)), "mark"),
    "a round twice": (appended(mark(1, 0)), "mark"),
    "a mark with another beginning": (appended(account(5), mark(2, 5)), "mark"),
    "a clock that goes back": (appended(mark(2, 4, BEGIN_S - 1)), "mark"),
    "a mark cut short": (appended(mark(2, 4)[:-1]), "length"),
    "a mark among the entries": (appended(account(5), mark(2, 4), account(6), mark(2, 4)), "mark"),
    "an entry that is none": (appended(account(1)[:-1], mark(2, 4)), "length"),
    "a round without end": (no_end, "count"),
    "a checkpoint inside a round": (miscount, "checkpoint"),
    "a stranger's checkpoint": (forge, "signature"),
    "another log's checkpoint": (rename, "signature"),
    "a checkpoint that is none": (note(lambda d: b"\xff"), "note"),
    "a checkpoint with another root": (note(lambda d: d.replace(b"4\n", b"5\n", 1)), "signature"),
    "an endless checkpoint": (note(lambda d: d + bytes(MOST_NOTE_BYTES)), "size"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_board_is_refused(maker, reader, lie: str) -> None:
    """Each lie by itself, with its own reason; nothing of the answer is used."""
    maker.close([account(1), account(2), account(4)])
    maker.publish()
    assert len(await reader.rounds(Cursor())) == 1, "else the lie would prove nothing"
    change, reason = LIES[lie]
    change(maker)
    with pytest.raises(PeerError) as caught:
        await reader.rounds(Cursor())
    assert caught.value.reason == reason


async def test_a_round_of_too_many_bytes_is_refused_before_its_end(maker, reader, monkeypatch) -> None:
    """Entries may be long; what a reader holds is bounded in bytes as well."""
    assert MOST_ROUND_ENTRIES * len(PostedEntry(bytes(32), 0, 0, bytes(64)).encode()) <= MOST_ROUND_BYTES
    monkeypatch.setattr("bank.board.reading.cursor.MOST_ROUND_BYTES", 10_000)
    maker.close([ClaimEntry(bytes(4000) + bytes([number])).encode() for number in range(3)])
    maker.publish()
    with pytest.raises(MalformedMessage, match="count"):
        await reader.rounds(Cursor())


async def test_hashes_that_prove_nothing_are_refused(maker, reader, server) -> None:
    """A page that ends before the checkpoint needs hashes of what comes after it."""
    for number in range(300):
        maker.close([account(number)])
    maker.publish()
    server.bends["tile/0/000"] = bytes(32 * WIDTH)
    with pytest.raises(PeerError, match="tile"):
        await reader.rounds(Cursor(), most=3)
    del server.bends["tile/0/000"]
    assert len(await reader.rounds(Cursor(), most=3)) == 3, "what was wrong isn't kept"


async def test_a_false_head_is_refused(maker, reader, server) -> None:
    """The newest round by its leaf, its place by the tiles: both under the checkpoint."""
    maker.close([account(1), account(2), account(3)])
    maker.publish()
    good = (maker.folder.path / BUNDLE).read_bytes()
    server.bends[BUNDLE] = good[:-23] + b"\0\x15" + mark(9, 0)
    with pytest.raises(PeerError, match="tile"):
        await reader.head()
    server.bends = {"tile/0/000.p/4": bytes(32 * 4)}
    with pytest.raises(PeerError, match="tile"):
        await reader.head()
    miscount(maker)
    server.bends = {}
    with pytest.raises(MalformedMessage, match="end of a round"):
        await reader.head()


# Forks


def forked(maker: LogMaker, folder: Path, shared: int, rounds: int) -> LogMaker:
    """Another log of the same board: the same in its first ``shared`` leaves, otherwise different."""
    other = LogMaker(folder, maker.key)
    other.append(maker.leaves[:shared])
    other.round = sum(leaf[0] == 127 for leaf in maker.leaves[:shared])
    for number in range(rounds):
        other.close([account(10_000 + number)])
    other.publish()
    return other


@pytest.mark.parametrize("rounds", [5, 6, 40, 200])
@pytest.mark.parametrize("seen", [5, 2])
async def test_a_fork_is_told_with_its_proof(maker, tmp_path: Path, rounds: int, seen: int) -> None:
    """Same size or larger, at the checkpoint or behind it: two signatures of the board convict it."""
    for number in range(5):
        maker.close([account(number)])
    maker.publish()
    after = (await reader_of(maker).rounds(Cursor()))[seen - 1].after
    other = forked(maker, tmp_path / "other", 0, rounds)
    with pytest.raises(ForkedLog) as caught:
        await reader_of(other).rounds(after)
    fork = caught.value.fork
    assert fork.older == after.note
    assert fork.holds(maker.verifier)
    # Nobody else is accused by it, and nothing less proves it.
    assert not fork.holds(VerifierKey(ORIGIN, WITNESS.public))
    assert not Fork(fork.older, fork.newer, maker.edge.root(), fork.proof).holds(maker.verifier)
    assert not Fork(fork.newer, fork.older, fork.root, fork.proof).holds(maker.verifier) or rounds == 5
    verdict = check_file(accusation_of(caught.value))
    assert verdict.holds
    assert verdict.whom.board == maker.verifier


async def test_a_fork_that_begins_behind_the_cursor_is_told_too(maker, tmp_path: Path) -> None:
    """The reader had seen a newer checkpoint than he had read to."""
    for number in range(50):
        maker.close([account(number)])
    maker.publish()
    (one,) = await reader_of(maker).rounds(Cursor(), most=1)
    for rounds in (49, 60):
        other = forked(maker, tmp_path / str(rounds), 2, rounds)
        with pytest.raises(ForkedLog) as caught:
            await reader_of(other).rounds(one.after, most=1)
        assert caught.value.fork.holds(maker.verifier)


async def test_damaged_tiles_of_an_honest_board_are_no_fork(maker, reader, server) -> None:
    """Without two signatures that contradict each other nobody is accused."""
    for number in range(5):
        maker.close([account(number)])
    maker.publish()
    rounds = await reader.rounds(Cursor())
    for number in range(300):
        maker.close([account(5 + number)])
    maker.publish()
    for path, at in (("tile/0/000", 32 * 200), ("tile/entries/000", 700)):
        good = (maker.folder.path / path).read_bytes()
        server.bends = {path: good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]}
        for after in (rounds[1].after, rounds[-1].after, Cursor()):
            with pytest.raises(PeerError) as caught:
                await reader.rounds(after, most=50)
            assert not isinstance(caught.value, ForkedLog)


async def test_an_honest_board_that_grew_is_never_a_fork(maker) -> None:
    """Whatever was seen of it before."""
    for number in range(20):
        maker.close([account(number)])
        note = maker.publish()
        rounds = await reader_of(maker).rounds(Cursor(), most=number + 1)
        assert not Fork(rounds[0].after.note, note, maker.edge.root()).holds(maker.verifier)


def test_a_signed_empty_log_proves_no_fork() -> None:
    """Every log begins with no leaves."""
    empty = sign_checkpoint(KEY, Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    later = sign_checkpoint(KEY, Checkpoint(ORIGIN, 3, b"r" * 32))
    assert not Fork(empty, later, bytes(32)).holds(VerifierKey(ORIGIN, KEY.public))
    assert not Fork(empty, later, b"r" * 32, (b"r" * 32,)).holds(VerifierKey(ORIGIN, KEY.public))


def test_a_cursor_survives_storage_and_nothing_else_is_one(maker) -> None:
    """With the checkpoint that it was read under, or none."""
    maker.close([account(1), account(2)])
    signed = maker.publish()
    for note in (None, signed):
        cursor = Cursor(7, maker.edge.frontier(), 2**40, note)
        again = Cursor.decode(cursor.encode())
        assert again == cursor
        assert again.note == note
        for wrong in (cursor.encode()[:-1], cursor.encode() + b"x", b""):
            with pytest.raises(MalformedMessage):
                Cursor.decode(wrong)
    assert Cursor() == Cursor.decode(Cursor().encode())
    with pytest.raises(MalformedMessage):
        Cursor.decode(Cursor().encode() + b"x" * (MOST_NOTE_BYTES + 1))
    assert isinstance(signed, Note)

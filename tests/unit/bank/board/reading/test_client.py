"""bank/board/reading/client.py: reading an honest board's log from a plain web server."""

import asyncio

import pytest

from bank.board.log.note import MOST_NOTE_BYTES, KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.policy import Policy, parse_policy
from bank.board.reading.client import BoardReader, Cursor, log_key
from bank.formats.entry import AccountEntry, decode_entry
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S
from tests.unit.bank.board.reading.readers import KEY, account, reader_of

WITNESS = SigningKey(b"w" * 32)


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

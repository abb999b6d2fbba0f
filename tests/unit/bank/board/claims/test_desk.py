"""The desk: each thing once, in bounds, and nothing that a crash could tear."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from bank.board.claims import index
from bank.board.claims.desk import Accepted, WaitYourTurn
from bank.board.claims.limits import BUCKET, MOST_ACCUSATIONS, MOST_ON_A_GROUND
from bank.board.claims.rules import read_submission
from bank.board.daemon import DESK
from bank.board.log.tree import leaf_hash
from bank.board.writing.recovery import recover
from bank.formats.entry import CertifiedEntry, Kind, PostedEntry, decode_entry
from mixmint.errors import PeerError, Unavailable, UserError
from tests.unit.bank.board.claims.claimants import (
    BOARD,
    answer,
    claim,
    deposit,
    double_certificate,
    entry,
    posted,
    two_logs,
    withdrawal,
)
from tests.unit.bank.board.claims.conftest import Clock, Site
from tests.unit.bank.board.conftest import LOG, Start


async def test_a_claim_is_in_the_round_that_its_receipt_names(site: Site) -> None:
    """And the same again, before and after that, gets the same place."""
    data = entry(claim(1))
    first = await site.desk.submit(data)
    assert first.fresh
    assert first.receipt.holds(BOARD.public, data)
    again = await site.desk.submit(data)
    assert not again.fresh
    assert (again.receipt.leaf, again.receipt.round) == (leaf_hash(data), first.receipt.round)
    await site.running.close_round()
    (placed,) = [each for each in await site.running.board.store.entries(0, 100) if each.entry == data]
    assert placed.round == first.receipt.round
    later = await site.desk.submit(data)
    assert (later.receipt.round, later.receipt.newest_closed) == (first.receipt.round, first.receipt.round)
    assert (await site.leaves()).count(data) == 1
    assert (site.count("claim", "taken"), site.count("claim", "known")) == (1, 2)


async def test_of_many_at_one_moment_one_is_logged(site: Site) -> None:
    """A race for one order: everyone gets a receipt for the one."""
    data = entry(claim(1, 2))
    accepted = await asyncio.gather(*(site.desk.submit(data) for _ in range(20)))
    assert sum(each.fresh for each in accepted) == 1
    assert {(each.receipt.leaf, each.receipt.round) for each in accepted} == {(leaf_hash(data), 1)}
    await site.running.close_round()
    assert (await site.leaves()).count(data) == 1


async def test_a_claim_with_certificates_is_never_turned_away(site: Site, clock: Clock) -> None:
    """However many coins are claimed at one moment, and whatever else the board is flooded with."""
    await site.open_account(1)
    for number in range(BUCKET + MOST_ON_A_GROUND):
        await site.desk.submit(entry(withdrawal(1, request=number)))
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(entry(withdrawal(1, request=99)))
    for number in range(10, 60):
        assert (await site.desk.submit(entry(claim(number)))).fresh
    assert (await site.desk.submit(entry(deposit(1, 70)))).fresh


async def test_one_coin_carries_a_few_claims_and_then_waits(site: Site, clock: Clock) -> None:
    """A coin can sign endless orders; joined with fresh ones it buys nothing either."""
    for number in range(MOST_ON_A_GROUND):
        assert (await site.desk.submit(entry(claim(1, request=number)))).fresh
    # From here on it takes from the bucket.
    for number in range(BUCKET):
        assert (await site.desk.submit(entry(claim(1, request=100 + number)))).fresh
    with pytest.raises(WaitYourTurn) as wait:
        await site.desk.submit(entry(claim(1, 2, request=200)))
    assert wait.value.after_s == 5
    # Nothing of it was counted: the other coin has all its room.
    for number in range(MOST_ON_A_GROUND):
        assert (await site.desk.submit(entry(claim(2, request=300 + number)))).fresh
    clock.now_s += wait.value.after_s
    assert (await site.desk.submit(entry(claim(1, 2, request=200)))).fresh
    assert site.count("claim", "waits") == 1


async def test_many_orders_of_one_coin_at_one_moment(site: Site, clock: Clock) -> None:
    """The count is checked where it is written, so no race gets more."""
    many = [entry(claim(1, request=number)) for number in range(BUCKET + MOST_ON_A_GROUND + 12)]
    results = await asyncio.gather(*(site.desk.submit(data) for data in many), return_exceptions=True)
    waiting = [each for each in results if isinstance(each, WaitYourTurn)]
    taken = [each for each in results if not isinstance(each, BaseException)]
    assert (len(waiting), len(taken)) == (12, BUCKET + MOST_ON_A_GROUND)


async def test_an_answer_to_a_claim_comes_at_once_and_others_wait(site: Site, clock: Clock) -> None:
    """The bank signs refusals for nothing: they aren't a way to fill the board."""
    for number in range(BUCKET):
        assert (await site.desk.submit(answer(number.to_bytes(32)))).fresh
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(answer(b"x" * 32))
    claimed = claim(1)
    await site.desk.submit(entry(claimed))
    for number in range(MOST_ON_A_GROUND):
        assert (await site.desk.submit(answer(claimed.subject, number))).fresh
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(answer(claimed.subject, MOST_ON_A_GROUND))
    # Another kind has a bucket of its own.
    assert (await site.desk.submit(two_logs(5))).fresh


async def test_withdrawals_are_of_accounts_on_the_board(site: Site) -> None:
    """Anyone can make a key and sign."""
    with pytest.raises(PeerError) as refusal:
        await site.desk.submit(entry(withdrawal(1)))
    assert refusal.value.reason == "unproved"
    with pytest.raises(PeerError):
        await site.desk.submit(entry(deposit(1, 2)))
    await site.open_account(1)
    assert (await site.desk.submit(entry(withdrawal(1)))).fresh
    assert (await site.desk.submit(entry(deposit(1, 2)))).fresh


async def test_a_certificate_is_posted_unless_the_bank_published_it(site: Site) -> None:
    """The bank's own entry is named then; another value of the same coin is evidence, and taken."""
    data = posted(1)
    first = await site.desk.submit(data)
    await site.running.close_round()
    assert isinstance(decode_entry((await site.leaves())[0]), PostedEntry)
    assert (await site.desk.submit(data)).receipt.round == first.receipt.round
    certified = CertifiedEntry(*_fields(posted(2))).encode()
    await site.feed(certified)
    known = await site.desk.submit(posted(2))
    assert not known.fresh
    assert known.receipt.holds(BOARD.public, certified)
    assert known.receipt.round == 2
    assert (await site.desk.submit(posted(2, exponent=4))).fresh


def _fields(data: bytes) -> tuple[bytes, int, int, bytes]:
    decoded = decode_entry(data)
    assert isinstance(decoded, PostedEntry)
    return decoded.coin, decoded.exponent, decoded.epoch, decoded.certificate


async def test_accusations_are_few_in_a_round(site: Site, clock: Clock) -> None:
    """They are long, and a round's bytes are bounded; in the next round there is room again."""
    for number in range(MOST_ACCUSATIONS - 1):
        assert (await site.desk.submit(two_logs(number + 1))).fresh
    assert (await site.desk.submit(double_certificate(1))).fresh
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(double_certificate(2))
    await site.running.close_round()
    assert (await site.desk.submit(double_certificate(2))).fresh
    for number in range(3, 5):
        assert (await site.desk.submit(double_certificate(number))).fresh


async def test_a_full_round_costs_nobody_his_turn(site: Site, clock: Clock) -> None:
    """What isn't taken uses up no token: the next round has room for those who waited."""
    for number in range(4):
        assert (await site.desk.submit(double_certificate(1, exponent=4 + number))).fresh
    for number in range(MOST_ACCUSATIONS - 4):
        assert (await site.desk.submit(two_logs(number + 1))).fresh
    for _ in range(5):
        with pytest.raises(WaitYourTurn):
            await site.desk.submit(two_logs(100))
    await site.running.close_round()
    for number in range(BUCKET - (MOST_ACCUSATIONS - 4)):
        assert (await site.desk.submit(two_logs(200 + number))).fresh
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(two_logs(300))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (entry(claim(1))[:-1] + b"\0", "claim"),
        (answer(bytes(32))[:-1] + b"\0", "answer"),
        (posted(1)[:-1] + b"\0", "posted"),
    ],
)
async def test_what_does_not_verify_is_counted_and_leaves_nothing(site: Site, data: bytes, kind: str) -> None:
    """And the honest one after it is taken."""
    with pytest.raises(PeerError) as refusal:
        await site.desk.submit(data)
    assert refusal.value.reason == "unproved"
    assert site.count(kind, "unproved") == 1
    await site.running.close_round()
    assert len(await site.leaves()) == 1
    rows = await site.running.board.store.read(_rows)
    assert rows == (0, 0)


def _dump(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    """Every table of the index, whole."""
    tables = ("submitted", "grounds", "accounts")
    return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608 - ours


def _rows(connection: sqlite3.Connection) -> tuple[int, int]:
    (submitted,) = connection.execute("SELECT count(*) FROM submitted").fetchone()
    (grounds,) = connection.execute("SELECT count(*) FROM grounds").fetchone()
    return submitted, grounds


async def test_no_more_than_a_few_dozen_are_checked_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes above that is told to come again; nothing piles up."""
    let = asyncio.Event()

    async def held(*_: object) -> None:
        await let.wait()

    monkeypatch.setattr("bank.board.claims.desk.asyncio.to_thread", held)
    tasks = [asyncio.create_task(site.desk.submit(entry(claim(number)))) for number in range(1, 40)]
    done: set[asyncio.Task[Accepted]] = set()
    async with asyncio.timeout(5):
        while len(done) < 7:
            more, pending = await asyncio.wait(set(tasks) - done, return_when=asyncio.FIRST_COMPLETED)
            done |= more
    assert len(done) == 7
    assert all(isinstance(task.exception(), Unavailable) for task in done)
    let.set()
    assert all(accepted.fresh for accepted in await asyncio.gather(*pending))


async def test_a_full_disk_takes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the entry nor the index; afterwards the same submission is new."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(index, "note", full)
        with pytest.raises(UserError, match="disk full"):
            await site.desk.submit(entry(claim(1)))
    assert (await site.desk.submit(entry(claim(1)))).fresh
    await site.running.close_round()
    assert len(await site.leaves()) == 2


async def test_a_restart_remembers(start_board: Start, site: Site) -> None:
    """What waited for its round, its receipt, and how much each coin has carried."""
    data = entry(claim(1))
    first = await site.desk.submit(data)
    for number in range(1, MOST_ON_A_GROUND):
        await site.desk.submit(entry(claim(1, request=number)))
    await site.running.stop()
    running = await start_board()
    again = Site(running, running.app[DESK])
    known = await again.desk.submit(data)
    assert (known.fresh, known.receipt.round) == (False, first.receipt.round)
    assert not await running.board.store.read(
        lambda connection: index.has_room(connection, read_submission(data))
    )
    await running.close_round()
    assert data in await again.leaves()


async def test_a_recovered_board_knows_what_was_submitted(
    start_board: Start, site: Site, tmp_path: Path
) -> None:
    """All of it follows from the log: accounts, subjects, grounds."""
    await site.open_account(1)
    claimed = claim(1)
    everything = [
        entry(claimed),
        entry(withdrawal(1)),
        answer(claimed.subject),
        posted(5),
        double_certificate(6),
        two_logs(7),
    ]
    places = [(await site.desk.submit(data)).receipt for data in everything]
    await site.running.close_round()
    rows = await site.running.board.store.read(_dump)
    await site.running.stop()
    (tmp_path / "board.db").rename(tmp_path / "old.db")
    recover(tmp_path / "board.db", site.running.board.publisher._folder, LOG, lambda *_: None)
    running = await start_board()
    again = Site(running, running.app[DESK])
    assert await running.board.store.read(_dump) == rows
    for data, place in zip(everything, places, strict=True):
        known = await again.desk.submit(data)
        assert (known.fresh, known.receipt.leaf, known.receipt.round) == (False, place.leaf, place.round)
    assert (await again.desk.submit(entry(withdrawal(1, request=1)))).fresh


async def test_an_answer_that_names_the_claim_comes_at_once_too(site: Site) -> None:
    """That is how the bank answers on the board, here or on another one."""
    claimed = claim(1)
    await site.desk.submit(entry(claimed))
    for number in range(BUCKET):
        assert (await site.desk.submit(answer(number.to_bytes(32)))).fresh
    assert (await site.desk.submit(answer(claimed.answer_subject))).fresh
    with pytest.raises(WaitYourTurn):
        await site.desk.submit(answer(claim(2).answer_subject))


async def test_what_the_bank_answers_by_its_feed_is_known_too(site: Site) -> None:
    """Submitted again by a customer, it isn't logged twice."""
    claimed = claim(1)
    await site.desk.submit(entry(claimed))
    await site.feed(answer(claimed.subject))
    known = await site.desk.submit(answer(claimed.subject))
    assert (known.fresh, known.receipt.round) == (False, 1)
    assert (
        await site.running.board.store.read(lambda connection: index.in_round(connection, Kind.ANSWER, 1))
        == 1
    )

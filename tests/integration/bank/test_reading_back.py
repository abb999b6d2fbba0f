"""Bank and board as processes: what is read back, stated, recovered; and a copy from before a hold."""

import asyncio
import json
import os
import shutil
import sqlite3
import urllib.error
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from bank.board.log.tree import EMPTY_ROOT
from bank.board.reading.client import BoardReader, Cursor, VerifiedRound
from bank.formats.answer import Certificates, Hold, Withdrawn
from bank.formats.coin import bank_id
from bank.formats.entry import CertifiedEntry, Entry, SpentEntry, StatementEntry
from bank.formats.order import tau_of
from bank.formats.statement import BankStatement, Tally
from tests.integration.bank.place import Place
from tests.integration.network.harness import mixmint
from tests.unit.bank.desk import fresh


@pytest.fixture
def quick(place: Place) -> Place:
    """Reads back ten times a second, and states every third round."""
    config = place.bank.config
    text = config.read_text().replace("statement_rounds = 360", "statement_rounds = 3")
    config.write_text(text + "confirm_pause_ms = 100\n")
    assert "statement_rounds = 3\n" in config.read_text()
    return place


async def log(place: Place) -> list[VerifiedRound]:
    """Every round of the board, verified."""
    rounds: list[VerifiedRound] = []
    async with aiohttp.ClientSession() as session:
        reader = BoardReader.at(place.board_url, place.network.directory().service("board").identity, session)
        while page := await reader.rounds(rounds[-1].after if rounds else Cursor()):
            rounds += page
    return rounds


async def until(place: Place, is_true: Callable[[list[VerifiedRound]], bool]) -> list[VerifiedRound]:
    """Read the board until it shows something."""
    async with asyncio.timeout(90):
        while True:
            rounds = await log(place)
            if is_true(rounds):
                return rounds
            await asyncio.sleep(0.1)


def entries_of(rounds: list[VerifiedRound]) -> list[Entry]:
    return [entry for round_ in rounds for entry in round_.entries]


def are_all_stated(rounds: list[VerifiedRound]) -> bool:
    """Whether the newest statement confirms the last coin on the board."""
    coins = [
        r.after.index for r in rounds if any(isinstance(e, SpentEntry | CertifiedEntry) for e in r.entries)
    ]
    made = statements(rounds)
    return bool(coins and made) and made[-1].size >= coins[-1]


def statements(rounds: list[VerifiedRound]) -> list[BankStatement]:
    return [entry.statement for entry in entries_of(rounds) if isinstance(entry, StatementEntry)]


async def test_what_the_bank_states_is_what_the_board_shows(quick: Place) -> None:
    """Counts, totals, the log's root; and in the end a statement that confirms everything."""
    await quick.start()
    account = await asyncio.to_thread(quick.account, 100)
    (first, wanted), (_, kept) = fresh(4), fresh(3)
    withdrawal = await asyncio.to_thread(quick.withdraw, account, [wanted, kept])
    assert isinstance((await asyncio.to_thread(quick.ask, withdrawal)).body, Withdrawn)
    order = quick.order([first], [fresh(3)[1], fresh(3)[1]])
    assert isinstance((await asyncio.to_thread(quick.ask, order)).body, Certificates)

    rounds = await until(quick, lambda found: spent(found) == 1 and are_all_stated(found))
    made = statements(rounds)
    assert [each.sequence for each in made] == list(range(1, len(made) + 1))
    assert made[-1].totals == Tally(withdrawn=24, exchanged=16, spent=16)
    key = quick.key
    assert all(each.holds(key, bank_id(key)) and each.balances() for each in made)
    ends = {0: EMPTY_ROOT} | {round_.after.index: round_.after.frontier.root() for round_ in rounds}
    assert all(ends[each.size] == each.root for each in made)
    metrics = await asyncio.to_thread(quick.bank.metrics)
    assert metrics["mixmint_bank_board_differs"] == 0
    assert metrics["mixmint_bank_confirmed_leaves"] >= made[-1].size
    assert metrics["mixmint_bank_board_leaves"] >= made[-1].size


def spent(rounds: list[VerifiedRound]) -> int:
    return sum(isinstance(entry, SpentEntry) for entry in entries_of(rounds))


async def test_a_board_recovered_from_its_log_is_fed_what_that_lacks(quick: Place) -> None:
    """Its database is lost in the middle of orders: each coin is certified once, and the bank goes on."""
    await quick.start()
    account = await asyncio.to_thread(quick.account, 64)
    coins = [fresh(0) for _ in range(32)]
    for start in (0, 16):
        outputs = [output for _, output in coins[start : start + 16]]
        withdrawal = await asyncio.to_thread(quick.withdraw, account, outputs)
        await asyncio.to_thread(quick.ask, withdrawal)
    orders = [quick.order([key], [fresh(0)[1]]) for key, _ in coins]
    asking = [asyncio.create_task(asyncio.to_thread(quick.ask, order)) for order in orders]
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(quick.board.kill)
    folder = quick.board.config.parent
    for name in ("board.db", "board.db-wal", "board.db-shm"):
        (folder / name).unlink(missing_ok=True)
    await asyncio.to_thread(mixmint, "board", "recover", "--config", quick.board.config)
    quick.board.start()
    await quick.board.ready()
    answers = await asyncio.gather(*asking)
    assert all(isinstance(answer.body, Certificates) for answer in answers)
    rounds = await until(quick, lambda found: spent(found) >= 32 and are_all_stated(found))
    certified = Counter(entry.coin for entry in entries_of(rounds) if isinstance(entry, CertifiedEntry))
    assert len(certified) == 64
    assert set(certified.values()) == {1}
    await quick.bank.ready()
    assert statements(rounds)[-1].totals == Tally(withdrawn=32, exchanged=32, spent=32)
    assert quick.bank.stop() == 0


async def test_a_bank_whose_board_shows_something_else_says_so_and_goes_on(quick: Place) -> None:
    """Here it is the bank that forgot what it gave, which looks the same from where it stands."""
    await quick.start()
    account = await asyncio.to_thread(quick.account, 8)
    await until_fed(quick)
    quick.bank.stop()
    with closing(sqlite3.connect(quick.bank.config.parent / "bank.db")) as books:
        books.execute("UPDATE state SET confirmed_group = 1, cursor = x''")
        books.execute("DELETE FROM outbox")
        books.commit()
    quick.bank.start()
    async with asyncio.timeout(90):
        while True:
            said = await asyncio.to_thread(unhealthy, quick)
            if "board differs" in said:
                break
            await asyncio.sleep(0.05)
    difference = json.loads(said)["difference"]
    assert "shows 2 entries (key " in difference
    assert difference in quick.bank.text_of_log()
    withdrawal = await asyncio.to_thread(quick.withdraw, account, [fresh(3)[1]])
    assert isinstance((await asyncio.to_thread(quick.ask, withdrawal)).body, Withdrawn)
    await until(quick, lambda found: any(isinstance(each, CertifiedEntry) for each in entries_of(found)))


def unhealthy(place: Place) -> str:
    """What /healthz says, if it isn't well."""
    try:
        place.get(f"http://127.0.0.1:{place.bank.operations_port}/healthz")
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except OSError:
        pass
    return ""


async def test_books_restored_from_before_a_hold_refuse_to_run(place: Place) -> None:
    """Nothing of a hold is on the board but its number; without that the bank could sign another."""
    await place.start()
    account = await asyncio.to_thread(place.account, 8)
    coin, output = fresh(3)
    place.ask(place.withdraw(account, [output]))
    place.bank.stop()
    books = place.bank.config.parent / "bank.db"
    backup = place.network.folder / "backup"
    await asyncio.to_thread(shutil.copy, books, backup)
    place.bank.start()
    await place.bank.ready()
    held = place.order([coin], [fresh(3)[1]], tau=tau_of(os.urandom(32)))
    assert isinstance(place.ask(held).body, Hold)
    await until_fed(place)
    place.bank.stop()
    await asyncio.to_thread(restore, backup, books)
    place.bank.start()
    assert place.bank.process is not None
    assert await asyncio.to_thread(place.bank.process.wait, 90) == 1
    assert "restored from a backup" in place.bank.text_of_log().splitlines()[-1]


async def until_fed(place: Place) -> None:
    """Every group has reached the board."""
    async with asyncio.timeout(90):
        while True:
            (numbers,) = await asyncio.to_thread(
                place.books, "SELECT next_group, (SELECT max(next_group) FROM receipt) FROM state"
            )
            if numbers[0] == numbers[1]:
                return
            await asyncio.sleep(0.05)


def restore(backup: Path, books: Path) -> None:
    for name in ("bank.db", "bank.db-wal", "bank.db-shm"):
        (books.parent / name).unlink(missing_ok=True)
    shutil.copy(backup, books)

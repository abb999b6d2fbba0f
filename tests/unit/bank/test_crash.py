"""A process that dies at any step leaves all of a batch or nothing; asked again, the answers are the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bank.board.reading.client import Cursor
from bank.comparison import Compared
from bank.confirmer import confirm, read_position
from bank.formats.answer import Answer
from bank.formats.order import tau_of
from bank.formats.request import Execute, encode_request
from bank.formats.statement import Tally, units_of
from bank.stores.interface import Books
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine

BOOK_STEPS = ("spend", "certify", "count", "hold", "execute_held", "add_statement", "publish")
SQLITE_STEPS = ("flush", "add_counts", "commit", "answer")
POSTGRES_STEPS = ("read", "write_accounts", "write_orders", "write_coins", "commit", "answer")
STEPS = [
    *(("sqlite", step) for step in BOOK_STEPS + SQLITE_STEPS),
    *(("postgres", step) for step in BOOK_STEPS + POSTGRES_STEPS),
]

CHILD = """
import contextlib, json, os, sys
from bank.ledger import Moment, Signer, Terms, prepare, settle
from bank.stores.postgres import known, store as postgres, writing
from bank.stores.postgres.book import PostgresBook
from bank.stores.sqlite import SqliteBook
from mixmint.keys import SigningKey
from tests.unit.bank.engines import command_store_at

address, step, batch = sys.argv[1], sys.argv[2], json.loads(sys.stdin.read())
signer = Signer(SigningKey(bytes(32)), Terms(epoch_s=1000, hold_rounds=10, promise_rounds=5))
moment = Moment(7, 3)
store = command_store_at(address, signer.bank)

def dying(method):
    def call(*values):
        method(*values)
        os._exit(9)
    return call

def dying_later(method):
    async def call(*values):
        await method(*values)
        os._exit(9)
    return call

is_sqlite = not address.startswith("postgresql:")
book = SqliteBook if is_sqlite else PostgresBook
name = {"add_counts": "_add_counts"}.get(step, step)
if hasattr(book, name):
    setattr(book, name, dying(getattr(book, name)))
elif step == "commit" and is_sqlite:
    # The last thing before COMMIT: everything was written, nothing is durable.
    writing_ = SqliteBook.writing
    @contextlib.contextmanager
    def to_the_brink(self):
        with writing_(self) as book:
            yield book
        os._exit(9)
    SqliteBook.writing = to_the_brink
elif step == "read":
    known.Known.fetch = dying_later(known.Known.fetch)
elif step in ("write_accounts", "write_orders"):
    setattr(writing, f"_{step}", dying_later(getattr(writing, f"_{step}")))
elif step == "write_coins":
    writing._columns = dying(writing._columns)
elif step == "commit":
    postgres.write = dying_later(postgres.write)
prepared = [prepare(bytes.fromhex(each), signer, moment) for each in batch]
store.run(lambda book: [settle(each, signer, book, moment) for each in prepared])
os._exit(9)  # step "answer": committed, and nobody was told
"""


def die(engine: Engine, step: str, batch: list[bytes]) -> None:
    """Run the batch in a child that dies at the step."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, engine.address, step],
        input=json.dumps([each.hex() for each in batch]).encode(),
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 9, child.stderr.decode()


def kinds(answers: list[bytes]) -> list[str]:
    return [type(Answer.decode(answer).body).__name__ for answer in answers]


@pytest.mark.parametrize(("engine", "step"), STEPS, indirect=["engine"])
def test_whatever_step_the_bank_dies_at_the_batch_happens_once(desk: Desk, step: str) -> None:
    """
    A batch of every kind of request. After the crash there is all of it or nothing; asked again, everything
    is answered well, the books add up and the outbox has each group once.
    """
    account = desk.account(100)
    h = os.urandom(32)
    held = desk.order([desk.coin(2)], [fresh(2)[1]], tau=tau_of(h))
    batch = [
        encode_request(desk.order([desk.coin(3)], [fresh(2)[1], fresh(2)[1]])),
        encode_request(desk.withdraw(account, [fresh(4)[1]])),
        encode_request(held),
        encode_request(Execute(held.seal, h)),
        encode_request(desk.order([desk.coin(1), desk.coin(1)], [fresh(2)[1]])),
    ]
    before = desk.units("certified") - desk.units("spent")
    desk.close()
    die(desk.engine, step, batch)
    desk.store = desk.engine.command_store(desk.bank)
    done = step == "answer"
    assert (desk.count("spent"), desk.count("held_order")) == ((4, 1) if done else (0, 0))
    assert len(desk.groups()) == (5 if done else 0)
    assert sum(tally.certified for tally in desk.tallies().values()) == (5 if done else 0)

    answers = desk.ask_all(batch)
    assert kinds(answers) == ["Certificates", "Withdrawn", "Hold", "Certificates", "Certificates"]
    desk.reopen()
    desk.closed += 2
    assert desk.ask_all(batch) == answers
    assert len(desk.groups()) == 5
    totals = units_of(desk.run(lambda book: book.tallies()))
    assert totals == Tally(withdrawn=16, exchanged=16, spent=16)
    assert desk.units("certified") - desk.units("spent") == before + 16
    assert desk.newest(account).balance == 84


def test_a_crash_while_groups_are_confirmed_loses_none(desk: Desk) -> None:
    """Their deletion, and how far the board was read, are one transaction."""
    desk.ask(desk.order([desk.coin(3)], [fresh(3)[1]]))

    def dies(book: Books) -> None:
        confirm(book, Compared(Cursor(5), 2, True, None))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.run(dies)
    desk.reopen()
    assert len(desk.groups()) == 1
    position = desk.run(read_position)
    assert (position.group, position.cursor) == (1, Cursor())

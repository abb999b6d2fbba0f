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
from bank.stores.sqlite import SqliteBook, SqliteView, run_once
from tests.unit.bank.desk import Desk, fresh

STEPS = [
    *("spend", "certify", "count", "hold", "execute_held", "add_statement", "publish"),
    *("flush", "add_counts", "commit", "answer"),
]

CHILD = """
import json, os, sys
from pathlib import Path
from bank.stores.sqlite import SqliteBook
from tests.unit.bank.desk import Desk

folder, step, after, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.stdin.read())
desk = Desk(folder)
name = {"flush": "_flush", "add_counts": "_add_counts"}.get(step, step)
calls = 0

def dying(method):
    def call(self, *values):
        global calls
        result = method(self, *values)
        calls += 1
        if calls > after:
            os._exit(9)
        return result
    return call

if hasattr(SqliteBook, name):
    setattr(SqliteBook, name, dying(getattr(SqliteBook, name)))
if step == "commit":
    # The last thing before COMMIT: everything was written, nothing is durable.
    import contextlib
    writing = SqliteBook.writing
    @contextlib.contextmanager
    def to_the_brink(self):
        with writing(self) as book:
            yield book
        os._exit(9)
    SqliteBook.writing = to_the_brink
desk.ask_all([bytes.fromhex(each) for each in batch])
os._exit(9)  # step "answer": committed, and nobody was told
"""


def die(folder: Path, step: str, after: int, batch: list[bytes]) -> None:
    """Run the batch in a child that dies at the step, after it was passed ``after`` times."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), step, str(after)],
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


@pytest.mark.parametrize("step", STEPS)
def test_whatever_step_the_bank_dies_at_the_batch_happens_once(desk: Desk, tmp_path: Path, step: str) -> None:
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
    desk.connection.close()
    die(tmp_path, step, 0, batch)
    desk.reopen()
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
    totals = units_of(run_once(desk.connection, lambda book: book.tallies()))
    assert totals == Tally(withdrawn=16, exchanged=16, spent=16)
    assert desk.units("certified") - desk.units("spent") == before + 16
    assert desk.newest(account).balance == 84


def test_a_crash_while_groups_are_confirmed_loses_none(desk: Desk) -> None:
    """Their deletion, and how far the board was read, are one transaction."""
    desk.ask(desk.order([desk.coin(3)], [fresh(3)[1]]))

    def dies(book: SqliteBook) -> None:
        confirm(book, Compared(Cursor(5), 2, True, None))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(desk.connection, dies)
    desk.reopen()
    assert len(desk.groups()) == 1
    position = read_position(SqliteView(desk.connection))
    assert (position.group, position.cursor) == (1, Cursor())

"""
Make the vectors of the bank's statements: ``python -m tests.vectors.make_statement``, to ``statement.json``.

Deterministic: seeds and roots are repeated bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from bank.board.log.tree import EMPTY_ROOT
from bank.formats.coin import bank_id
from bank.formats.entry import StatementEntry, make_replaced_entry
from bank.formats.statement import BankStatement, Row, Tally, sign_statement, units_of
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "statement.json"
KEY = SigningKey(b"\1" * 32)
BANK = bank_id(KEY.public)
ROWS = (
    Row(0, 687, Tally(withdrawn=5)),
    Row(3, 686, Tally(withdrawn=2, exchanged=3, spent=4, deposited=1)),
    Row(3, 687, Tally(withdrawn=1)),
    Row(20, 1, Tally(withdrawn=2, spent=1, deposited=1, replaced=1)),
)
CHANGED = (Row(3, 687, Tally(withdrawn=1, exchanged=2, spent=2)),)


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    after = [*ROWS[:2], *CHANGED, ROWS[3]]
    first = sign_statement(KEY, BANK, 1, 0, EMPTY_ROOT, Tally(), ())
    second = sign_statement(KEY, BANK, 2, 70_000, b"\2" * 32, units_of(ROWS), ROWS)
    third = sign_statement(KEY, BANK, 3, 2**40, b"\3" * 32, units_of(after), CHANGED)
    made = sign_statement(KEY, BANK, 4, 1, b"\4" * 32, Tally(exchanged=9, spent=8), ())
    replaced = sign_statement(KEY, BANK, 4, 1, b"\4" * 32, Tally(withdrawn=1, replaced=2), ())
    entry = second.encode()
    return {
        "about": "made by tests/vectors/make_statement.py; see docs/spec/statement.md; hex",
        "bank": {"seed": KEY.seed.hex(), "public": KEY.public.hex(), "id": BANK.hex()},
        "statements": [_plain(each) for each in (first, second, third)],
        "unbalanced": [_plain(each) for each in (made, replaced)],
        "malformed": {
            "length": [entry[:-1].hex(), (entry + b"\0").hex(), ""],
            "counts": [_with(entry, 32, bytes(4)).hex(), _with(entry, 116, b"\2\xd1").hex()],
            "value": [_with(entry, 118, b"\x15").hex()],
            "order-of-rows": [
                _sign_as_given(ROWS[::-1]).hex(),
                _sign_as_given((ROWS[0], ROWS[0])).hex(),
            ],
        },
        "replaced": make_replaced_entry(KEY, BANK, b"\5" * 32, 3, 686).encode().hex(),
    }


def _with(data: bytes, at: int, field: bytes) -> bytes:
    return data[:at] + field + data[at + len(field) :]


def _sign_as_given(rows: Sequence[Row]) -> bytes:
    """Signed well, but with the rows in this order."""
    unsigned = BankStatement(BANK, 2, 0, EMPTY_ROOT, Tally(), tuple(rows), b"")
    return unsigned.signed_part() + KEY.sign("mixmint/bank-statement/v1", unsigned.signed_part())  # type: ignore[arg-type]  # a label by its text


def _plain(statement: BankStatement) -> dict[str, object]:
    return {
        "sequence": statement.sequence,
        "size": statement.size,
        "root": statement.root.hex(),
        "totals": list(statement.totals.numbers()),
        "rows": [[row.exponent, row.epoch, *astuple(row.tally)] for row in statement.rows],
        "bytes": statement.encode().hex(),
        "entry": StatementEntry(statement).encode().hex(),
    }


def as_text() -> str:
    """The file's content."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

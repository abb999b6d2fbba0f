"""
The coin index: where each coin was certified and where it was spent; and the totals that follow from it.

One row per coin. The database finds a repeat (primary key, ``spent IS NULL``) while it writes, so an honest
round costs one statement per entry and no look-up of its own.

The board is a witness, not a judge. A coin certified twice, spent twice, or spent without ever being
certified goes on record like everything else, and is counted where everyone sees it: the two entries carry
signatures that only the bank, or only the holder of the coin's secret, can have made. Refusing them would
hide the evidence, and one bad group would stop the bank's feed for everybody.

Source: docs/spec/board.md, section 5.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from bank.board.totals import Totals
from bank.formats.coin import coin_id
from bank.formats.entry import Kind

SCHEMA = """
CREATE TABLE coins (
    coin      BLOB PRIMARY KEY,
    certified INTEGER,  -- index of the first entry that certifies it
    exponent  INTEGER,
    spent     INTEGER   -- index of the first entry that spends it
) WITHOUT ROWID;
CREATE TABLE repeats (
    coin  BLOB NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (coin, entry)
) WITHOUT ROWID;
"""

_CERTIFY = "INSERT OR IGNORE INTO coins (certified, exponent, coin) VALUES (?, ?, ?)"
_SPEND = "UPDATE coins SET spent = ? WHERE coin = ? AND spent IS NULL RETURNING exponent"


@dataclass
class _Change:
    """What one round adds to the totals."""

    certified_units: int = 0
    spent_units: int = 0
    coins: int = 0
    spent_coins: int = 0
    unknown: int = 0
    repeats: list[tuple[bytes, int]] = field(default_factory=list)


def index_round(connection: sqlite3.Connection, first: int, entries: Sequence[bytes]) -> Totals:
    """
    Put a round's entries, sorted, into the index, inside the transaction that closes the round.

    Returns what the round adds to the totals. In sorted order a coin's certificate comes before its
    spending, so a coin made and spent within one round counts as both.
    """
    certified: list[tuple[int, int, bytes]] = []
    spent: list[tuple[int, bytes]] = []
    accounts = 0
    for index, entry in enumerate(entries, start=first):
        kind = entry[0]
        if kind == Kind.CERTIFIED:
            certified.append((index, entry[33], entry[1:33]))
        elif kind == Kind.SPENT:
            spent.append((index, coin_id(entry[1:33])))
        elif kind == Kind.ACCOUNT:
            accounts += 1
    # By coin id, as the table is: neighbours share a page. (Spent entries come sorted by key, not by id.)
    spent.sort(key=_by_coin)
    change = _Change()
    _certify(connection, certified, change)
    _spend(connection, spent, change)
    if change.repeats:
        connection.executemany("INSERT INTO repeats (coin, entry) VALUES (?, ?)", change.repeats)
    return Totals(
        change.certified_units,
        change.spent_units,
        change.coins,
        change.spent_coins,
        accounts,
        len(change.repeats),
        change.unknown,
    )


def _by_coin(row: tuple[int, bytes]) -> bytes:
    return row[1]


def _certify(connection: sqlite3.Connection, rows: list[tuple[int, int, bytes]], change: _Change) -> None:
    added = connection.executemany(_CERTIFY, rows).rowcount if rows else 0
    change.coins += len(rows)
    change.certified_units += sum([1 << exponent for _, exponent, _ in rows])
    if added == len(rows):
        return
    # Somebody cheats: find out which rows the database ignored. Only their round pays for it.
    for index, exponent, coin in rows:
        (before,) = connection.execute("SELECT certified FROM coins WHERE coin = ?", (coin,)).fetchone()
        if before == index:
            continue
        if before is None:
            # It was spent first, as unknown; now its value is known.
            connection.execute(
                "UPDATE coins SET certified = ?, exponent = ? WHERE coin = ?", (index, exponent, coin)
            )
            change.spent_units += 1 << exponent
            change.spent_coins += 1
            continue
        change.coins -= 1
        change.certified_units -= 1 << exponent
        change.repeats.append((coin, index))


def _spend(connection: sqlite3.Connection, rows: list[tuple[int, bytes]], change: _Change) -> None:
    execute = connection.execute
    for row in rows:
        found = execute(_SPEND, row).fetchone()
        if found is None or found[0] is None:
            _spend_oddly(connection, row, change)
        else:
            change.spent_units += 1 << found[0]
            change.spent_coins += 1


def _spend_oddly(connection: sqlite3.Connection, row: tuple[int, bytes], change: _Change) -> None:
    """A coin that was spent already, or that was never certified."""
    index, coin = row
    added = connection.execute("INSERT OR IGNORE INTO coins (spent, coin) VALUES (?, ?)", row).rowcount
    if added:
        change.unknown += 1
    else:
        change.repeats.append((coin, index))


def find_coin(connection: sqlite3.Connection, coin: bytes) -> list[int]:
    """The indexes of all entries about a coin, ascending; empty when the board has none."""
    row = connection.execute("SELECT certified, spent FROM coins WHERE coin = ?", (coin,)).fetchone()
    found = [index for index in row or () if index is not None]
    repeats = connection.execute("SELECT entry FROM repeats WHERE coin = ?", (coin,))
    return sorted(found + [index for (index,) in repeats])

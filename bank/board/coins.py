"""
The coin index: where each coin was certified and where it was spent; and the totals that follow from it.

Coin ids are random, so a round of 1,000 entries touches 1,000 places of the table, and writing them at once
would write nearly a page for each: twenty times the entries themselves. So changed rows wait in memory, in 32
slices by the first bits of the id, and each round writes the one slice whose turn it is: as many rows, but
close together. After 32 rounds everything is written. The rounds themselves are the truth: what waits is read
from the last 32 again after a restart, or after a transaction that failed.

The board is a witness, not a judge. A coin certified twice, spent twice, or spent without ever being
certified goes on record like everything else, and is counted where everyone sees it: the two entries carry
signatures that only the bank, or only the holder of the coin's secret, can have made. Refusing them would
hide the evidence, and one bad group would stop the bank's feed for everybody.

Source: docs/spec/board.md, section 5.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bank.board.rounds import unpack
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

SLICES = 32
_SHIFT = 3
"""Of an id's first byte: 256 values, 32 slices."""

_FIND = "SELECT certified, exponent, spent FROM coins WHERE coin = ?"


@dataclass(slots=True)
class _Coin:
    """One coin's row: indexes of its first entries, None where there is none."""

    certified: int | None = None
    exponent: int = 0
    spent: int | None = None


@dataclass(slots=True)
class _Change:
    """What one round adds."""

    certified_units: int = 0
    spent_units: int = 0
    coins: int = 0
    spent_coins: int = 0
    accounts: int = 0
    unknown: int = 0
    repeats: list[tuple[bytes, int]] = field(default_factory=list)

    def totals(self) -> Totals:
        return Totals(
            self.certified_units,
            self.spent_units,
            self.coins,
            self.spent_coins,
            self.accounts,
            len(self.repeats),
            self.unknown,
        )


class CoinIndex:
    """Used by the thread that writes, inside the transaction that closes a round."""

    def __init__(self) -> None:
        self._waiting: list[dict[bytes, _Coin]] = [{} for _ in range(SLICES)]
        self._round: int | None = None
        """What waits belongs to a log that ends with this round; None: unknown, read it again."""

    def add_round(
        self, connection: sqlite3.Connection, number: int, first: int, entries: Sequence[bytes]
    ) -> Totals:
        """
        Put a round's entries, sorted, into the index; ``first`` is the index of the first of them.

        Returns what the round adds to the totals. In sorted order a coin's certificate comes before its
        spending, so a coin made and spent within one round counts as both.
        """
        if self._round != number - 1:
            self._read_again(connection, number - 1)
        self._round = None
        change = _Change()
        for index, entry in enumerate(entries, start=first):
            kind = entry[0]
            if kind == Kind.CERTIFIED:
                self._certify(connection, index, entry[1:33], entry[33], change)
            elif kind == Kind.SPENT:
                self._spend(connection, index, coin_id(entry[1:33]), change)
            elif kind == Kind.ACCOUNT:
                change.accounts += 1
        if change.repeats:
            connection.executemany("INSERT INTO repeats (coin, entry) VALUES (?, ?)", change.repeats)
        self._write_slice(connection, number % SLICES)
        self._round = number
        return change.totals()

    def _certify(
        self, connection: sqlite3.Connection, index: int, coin: bytes, exponent: int, change: _Change
    ) -> None:
        row = self._row(connection, coin)
        if row.certified is not None:
            change.repeats.append((coin, index))
            return
        row.certified, row.exponent = index, exponent
        change.coins += 1
        change.certified_units += 1 << exponent
        if row.spent is not None:
            # It was spent before, as unknown; now its value is known.
            change.spent_coins += 1
            change.spent_units += 1 << exponent

    def _spend(self, connection: sqlite3.Connection, index: int, coin: bytes, change: _Change) -> None:
        row = self._row(connection, coin)
        if row.spent is not None:
            change.repeats.append((coin, index))
            return
        row.spent = index
        if row.certified is None:
            change.unknown += 1
        else:
            change.spent_coins += 1
            change.spent_units += 1 << row.exponent

    def _row(self, connection: sqlite3.Connection, coin: bytes) -> _Coin:
        """The coin's row, to be changed: from now on it waits to be written."""
        waiting = self._waiting[coin[0] >> _SHIFT]
        row = waiting.get(coin)
        if row is None:
            found = connection.execute(_FIND, (coin,)).fetchone()
            row = waiting[coin] = _Coin(*found) if found else _Coin()
        return row

    def _write_slice(self, connection: sqlite3.Connection, number: int) -> None:
        waiting = self._waiting[number]
        if waiting:
            rows = [(coin, row.certified, row.exponent, row.spent) for coin, row in sorted(waiting.items())]
            connection.executemany("INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?)", rows)
            self._waiting[number] = {}

    def _read_again(self, connection: sqlite3.Connection, newest: int) -> None:
        """Rows that may wait: those of the last rounds. Writing one that isn't new changes nothing."""
        self._waiting = [{} for _ in range(SLICES)]
        for index, coin, exponent in _recent(connection, newest):
            row = self._row(connection, coin)
            if exponent is None:
                row.spent = index if row.spent is None else row.spent
            elif row.certified is None:
                row.certified, row.exponent = index, exponent


def _recent(connection: sqlite3.Connection, newest: int) -> Iterator[tuple[int, bytes, int | None]]:
    """Of the last rounds, ascending: index, coin, and the exponent of those certified (None: spent)."""
    bundles = connection.execute(
        "SELECT first, entries FROM bundles"
        " WHERE first >= coalesce((SELECT first FROM rounds WHERE round = ?), 0) ORDER BY first",
        (newest - SLICES + 1,),
    )
    for first, bundle in bundles:
        for index, entry in enumerate(unpack(bundle), start=first):
            if entry[0] == Kind.CERTIFIED:
                yield index, entry[1:33], entry[33]
            elif entry[0] == Kind.SPENT:
                yield index, coin_id(entry[1:33]), None


def find_coin(connection: sqlite3.Connection, coin: bytes) -> list[int]:
    """
    The indexes of all entries about a coin, ascending; empty when no closed round has one.

    Reads the database only (two reads of one transaction), so it may run beside the writer.
    """
    connection.execute("BEGIN")
    try:
        row = connection.execute("SELECT certified, spent FROM coins WHERE coin = ?", (coin,)).fetchone()
        found = {index for index in row or () if index is not None}
        repeats = connection.execute("SELECT entry FROM repeats WHERE coin = ?", (coin,))
        found.update(index for (index,) in repeats)
        (newest,) = connection.execute("SELECT coalesce(max(round), 0) FROM rounds").fetchone()
        found.update(index for index, recent, _ in _recent(connection, newest) if recent == coin)
    finally:
        connection.execute("COMMIT")
    return sorted(found)

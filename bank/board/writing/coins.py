"""
The coin index: where each coin was certified and where it was spent; and the totals that follow from it.

Coin ids are random, so a round of 1,000 entries touches 1,000 places of the table, and writing them at once
would write nearly a page for each: twenty times the entries themselves. So changed rows wait in memory, in 32
slices by the first bits of the id, and each round writes the one slice whose turn it is: as many rows, but
close together. After 32 rounds everything is written. The log is the truth: what waits is read from its last
32 rounds again after a restart, or after a transaction that failed.

The board is a witness, not a judge. A coin certified twice, spent twice, or spent without ever being
certified goes on record like everything else, and is counted where everyone sees it: the two entries carry
signatures that only the bank, or only the holder of the coin's secret, can have made. Refusing them would
hide the evidence, and one bad group would stop the bank's feed for everybody.

Source: docs/spec/board.md, section 7.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import chain

from bank.board.totals import Totals
from bank.board.writing import bank_keys
from bank.formats.coin import coin_id
from bank.formats.entry import Kind

SCHEMA = """
CREATE TABLE coins (             -- indexes in the log of the first entry of each kind that counts
    coin      BLOB PRIMARY KEY,
    certified INTEGER,
    worth     INTEGER,           -- epoch * 256 + exponent, as first certified or posted
    spent     INTEGER,
    posted    INTEGER,
    replaced  INTEGER
) WITHOUT ROWID;
CREATE TABLE repeats (
    coin  BLOB NOT NULL,
    entry INTEGER NOT NULL,      -- also of what a change of the bank's key made void
    PRIMARY KEY (coin, entry)
) WITHOUT ROWID;
"""

MOST_REPEATS = 32
"""Repeats of one coin that are looked up: one convicts, and a bank could feed millions."""
SLICES = 32
_SHIFT = 3
"""Of an id's first byte: 256 values, 32 slices."""

_AT_ONCE = 250
_FIND = f"SELECT * FROM coins WHERE coin IN ({', '.join('?' * _AT_ONCE)})"  # noqa: S608 - places, no values
_WRITE = "INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?, ?, ?)"
_CERTIFIED, _SPENT, _POSTED = int(Kind.CERTIFIED), int(Kind.SPENT), int(Kind.POSTED)
_REPLACED, _ACCOUNT = int(Kind.REPLACED), int(Kind.ACCOUNT)

Bundles = Iterable[tuple[int, Sequence[bytes]]]
"""Leaves of the log with the index of the first of each run."""
ReadLog = Callable[[int, int], Bundles]
"""Leaves first .. stop - 1."""


@dataclass(slots=True)
class _Coin:
    """One coin's row: indexes of its first entries, None where there is none."""

    certified: int | None = None
    worth: int | None = None
    spent: int | None = None
    posted: int | None = None
    replaced: int | None = None

    @property
    def units(self) -> int:
        return 0 if self.worth is None else 1 << (self.worth & 0xFF)

    @property
    def ended(self) -> bool:
        return self.spent is not None or self.replaced is not None


@dataclass(slots=True)
class _Change:
    """What one round adds."""

    certified_units: int = 0
    spent_units: int = 0
    coins: int = 0
    spent_coins: int = 0
    accounts: int = 0
    unknown: int = 0
    replaced_units: int = 0
    replaced_coins: int = 0
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
            self.replaced_units,
            self.replaced_coins,
        )

    def create(self, row: _Coin) -> None:
        """A coin's value became known."""
        self.coins += 1
        self.certified_units += row.units
        if row.ended:
            # It ended before, as unknown.
            self.end(row)

    def end(self, row: _Coin) -> None:
        """A coin of known value was spent or replaced, the first of both counts."""
        if row.spent is not None and (row.replaced is None or row.spent < row.replaced):
            self.spent_coins += 1
            self.spent_units += row.units
        else:
            self.replaced_coins += 1
            self.replaced_units += row.units


class CoinIndex:
    """
    Written by one thread, inside the transaction that closes a round; ``find`` is for any other.

    ``read_log``: leaves of published rounds.
    """

    def __init__(self, read_log: ReadLog) -> None:
        self._read_log = read_log
        self._waiting: list[dict[bytes, _Coin]] = [{} for _ in range(SLICES)]
        self._written: dict[bytes, _Coin] = {}
        """What the last round wrote. Its transaction may still be open, so ``find`` needs it here."""
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
        self.load(connection, number - 1, first)
        self._round = None
        change = _Change(accounts=sum(entry[0] == _ACCOUNT for entry in entries))
        events = list(_events(((first, entries),)))
        rows = self._rows(connection, {coin for _, coin, _, _ in events})
        for index, coin, kind, worth in events:
            row = rows[coin]
            if worth is None:
                self._end(row, kind, (coin, index), change)
            elif kind == "posted" or row.certified is None:
                # Unlike a certificate that the bank publishes twice, one that its holder posts again says
                # nothing against the bank; unless it is another one.
                self._certify(row, kind, worth, (coin, index), change)
            else:
                change.repeats.append((coin, index))
        if change.repeats:
            connection.executemany("INSERT INTO repeats (coin, entry) VALUES (?, ?)", change.repeats)
        self._write_slice(connection, number % SLICES)
        self._round = number
        return change.totals()

    def void(
        self, connection: sqlite3.Connection, first: int, leaves: Sequence[bytes], void: range
    ) -> Totals:
        """
        The bank's signatures at the leaves ``void`` count no more, since its key was changed in the round
        just added, whose leaves begin at ``first``. Returns what that changes in the totals.

        The entries are found as repeats are, for everyone to see. Written at once: what waits for its turn is
        read again from the newest rounds only.
        """
        if not void:
            return Totals()
        bundles = chain(self._read_log(min(void.start, first), first), [(first, leaves)])
        events = [each for each in _events(bundles) if each[0] in void and each[2] != "spent"]
        rows = self._rows(connection, {coin for _, coin, _, _ in events})
        was = sum((_shown(row) for row in rows.values()), start=Totals())
        for index, coin, kind, _ in events:
            if getattr(rows[coin], kind) == index:
                setattr(rows[coin], kind, None)
        for row in rows.values():
            if row.certified is None and row.posted is None:
                row.worth = None
        among = (void.start, void.stop)
        counted = connection.execute("SELECT count(*) FROM repeats WHERE entry >= ? AND entry < ?", among)
        repeats = counted.fetchone()[0]
        connection.executemany(
            "INSERT OR IGNORE INTO repeats (coin, entry) VALUES (?, ?)",
            [(coin, index) for index, coin, _, _ in events],
        )
        connection.executemany(_WRITE, [(coin, *astuple(row)) for coin, row in sorted(rows.items())])
        now = sum((_shown(row) for row in rows.values()), start=Totals(repeats=-repeats))
        return now.minus(was)

    def is_at(self, number: int) -> bool:
        """Whether this round was added last, and nothing needs to be read."""
        return self._round == number

    def find(self, connection: sqlite3.Connection, coin: bytes) -> list[int]:
        """
        The indexes of the entries about a coin, ascending: the first of each kind, and the first repeats.
        Rounds that are being closed count too.

        Memory before table: a row leaves memory only after the transaction that wrote it has ended.
        """
        row = self._waiting[coin[0] >> _SHIFT].get(coin) or self._written.get(coin)
        if row is None:
            row = _find_many(connection, [coin]).get(coin, _Coin())
        query = "SELECT entry FROM repeats WHERE coin = ? ORDER BY entry LIMIT ?"
        repeats = connection.execute(query, (coin, MOST_REPEATS))
        found = {row.certified, row.spent, row.posted, row.replaced} | {index for (index,) in repeats}
        return sorted(index for index in found if index is not None)

    def _certify(self, row: _Coin, kind: str, worth: int, place: tuple[bytes, int], change: _Change) -> None:
        if kind == "certified":
            row.certified = place[1]
        elif row.posted is None:
            row.posted = place[1]
        if row.worth is None:
            row.worth = worth
            change.create(row)
        elif row.worth != worth:
            change.repeats.append(place)

    def _end(self, row: _Coin, kind: str, place: tuple[bytes, int], change: _Change) -> None:
        ended = row.ended
        if kind == "spent":
            row.spent = place[1] if row.spent is None else row.spent
        else:
            row.replaced = place[1] if row.replaced is None else row.replaced
        if ended:
            change.repeats.append(place)
        elif row.worth is None:
            change.unknown += 1
        else:
            change.end(row)

    def _rows(self, connection: sqlite3.Connection, coins: Iterable[bytes]) -> dict[bytes, _Coin]:
        """The coins' rows, to be changed: from now on they wait to be written."""
        slices = self._waiting
        rows = {coin: slices[coin[0] >> _SHIFT].get(coin) for coin in coins}
        fresh = [coin for coin, row in rows.items() if row is None]
        found = _find_many(connection, fresh)
        for coin in fresh:
            rows[coin] = slices[coin[0] >> _SHIFT][coin] = found.get(coin) or _Coin()
        return rows  # type: ignore[return-value]  # none of them is None any more

    def _write_slice(self, connection: sqlite3.Connection, number: int) -> None:
        waiting = self._waiting[number]
        self._written = waiting
        if waiting:
            rows = [
                (coin, row.certified, row.worth, row.spent, row.posted, row.replaced)
                for coin, row in sorted(waiting.items())
            ]
            connection.executemany(_WRITE, rows)
            self._waiting[number] = {}

    def load(self, connection: sqlite3.Connection, newest: int, stop: int, more: Bundles = ()) -> None:
        """
        Read the rows that may wait, those of the last rounds up to ``newest``: from the log up to ``stop``,
        then from ``more`` leaves that it hasn't yet. Nothing to do when they are here already.

        Writing one that isn't new changes nothing.
        """
        if self._round == newest:
            return
        oldest = connection.execute(
            "SELECT first FROM rounds WHERE round = ?", (newest - SLICES + 1,)
        ).fetchone()
        log = self._read_log(oldest[0] if oldest else 0, stop)
        voids = bank_keys.voids(connection)
        events = [
            each
            for each in _events(chain(log, more))
            if each[2] == "spent" or not any(each[0] in void for void in voids)
        ]
        self._waiting, self._written = [{} for _ in range(SLICES)], {}
        rows = self._rows(connection, {coin for _, coin, _, _ in events})
        for index, coin, kind, worth in events:
            row = rows[coin]
            if getattr(row, kind) is None:
                setattr(row, kind, index)
            if row.worth is None:
                row.worth = worth
        self._round = newest


def _shown(row: _Coin) -> Totals:
    """What one coin's row adds to the totals."""
    change = _Change()
    if row.worth is not None:
        change.create(row)
    elif row.ended:
        change.unknown += 1
    return change.totals()


def _find_many(connection: sqlite3.Connection, coins: Sequence[bytes]) -> dict[bytes, _Coin]:
    """The rows that the table has. Many in one statement: four times faster than one by one."""
    found: dict[bytes, _Coin] = {}
    for at in range(0, len(coins), _AT_ONCE):
        some = coins[at : at + _AT_ONCE]
        # As many as there are places, so that it is one statement, prepared once.
        for coin, *row in connection.execute(_FIND, (*some, *(_AT_ONCE - len(some)) * (some[0],))):
            found[coin] = _Coin(*row)
    return found


def _worth(entry: bytes) -> int:
    return int.from_bytes(entry[34:38]) << 8 | entry[33]


def _events(bundles: Bundles) -> Iterator[tuple[int, bytes, str, int | None]]:
    """Index, coin, the row's field, and what the coin is worth where the entry says so."""
    for first, entries in bundles:
        for index, entry in enumerate(entries, start=first):
            kind = entry[0]
            if kind == _CERTIFIED:
                yield index, entry[1:33], "certified", _worth(entry)
            elif kind == _SPENT:
                yield index, coin_id(entry[1:33]), "spent", None
            elif kind == _POSTED:
                yield index, entry[1:33], "posted", _worth(entry)
            elif kind == _REPLACED:
                yield index, entry[1:33], "replaced", None

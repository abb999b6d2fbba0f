"""
The purse on disk: coins, operations, counters. One SQLite file, everything in it encrypted.

    fact         seed, device number, account chain's head, cursor on the board
    counter      how many secrets of each purpose were made (never less than were used), and the last of them
                 that the board showed
    copy         of other copies of this wallet: the counter after the last one that the board showed
    coin         each secret that was ever made, and what became of it
    operation    each operation's state, open or over (wallet/machines)

A coin's row is found by a keyed hash of its id, so a copied file doesn't even tell which public coins are
meant. States and kinds are inside the sealed values; in the clear are row numbers and "open or not".

Rows are small in number (thousands), so reading opens them all: no query needs more than that.
"""

import hmac
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bank.formats.order import Output
from mixmint.database import open_database, remove_database
from mixmint.errors import FatalError, UserError
from mixmint.keys import Label, SigningKey, sync_folder
from mixmint.sealing import Sealer
from wallet.coins import CoinRecord, CoinState
from wallet.derivation import Purpose, account_key, derive
from wallet.operations import Machine, PlanState, Stored, decode_stored, encode_stored

__all__ = ["FILE_NAME", "MOST_AHEAD", "SCHEMA", "CoinRecord", "CoinState", "Purse", "context_of"]

INDEX_LABEL = Label("mixmint/purse-index/v1")
FILE_NAME = "wallet.db"
SEED_BYTES = 32
SCHEMA = (
    """
    CREATE TABLE fact (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE counter (purpose INTEGER PRIMARY KEY, next INTEGER NOT NULL);
    CREATE TABLE coin (row INTEGER PRIMARY KEY, found BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL);
    CREATE TABLE operation (row INTEGER PRIMARY KEY, open INTEGER NOT NULL, sealed BLOB NOT NULL);
    CREATE INDEX operation_open ON operation (open) WHERE open;
    """,
    """
    ALTER TABLE counter ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE copy (
        device  INTEGER NOT NULL,
        purpose INTEGER NOT NULL,
        next    INTEGER NOT NULL,
        PRIMARY KEY (device, purpose)
    ) WITHOUT ROWID;
    """,
)
MOST_AHEAD = 2**20
"""So far a restore looks past the last coin that the board shows; so no wallet may count further."""


class Purse:
    """
    The store. Every method that writes must be called inside ``with purse.transaction()``; what was written
    there is on disk when the block ends, all of it or nothing.

    One process at a time: the caller holds the home folder's lock.
    """

    def __init__(self, path: Path, sealer: Sealer, bank: bytes) -> None:
        """Open an existing purse. Raises UserError if there is none, FatalError if it doesn't open."""
        if not path.exists():
            raise UserError(f"{path} is missing; make a wallet: mixmint wallet init, or restore it")
        self._sealer = sealer
        self._connection = open_database(path, SCHEMA)
        self.bank = bank
        seed = self.fact("seed")
        if seed is None:
            self.close()
            raise FatalError(f"{path} has no seed; the wallet was never finished: move it away, init again")
        self._seed = seed
        self.device = int.from_bytes(self.fact("device") or bytes(2))
        # A purse belongs to one bank: another one's certificates would never verify against its coins.
        if self.fact("bank") != bank:
            self.close()
            raise UserError("this wallet belongs to another bank than the directory's; use another --home")

    @classmethod
    def create(
        cls, path: Path, sealer: Sealer, bank: bytes, seed: bytes | None = None, **more: bytes
    ) -> "Purse":
        """
        Make a purse with a fresh seed (32 bytes), or this one. ``more``: facts that are there from the first
        moment. Raises UserError if one is there.
        """
        if path.exists():
            raise UserError(f"{path} exists already; one home holds one wallet")
        # Under its name it is whole: a crash leaves nothing that must be moved away.
        fresh = path.with_name(path.name + ".new")
        remove_database(fresh)
        connection = open_database(fresh, SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        facts = {"seed": seed or os.urandom(SEED_BYTES), "device": bytes(2), "bank": bank} | more
        for name, value in facts.items():
            sealed = sealer.seal(value, context_of("fact", name))
            connection.execute("INSERT INTO fact VALUES (?, ?)", (name, sealed))
        connection.execute("COMMIT")
        connection.close()
        fresh.rename(path)
        sync_folder(path.parent)
        return cls(path, sealer, bank)

    def close(self) -> None:
        self._connection.close()

    def reveal_seed(self) -> bytes:
        """The seed (32 bytes), for whoever writes it down. Nothing else gets it."""
        return self._seed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit, with an fsync at its end; an exception takes everything back."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise UserError(f"the wallet can't write: {error}; is the disk full?") from None

    # Facts

    def fact(self, name: str) -> bytes | None:
        """A stored value, or None."""
        found = self._connection.execute("SELECT sealed FROM fact WHERE name=?", (name,)).fetchone()
        return None if found is None else self._sealer.open(found[0], context_of("fact", name))

    def facts(self, prefix: str) -> list[bytes]:
        """All stored values whose names begin so, in no meaningful order."""
        rows = self._connection.execute(
            "SELECT name, sealed FROM fact WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)
        )
        return [self._sealer.open(sealed, context_of("fact", name)) for name, sealed in rows]

    def set_fact(self, name: str, value: bytes) -> None:
        sealed = self._sealer.seal(value, context_of("fact", name))
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, sealed))

    def account(self) -> SigningKey:
        """The key of the member's account at the bank."""
        return account_key(self._seed, self.bank)

    # Coins

    def expect(
        self,
        purpose: Purpose,
        exponents: Iterable[int],
        operation: int,
        *,
        exchanges: int = 0,
        recognisable: bool = False,
    ) -> tuple[Output, ...]:
        """Fresh ids with these values, sorted as an order wants them; the secrets are on file first."""
        outputs = []
        for exponent in exponents:
            counter = self._next(purpose)
            record = CoinRecord(
                secret=derive(self._seed, self.bank, self.device, purpose, counter),
                exponent=exponent,
                state=CoinState.EXPECTED,
                purpose=purpose,
                counter=counter,
                exchanges=exchanges,
                recognisable=recognisable,
                operation=operation,
                device=self.device,
            )
            self._add_coin(record)
            outputs.append(Output(record.id(), exponent))
        return tuple(sorted(outputs, key=lambda output: output.coin))

    def _next(self, purpose: Purpose) -> int:
        # In the same transaction as the coin's row: a crash leaves both or neither.
        following, shown = self._connection.execute(
            "INSERT INTO counter VALUES (?, 1, 0)"
            " ON CONFLICT DO UPDATE SET next=next+1 RETURNING next, shown",
            (int(purpose),),
        ).fetchone()
        if following > shown + MOST_AHEAD:
            raise UserError(
                f"{MOST_AHEAD:,} coins in a row were asked for and none of them came; no restore would look "
                "further than that. Run `mixmint wallet resume` until the board shows one"
            )
        return int(following) - 1

    def _add_coin(self, record: CoinRecord, coin: bytes | None = None) -> int:
        cursor = self._connection.execute(
            "INSERT INTO coin (found, sealed) VALUES (?, ?)", (self.mark_of(coin or record.id()), b"")
        )
        row = int(cursor.lastrowid or 0)
        self._connection.execute("UPDATE coin SET sealed=? WHERE row=?", (self._seal_coin(row, record), row))
        return row

    def _seal_coin(self, row: int | None, record: CoinRecord) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(record), context_of("coin", str(row)))

    def marks(self) -> frozenset[bytes]:
        """``mark_of`` of all our coins, so that whole rounds are matched without a query each."""
        return frozenset(found for (found,) in self._connection.execute("SELECT found FROM coin"))

    def mark_of(self, coin: bytes) -> bytes:
        """The keyed hash (16 bytes) by which a coin id's row is found."""
        return hmac.digest(self._seed, INDEX_LABEL.encode("ascii") + coin, "sha256")[:16]

    def coins(self, *states: CoinState) -> dict[int, CoinRecord]:
        """All coins in these states (all, when none is named), by row."""
        rows = self._connection.execute("SELECT row, sealed FROM coin ORDER BY row").fetchall()
        records = {row: self._open_coin(row, sealed) for row, sealed in rows}
        return {row: record for row, record in records.items() if not states or record.state in states}

    def has_coin(self, *states: CoinState) -> bool:
        """Whether there is a coin in one of these states; the newest are looked at first, and no more."""
        rows = self._connection.execute("SELECT row, sealed FROM coin ORDER BY row DESC")
        return any(self._open_coin(row, sealed).state in states for row, sealed in rows)

    def coin(self, coin: bytes) -> tuple[int, CoinRecord] | None:
        """The row and record of a coin id, if it is ours."""
        found = self._connection.execute(
            "SELECT row, sealed FROM coin WHERE found=?", (self.mark_of(coin),)
        ).fetchone()
        return None if found is None else (found[0], self._open_coin(*found))

    def _open_coin(self, row: int, sealed: bytes) -> CoinRecord:
        opened = self._sealer.open(sealed, context_of("coin", str(row)))
        return msgspec.msgpack.decode(opened, type=CoinRecord)

    # Copies of this wallet (wallet/restoring/copies.py)

    def counters(self) -> dict[tuple[int, Purpose], int]:
        """The next counter of each device and purpose, as far as known."""
        known = {
            (int(device), Purpose(purpose)): int(following)
            for device, purpose, following in self._connection.execute("SELECT * FROM copy")
        }
        own = self._connection.execute("SELECT purpose, next FROM counter").fetchall()
        return known | {(self.device, Purpose(purpose)): int(following) for purpose, following in own}

    def leave(self, device: int, purpose: Purpose, stop: int) -> None:
        """Make no secret of a counter below ``stop``: another copy did."""
        if device == self.device:
            sql = (
                "INSERT INTO counter VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET next=max(next, excluded.next)"
            )
            self._connection.execute(sql, (int(purpose), stop))
        else:
            sql = "INSERT INTO copy VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next=max(next, excluded.next)"
            self._connection.execute(sql, (device, int(purpose), stop))

    def set_device(self, device: int) -> None:
        """Make secrets under this number from now on; what was made before stays known as a copy's."""
        if device == self.device:
            return
        own = self.device
        counters = self._connection.execute("SELECT purpose, next FROM counter").fetchall()
        self._connection.execute("DELETE FROM counter")
        self.set_fact("device", device.to_bytes(2))
        self.device = device
        for purpose, following in counters:
            self.leave(own, Purpose(purpose), following)

    def adopt(
        self, device: int, purpose: Purpose, counter: int, coin: bytes | None = None, **known: Any
    ) -> None:
        """
        A row for a secret that another copy made, with what is ``known`` of the coin. When nothing is, the
        coin counts as void: if the board shows it, it is ours. ``coin``: its id, where that is known.
        """
        record = CoinRecord(
            secret=derive(self._seed, self.bank, device, purpose, counter),
            exponent=0,
            state=CoinState.VOID,
            purpose=purpose,
            counter=counter,
            device=device,
            recognisable=purpose is Purpose.INVOICE,
            elsewhere=True,
        )
        coin = coin or record.id()
        found = self.coin(coin)
        if found is None:
            self._add_coin(msgspec.structs.replace(record, **known), coin)
        elif known:
            # Spent is for good, in whatever order it is learnt.
            state = {"state": CoinState.SPENT} if found[1].state is CoinState.SPENT else {}
            self.change_coin(*found, **known | state)

    def note_shown(self, record: CoinRecord) -> None:
        """The board shows this coin: from here on the wallet may count further."""
        if record.device == self.device:
            self._connection.execute(
                "UPDATE counter SET shown=max(shown, ?) WHERE purpose=?", (record.counter + 1, record.purpose)
            )

    def change_coin(self, row: int, record: CoinRecord, **changes: Any) -> CoinRecord:
        """Write a coin anew with these fields changed."""
        changed = msgspec.structs.replace(record, **changes)
        self._connection.execute("UPDATE coin SET sealed=? WHERE row=?", (self._seal_coin(row, changed), row))
        return changed

    # Operations

    def next_operation(self) -> int:
        """The row that the next operation gets; its coins name it."""
        (newest,) = self._connection.execute("SELECT coalesce(max(row), 0) FROM operation").fetchone()
        return int(newest) + 1

    def add_operation(self, state: Machine | PlanState, now_s: float) -> int:
        """Put an operation on file; its row."""
        row = self.next_operation()
        self._connection.execute("INSERT INTO operation VALUES (?, 1, ?)", (row, b""))
        self._write_operation(row, Stored(state, int(now_s) // 3600 * 3600))
        return row

    def set_operation(self, row: int, state: Machine | PlanState) -> None:
        self._write_operation(row, Stored(state, self.stored(row).made_s))

    def _write_operation(self, row: int, stored: Stored) -> None:
        sealed = self._sealer.seal(encode_stored(stored), context_of("operation", str(row)))
        self._connection.execute(
            "UPDATE operation SET open=?, sealed=? WHERE row=?", (int(stored.is_open), sealed, row)
        )

    def stored(self, row: int) -> Stored:
        (sealed,) = self._connection.execute("SELECT sealed FROM operation WHERE row=?", (row,)).fetchone()
        return self._open_operation(row, sealed)

    def operation(self, row: int) -> Machine | PlanState:
        return self.stored(row).state

    def operations(self) -> dict[int, Stored]:
        """All operations by row, the oldest first."""
        return self._operations("SELECT row, sealed FROM operation ORDER BY row")

    def open_operations(self) -> dict[int, Stored]:
        """Those that are not over."""
        return self._operations("SELECT row, sealed FROM operation WHERE open ORDER BY row")

    def _operations(self, query: str) -> dict[int, Stored]:
        return {row: self._open_operation(row, sealed) for row, sealed in self._connection.execute(query)}

    def _open_operation(self, row: int, sealed: bytes) -> Stored:
        return decode_stored(self._sealer.open(sealed, context_of("operation", str(row))))

    def __repr__(self) -> str:
        return "Purse()"


def context_of(table: str, key: str) -> bytes:
    """A sealed value opens in its own place only."""
    return f"{table}:{key}".encode()

"""A bank and its board's log, by hand: every rule can be broken on its way to the log."""

import os
from collections.abc import Sequence
from pathlib import Path

from bank.board.map.states import collect
from bank.board.map.trie import SHARDS, merge_shard, root_of_shards, shard_of, shard_root
from bank.formats.coin import coin_id
from bank.formats.entry import MapEntry, StatementEntry, make_key_entry
from bank.formats.statement import Row, Tally, sign_statement, units_of
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, BOARD, Shown, certified, spent

VALUE = (3, 1)
"""Exponent and epoch of every coin here."""


class Books(Shown):
    """
    A bank that withdraws, exchanges and deposits coins of one value; its entries are logged round by round.
    """

    def __init__(self, folder: Path, key: SigningKey = BOARD) -> None:
        super().__init__(folder, key)
        self.live: list[SigningKey] = []
        self.tally = Tally()
        self.sequence = 0

    def open(self) -> None:
        """Round 1: the bank's key."""
        self.close([make_key_entry(BANK, BANK_ID).encode()])

    def withdraw(self) -> bytes:
        """A coin's certificate."""
        self.tally = self.tally.plus(Tally(withdrawn=1))
        return self._certify()

    def exchange(self) -> list[bytes]:
        """A live coin spent for a new one."""
        self.tally = self.tally.plus(Tally(exchanged=1, spent=1))
        entry = spent(self.live.pop(0), os.urandom(32)).encode()
        return [entry, self._certify()]

    def deposit(self) -> bytes:
        self.tally = self.tally.plus(Tally(spent=1, deposited=1))
        return spent(self.live.pop(0), os.urandom(32)).encode()

    def _certify(self) -> bytes:
        key = SigningKey.generate()
        self.live.append(key)
        return certified(coin_id(key.public), *VALUE).encode()

    def state(self, size: int | None = None, tally: Tally | None = None, number: int | None = None) -> bytes:
        """The bank's next statement, of all that the log has."""
        self.sequence = number or self.sequence + 1
        size = self.edge.size if size is None else size
        rows = (Row(*VALUE, tally or self.tally),)
        totals = units_of(rows)
        return StatementEntry(
            sign_statement(BANK, BANK_ID, self.sequence, size, self.root(size), totals, rows)
        ).encode()

    def map(self) -> bytes:
        """The board's map of all that the log has."""
        changes: dict[bytes, int] = {}
        collect(self.leaves, changes)
        shards: list[dict[bytes, int]] = [{} for _ in range(SHARDS)]
        for coin, state in changes.items():
            shards[shard_of(coin)][coin] = state
        root = root_of_shards([shard_root(merge_shard(b"", shard)) for shard in shards])
        return MapEntry(self.round, self.edge.size, len(changes), root).encode()

    def fill(self, rounds: int, more: Sequence[bytes] = ()) -> None:
        """Some rounds of honest business, with a statement and a map in the last."""
        for _ in range(rounds):
            self.close([self.withdraw(), self.withdraw(), *self.exchange(), self.deposit(), *more])
        self.close([self.state(), self.map()])

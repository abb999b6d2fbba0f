"""
How many coins a coin could be, for the public. Pure.

Whoever knows only a coin's value and epoch can't tell it from the others of that value and epoch that are
unspent. How many these are, the bank states for all to read; since its newest statement the wallet counts
itself, in the whole rounds that it reads anyway. So nobody is asked about one coin, or even about one value.

The figure is an upper bound. A spent coin's entry names its key and not its value, so of the coins that the
statement counted nobody who keeps no list of all coins knows which value has lost one since: each is counted
until the next statement. Coins that came after it are followed one by one. The bound is therefore too high by
at most the number that the statement counted, and by what its own round certified twice over.

Source: docs/anonymity.md, docs/spec/statement.md.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from bank.board.reading.client import VerifiedRound
from bank.formats.entry import CertifiedEntry, SpentEntry, StatementEntry
from bank.formats.statement import BankStatement
from mixmint.errors import FatalError
from wallet.answers import Bank

MOST_FOLLOWED = 4096
"""Coins followed since a statement. Beyond them they are only counted: the bound stays one."""
_ID_BYTES = 8
"""Of a coin's id. Two coins that share these bits make the figure wrong by one."""

Class = tuple[int, int]
"""A coin's exponent and epoch: what it shows."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """
    The unspent coins of each value and epoch, as far as the board was read.

    ``key``, ``sequence`` and ``round``: which of the bank's keys signed the newest statement (0: the founding
    one), its number, and the round in which it stood (0: none read yet). ``stated``: unspent by the statement
    that last named the value and epoch. ``followed``: the first bytes of the ids of coins certified since.
    ``uncounted``: how many more came than were followed.
    """

    key: int = 0
    sequence: int = 0
    round: int = 0
    stated: dict[Class, int] = field(default_factory=dict)
    followed: dict[bytes, Class] = field(default_factory=dict)
    uncounted: dict[Class, int] = field(default_factory=dict)

    def alike(self) -> dict[Class, int]:
        """
        At most so many unspent coins of each value and epoch are on the board. One that no statement named so
        far is missing: of it nothing is known but what was seen since.
        """
        since = Counter(self.followed.values()) + Counter(self.uncounted)
        return {kind: count + since[kind] for kind, count in self.stated.items()}

    def newest_epoch(self) -> int:
        """The newest epoch that was seen; 0 before any."""
        kinds = (*self.stated, *self.followed.values(), *self.uncounted)
        return max((epoch for _, epoch in kinds), default=0)

    def after(self, rounds: Iterable[VerifiedRound], bank: Bank) -> "Crowd":
        """The crowd after these further rounds. What the bank didn't sign is no statement of its."""
        counting = Counting(self)
        for round_ in rounds:
            if round_.entries:
                counting.take(round_, bank)
        return counting.crowd

    def encode(self) -> bytes:
        """msgpack, as it stands in the purse."""
        return msgspec.msgpack.encode(
            (
                self.key,
                self.sequence,
                self.round,
                [(*kind, count) for kind, count in self.stated.items()],
                [(*kind, coin) for coin, kind in self.followed.items()],
                [(*kind, count) for kind, count in self.uncounted.items()],
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> "Crowd":
        """Raises FatalError: the purse's own writing can't be read."""
        try:
            key, sequence, round_, stated, followed, uncounted = _decoder.decode(data)
        except msgspec.MsgspecError:
            raise FatalError("the purse's count of the board's coins is damaged") from None
        return cls(
            key,
            sequence,
            round_,
            {(exponent, epoch): count for exponent, epoch, count in stated},
            {coin: (exponent, epoch) for exponent, epoch, coin in followed},
            {(exponent, epoch): count for exponent, epoch, count in uncounted},
        )


class Counting:
    """Takes rounds into a crowd of its own: a page of them is one copy."""

    def __init__(self, before: Crowd) -> None:
        self.crowd = replace(before, followed=dict(before.followed), uncounted=dict(before.uncounted))

    def take(self, round_: VerifiedRound, bank: Bank) -> None:
        """A round, as a wallet reads it."""
        key, entries = bank.keys.key_at(round_.first), round_.entries
        self.count(
            round_.number,
            bank.keys.all.index(key),
            [
                entry.statement
                for entry in entries
                if isinstance(entry, StatementEntry) and entry.statement.holds(key, bank.id)
            ],
            [
                (entry.coin, (entry.exponent, entry.epoch))
                for entry in entries
                if isinstance(entry, CertifiedEntry)
            ],
            [entry.coin for entry in entries if isinstance(entry, SpentEntry)],
        )

    def count(
        self,
        round_: int,
        key: int,
        statements: Iterable[BankStatement],
        certified: Iterable[tuple[bytes, Class]],
        spent: Iterable[bytes],
    ) -> None:
        """
        What a round has: statements that ``key`` (which of the bank's) signed, coins with what they show, and
        the ids of those that were spent.
        """
        for statement in statements:
            self._state(statement, key, round_)
        # After the statement: its own round may hold what the bank certified when it had counted already.
        for coin, kind in certified:
            self._follow(coin, kind)
        for coin in spent:
            self.crowd.followed.pop(coin[:_ID_BYTES], None)

    def _state(self, statement: BankStatement, key: int, round_: int) -> None:
        before = self.crowd
        # A board may show an old statement once more; and a bank with a new key may number from 1 again.
        if (key, statement.sequence) <= (before.key, before.sequence):
            return
        unspent = {
            (row.exponent, row.epoch): max(0, row.tally.certified - row.tally.spent - row.tally.replaced)
            for row in statement.rows
        }
        # Rows that aren't repeated haven't changed: they stand. What was followed is counted in the new ones.
        self.crowd = Crowd(key, statement.sequence, round_, before.stated | unspent)

    def _follow(self, coin: bytes, kind: Class) -> None:
        if len(self.crowd.followed) < MOST_FOLLOWED:
            self.crowd.followed[coin[:_ID_BYTES]] = kind
        else:
            self.crowd.uncounted[kind] = self.crowd.uncounted.get(kind, 0) + 1


def beside(round_: VerifiedRound, exponent: int, epoch: int) -> int:
    """
    How many coins of this value and epoch a round certified.

    Whoever knows the coin that was exchanged for one of them knows no more than that it is one of these.
    """
    return sum(
        1
        for entry in round_.entries
        if isinstance(entry, CertifiedEntry) and (entry.exponent, entry.epoch) == (exponent, epoch)
    )


_Counts = list[tuple[int, int, int]]
_decoder = msgspec.msgpack.Decoder(tuple[int, int, int, _Counts, list[tuple[int, int, bytes]], _Counts])

"""
The bank's statement: what it certified and what was spent, counted, and how far it has read the board
(docs/spec/statement.md). An entry of the board, signed by the bank.

Its size and root say: "I have read the board's first ``size`` leaves; whatever in them only I can give came
from me." The counts are read after that reading, when the statement is signed. So among those leaves there
are never more certificates than an honest bank states, whatever board it has; and nobody but the bank itself
can make it confirm an entry that it never gave.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from bank.formats.coin import MOST_EXPONENT
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify

STATEMENT_LABEL = Label("mixmint/bank-statement/v1")

MOST_ROWS = 720
"""An entry of the board has room for so many, and bank/settings.py leaves no more to state."""
EARLY_ROWS = MOST_ROWS // 4
"""With so many rows changed a statement is made before its time: all of them must fit into one."""
_HEAD = Struct(">32sIQ32s5QH")
_ROW = Struct(">BI5Q")


@dataclass(frozen=True, slots=True)
class Tally:
    """
    Coins of one value and epoch, counted since the bank began; or, as running totals, units of them all.

    ``spent`` are all that were spent, ``deposited`` those of them that were spent by deposits.
    """

    withdrawn: int = 0
    exchanged: int = 0
    spent: int = 0
    deposited: int = 0
    replaced: int = 0

    @property
    def certified(self) -> int:
        """By withdrawals and by exchanges."""
        return self.withdrawn + self.exchanged

    def plus(self, change: "Tally", times: int = 1) -> "Tally":
        return Tally(
            self.withdrawn + times * change.withdrawn,
            self.exchanged + times * change.exchanged,
            self.spent + times * change.spent,
            self.deposited + times * change.deposited,
            self.replaced + times * change.replaced,
        )

    def numbers(self) -> tuple[int, int, int, int, int]:
        return self.withdrawn, self.exchanged, self.spent, self.deposited, self.replaced


@dataclass(frozen=True, slots=True)
class Row:
    """The tally of one value, 2**exponent units, and one coin epoch: 45 bytes."""

    exponent: int
    epoch: int
    tally: Tally


def units_of(rows: Iterable[Row]) -> Tally:
    """What the coins in rows are worth, in units: the running totals, when these are all rows that stand."""
    totals = Tally()
    for row in rows:
        totals = totals.plus(row.tally, 1 << row.exponent)
    return totals


@dataclass(frozen=True, slots=True)
class BankStatement:
    """
    Encoded: bank id 32, sequence 4 (from 1), size 8, root 32, running totals in units 5 x 8, count of rows 2,
    rows 45 each (exponent 1, epoch 4, counts 5 x 8), ascending by exponent and epoch, signature 64.

    Rows that haven't changed since an earlier statement needn't be repeated: a row stands until a newer one.
    The totals are those of all rows that stand.
    """

    bank: bytes
    sequence: int
    size: int
    root: bytes
    totals: Tally
    rows: tuple[Row, ...]
    signature: bytes

    def encode(self) -> bytes:
        return self.signed_part() + self.signature

    def signed_part(self) -> bytes:
        totals = self.totals.numbers()
        head = _HEAD.pack(self.bank, self.sequence, self.size, self.root, *totals, len(self.rows))
        rows = [_ROW.pack(row.exponent, row.epoch, *row.tally.numbers()) for row in self.rows]
        return head + b"".join(rows)

    @classmethod
    def read(cls, reader: Reader) -> "BankStatement":
        """Raises MalformedMessage: ``length``, ``counts``, ``value``, ``order-of-rows``."""
        bank, sequence, size, root, *totals, count = _HEAD.unpack(reader.take(_HEAD.size))
        if count > MOST_ROWS or not sequence:
            raise MalformedMessage("counts")
        rows = []
        for exponent, epoch, *counts in _ROW.iter_unpack(reader.take(count * _ROW.size)):
            if exponent > MOST_EXPONENT:
                raise MalformedMessage("value")
            rows.append(Row(exponent, epoch, Tally(*counts)))
        if any((a.exponent, a.epoch) >= (b.exponent, b.epoch) for a, b in pairwise(rows)):
            raise MalformedMessage("order-of-rows")
        return cls(bank, sequence, size, root, Tally(*totals), tuple(rows), reader.take(64))

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether this bank signed it."""
        return self.bank == bank and verify(bank_key, STATEMENT_LABEL, self.signature, self.signed_part())

    def balances(self) -> bool:
        """
        Whether value in equals value out: what exchanges certified is what was spent other than by deposits.

        A signed statement that doesn't balance convicts the bank by itself.
        """
        totals = self.totals
        return totals.exchanged == totals.spent - totals.deposited and totals.replaced <= totals.withdrawn


def sign_statement(
    key: SigningKey, bank: bytes, sequence: int, size: int, root: bytes, totals: Tally, rows: Sequence[Row]
) -> BankStatement:
    """The bank signs a statement; ``rows`` in any order."""
    ordered = tuple(sorted(rows, key=lambda row: (row.exponent, row.epoch)))
    unsigned = BankStatement(bank, sequence, size, root, totals, ordered, b"")
    signature = key.sign(STATEMENT_LABEL, unsigned.signed_part())
    return BankStatement(bank, sequence, size, root, totals, ordered, signature)

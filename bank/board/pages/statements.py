"""The bank's statement as a table: coins of each value, and units of all. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bank.formats.statement import BankStatement, Row, Tally


@dataclass(frozen=True)
class Sums:
    """One line: coins of one value, ``units`` each; or units of all values (then ``units`` is 0)."""

    units: int
    withdrawn: int
    exchanged: int
    spent: int
    deposited: int
    replaced: int

    @property
    def circulating(self) -> int:
        """Certified and neither spent nor replaced."""
        return self.withdrawn + self.exchanged - self.spent - self.replaced


@dataclass(frozen=True)
class StatementView:
    """A statement with all rows that stand at its time, added up over the coin epochs."""

    sequence: int
    round: int
    size: int
    signed: bool
    balances: bool
    rows: list[Sums]
    totals: Sums

    @property
    def replaced(self) -> bool:
        """Whether anything ever was, so that it deserves a column."""
        return any(row.replaced for row in (*self.rows, self.totals))


def statement_view(
    statement: BankStatement, round_: int, standing: Iterable[Row], *, signed: bool
) -> StatementView:
    """
    ``standing``: the newest row of each value and epoch, this statement's own among them; ``signed``: whether
    the key that counts at its place signed it.
    """
    values: dict[int, Tally] = {}
    for row in standing:
        values[row.exponent] = values.get(row.exponent, Tally()).plus(row.tally)
    return StatementView(
        statement.sequence,
        round_,
        statement.size,
        signed,
        statement.balances(),
        [_sums(1 << exponent, tally) for exponent, tally in sorted(values.items())],
        _sums(0, statement.totals),
    )


def _sums(units: int, tally: Tally) -> Sums:
    return Sums(units, *tally.numbers())

"""Running totals of the board. Pure."""

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """
    Sums over every entry up to some round. Units in whole units.

    ``repeats`` counts entries that certify, spend or replace a coin which already was; ``unknown`` counts
    coins spent or replaced that weren't certified before. Neither adds to the units, and an honest bank
    leaves both at zero.
    """

    certified_units: int = 0
    spent_units: int = 0
    coins: int = 0
    spent_coins: int = 0
    accounts: int = 0
    repeats: int = 0
    unknown: int = 0
    replaced_units: int = 0
    replaced_coins: int = 0

    @property
    def outstanding_units(self) -> int:
        """What the bank owes to the holders of coins."""
        return self.certified_units - self.spent_units - self.replaced_units

    def plus(self, change: "Totals") -> "Totals":
        return Totals(*(one + other for one, other in zip(astuple(self), astuple(change), strict=True)))

    def minus(self, other: "Totals") -> "Totals":
        return Totals(*(mine - its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __add__(self, other: "Totals") -> "Totals":
        return self.plus(other)

"""Running totals of the board. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """
    Sums over every entry up to some round. Units in whole units.

    ``repeats`` counts entries that certify or spend a coin which already was; ``unknown`` counts coins spent
    that weren't certified before. Neither adds to the units, and an honest bank leaves both at zero.
    """

    certified_units: int = 0
    spent_units: int = 0
    coins: int = 0
    spent_coins: int = 0
    accounts: int = 0
    repeats: int = 0
    unknown: int = 0

    def plus(self, change: "Totals") -> "Totals":
        return Totals(
            self.certified_units + change.certified_units,
            self.spent_units + change.spent_units,
            self.coins + change.coins,
            self.spent_coins + change.spent_coins,
            self.accounts + change.accounts,
            self.repeats + change.repeats,
            self.unknown + change.unknown,
        )

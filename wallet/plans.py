"""
Which coins pay, which change comes back, and which exchanges come first. Pure.

Two ways to pay by one order. *At once* (``pay_at_once``): any inputs, change in the same order. It links the
inputs with each other, and the change tells the amount. *From stock* (``next_exchanges``, then
``pay_from_stock``): small standard exchanges (v -> v, 2v -> v + v, v + v -> 2v), one order each, until the
amount is there exactly, in coins that nobody can connect with their past; then these, without change. That is
for holds and sealed payments, bearer files and deposits; a request is paid coin by coin (wallet/matched.py).

Values are powers of two, so each divides the next. Taking the largest coin that still fits therefore finds an
exact sum with the fewest coins whenever there is one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bank.formats.coin import MOST_EXPONENT, exponents_of
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS
from mixmint.errors import UserError
from wallet.coins import CoinRecord


@dataclass(frozen=True, slots=True)
class Held:
    """
    A coin that may be spent: its row in the purse, its exponent, and whether it is *clean*: the wallet has
    exchanged it itself since it came in, so that neither payer nor bank recognises it.
    """

    row: int
    exponent: int
    clean: bool

    @classmethod
    def of(cls, row: int, record: CoinRecord) -> "Held":
        """A coin of the purse's, by its row."""
        return cls(row, record.exponent, record.is_clean)

    @property
    def units(self) -> int:
        return 1 << self.exponent


@dataclass(frozen=True, slots=True)
class Exchange:
    """One order: these coins in, coins of these exponents out, for oneself."""

    inputs: tuple[Held, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Payment:
    """The order that pays: these coins in; besides what is paid, change of these exponents out."""

    inputs: tuple[Held, ...]
    change: tuple[int, ...] = ()


def total(coins: Iterable[Held]) -> int:
    """Units."""
    return sum(coin.units for coin in coins)


def exact(coins: Iterable[Held], amount: int) -> list[Held] | None:
    """The fewest coins with exactly this sum, clean ones first among equals; None if there are none."""
    chosen, _ = _largest_first(coins, amount)
    return chosen if total(chosen) == amount else None


def _largest_first(coins: Iterable[Held], amount: int) -> tuple[list[Held], list[Held]]:
    """Coins taken from the largest down while they fit, and those passed over."""
    chosen, passed, missing = [], [], amount
    for coin in sorted(coins, key=lambda coin: (-coin.exponent, not coin.clean, coin.row)):
        if coin.units <= missing:
            chosen.append(coin)
            missing -= coin.units
        else:
            passed.append(coin)
    return chosen, passed


def check_enough(coins: Iterable[Held], amount: int) -> None:
    """Raises UserError when the coins don't sum up to the amount."""
    there = total(coins)
    if there < amount:
        raise UserError(
            f"{amount} units are needed and {there} are free; withdraw more, or see `mixmint wallet balance`"
        )


def pay_at_once(coins: Sequence[Held], amount: int, paid_outputs: int) -> Payment | None:
    """
    One order for ``amount`` with change, within the limits of an order; None if these coins have none.

    Of the possible ones: the fewest change coins, then the fewest inputs, so that least is linked.

    ``paid_outputs``: how many outputs the payee gets.
    """
    candidates = []
    taken: list[Held] = []
    rest = sorted(coins, key=lambda coin: (-coin.exponent, not coin.clean, coin.row))
    missing = amount
    while missing > 0:
        # Cover what is missing with one coin that is too large, or go on with the largest that fits.
        covers = [coin for coin in rest if coin.units >= missing]
        if covers:
            candidates.append([*taken, min(covers, key=lambda coin: (coin.exponent, not coin.clean))])
        fits = next((coin for coin in rest if coin.units <= missing), None)
        if fits is None:
            break
        taken.append(fits)
        rest.remove(fits)
        missing -= fits.units
    if missing == 0:
        candidates.append(taken)
    payments = [Payment(tuple(inputs), change_of(total(inputs) - amount)) for inputs in candidates]
    possible = [
        payment
        for payment in payments
        if len(payment.inputs) <= MOST_INPUTS and paid_outputs + len(payment.change) <= MOST_OUTPUTS
    ]
    return min(possible, key=lambda payment: (len(payment.change), len(payment.inputs)), default=None)


def change_of(units: int) -> tuple[int, ...]:
    """The fewest coins, as exponents; none for 0."""
    return tuple(exponents_of(units)) if units else ()


def merge(coins: Sequence[Held]) -> Exchange | None:
    """
    An exchange of up to 8 coins of one value into fewer: what makes an order possible that needs too many.

    The smallest value that is there more than once. None when no two coins are equal.
    """
    counts = Counter(coin.exponent for coin in coins)
    twice = sorted(exponent for exponent, count in counts.items() if count > 1 and exponent < MOST_EXPONENT)
    if not twice:
        return None
    equal = [coin for coin in coins if coin.exponent == twice[0]][:MOST_INPUTS]
    inputs = tuple(equal[: len(equal) // 2 * 2])
    return Exchange(inputs, change_of(total(inputs)))


def pay_from_stock(coins: Sequence[Held], amount: int) -> Payment | None:
    """The order without change from clean coins; None when the stock must be made first."""
    chosen = exact((coin for coin in coins if coin.clean), amount)
    return Payment(tuple(chosen)) if chosen is not None and len(chosen) <= MOST_INPUTS else None


def next_exchanges(coins: Sequence[Held], amount: int) -> list[Exchange]:
    """
    The standard exchanges to do next (all at once, they don't touch) on the way to an exact, clean stock.

    Empty when it is there, or when standard exchanges can't get there (see ``pay_from_stock``). Each call
    comes nearer: a split halves the coin that is too large, a renewal makes one more coin clean, a merge
    leaves one coin fewer. The caller has checked that there is enough.
    """
    chosen, passed = _largest_first(coins, amount)
    missing = amount - total(chosen)
    if missing:
        # A coin passed over is larger than what was missing then, so than what is missing now: it can split.
        large = min(passed, key=lambda coin: (coin.exponent, coin.clean), default=None)
        if large is None:
            return []
        # The chosen ones stay chosen, whatever the split yields: they are renewed meanwhile.
        return [split(large), *_renewals(chosen)]
    if len(chosen) > MOST_INPUTS:
        return _merges(chosen) or _renewals(chosen)
    return _renewals(chosen)


def _renewals(coins: Iterable[Held]) -> list[Exchange]:
    return [renew(coin) for coin in coins if not coin.clean]


def _merges(coins: Sequence[Held]) -> list[Exchange]:
    """Pairs of equal coins, the smallest first, as many as there are too many coins for one order."""
    ascending = sorted(coins, key=lambda coin: coin.exponent)
    steps: list[Exchange] = []
    at = 0
    while at + 1 < len(ascending) and len(steps) < len(coins) - MOST_INPUTS:
        one, other = ascending[at], ascending[at + 1]
        if one.exponent == other.exponent < MOST_EXPONENT:
            steps.append(Exchange((one, other), (one.exponent + 1,)))
            at += 1
        at += 1
    return steps


def renew(coin: Held) -> Exchange:
    """v -> v."""
    return Exchange((coin,), (coin.exponent,))


def split(coin: Held) -> Exchange:
    """2v -> v + v."""
    return Exchange((coin,), (coin.exponent - 1, coin.exponent - 1))


def payable(amount: int) -> bool:
    """Whether a payer with the right coins can pay this amount in one order."""
    paid = amount.bit_count()
    for dropped in range(amount.bit_length() + 1):
        rounded = -(-amount >> dropped) << dropped
        change = rounded - amount
        if len(exponents_of(rounded)) <= MOST_INPUTS and paid + change.bit_count() <= MOST_OUTPUTS:
            return len(exponents_of(amount)) <= MOST_OUTPUTS
    return False


def request_exponents(amount: int) -> list[int]:
    """
    The coins that a payee asks for.

    Raises UserError when no single order could pay the amount (some large uneven ones).
    """
    if amount <= 0:
        raise UserError("an amount is a whole number of units, at least 1")
    if amount > MOST_INPUTS << MOST_EXPONENT:
        raise UserError(f"one payment carries at most {MOST_INPUTS << MOST_EXPONENT} units; ask in parts")
    if not payable(amount):
        nearest = next(near for near in range(amount - 1, 0, -1) if payable(near))
        raise UserError(
            f"{amount} units need more coins than one payment carries; ask for {nearest} and the rest apart"
        )
    return exponents_of(amount)


def covering(coins: Sequence[Held], amount: int) -> list[Held]:
    """Coins of at least this sum, with as little more as there can be."""
    chosen, passed = _largest_first(coins, amount)
    missing = amount - total(chosen)
    if missing <= 0:
        return chosen
    larger = min(passed, key=lambda coin: (coin.exponent, coin.clean), default=None)
    return chosen if larger is None else [*chosen, larger]

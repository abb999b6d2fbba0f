"""
What orders v -> v near each other say: where a payment is one such order for each of its coins, the bank
looks for the others.

Of each amount that has the order's value among its binary digits it asks whether orders of the other values
are nearby, how rare these are, and how well the beliefs about their holders agree: all coins come from one
purse and go into one. An amount for which one is missing is ruled out.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.month.people import MOST_AMOUNT

Belief = list[float]
"""A weight for each account."""

_MOST_PULL = 1e6
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Single:
    """An order v -> v: when, its output's number and value, who gave it and who got it, as far as known."""

    at_s: float
    output: int
    exponent: int
    holder: Belief
    taker: Belief


@dataclass(frozen=True, slots=True)
class Company:
    """
    ``pull``: how much likelier what is nearby is if this order pays (1: it says nothing). ``amounts``: with
    which probability it pays a part of each. ``others``: orders nearby, with the probability that they pay
    the rest of the same amount.
    """

    pull: float
    amounts: dict[int, float]
    others: tuple[tuple[float, Single], ...]

    def join(self, payer: Belief, payee: Belief) -> tuple[Belief, Belief]:
        """
        Beliefs about this order's payer and payee, with what is believed of the others'. Only half of it:
        coins of one purse often have one origin, so they say the same thing twice.
        """
        one, other = scaled(payer), scaled(payee)
        for sure, each in self.others:
            payer, payee = _with(payer, each.holder, sure), _with(payee, each.taker, sure)
        return _between(one, scaled(payer)), _between(other, scaled(payee))


def _with(belief: Belief, other: Belief, sure: float) -> Belief:
    return [each * (1 - sure + sure * len(belief) * like) for each, like in zip(belief, other, strict=True)]


def _between(one: Belief, other: Belief) -> Belief:
    return [(a + b) / 2 for a, b in zip(one, other, strict=True)]


def amounts_with(exponent: int) -> dict[int, float]:
    """The amounts that need a coin of this value, and their shares: each size is as likely as its double."""
    weights = {amount: 1 / amount for amount in range(1, MOST_AMOUNT + 1) if amount >> exponent & 1}
    whole = sum(weights.values())
    return {amount: weight / whole for amount, weight in weights.items()}


def look_around(singles: Sequence[Single], window_s: float) -> dict[int, Company]:
    """The company of each, by its output. ``singles``: in the order of time."""
    if not singles:
        return {}
    times = [single.at_s for single in singles]
    span_s = max(times[-1] - times[0], window_s)
    counts = Counter(single.exponent for single in singles)
    # How many of a value are nearby by chance.
    usual = {exponent: 2 * window_s * count / span_s for exponent, count in counts.items()}
    holder, taker = _mean([each.holder for each in singles]), _mean([each.taker for each in singles])
    found = {}
    for single in singles:
        first = bisect_left(times, single.at_s - window_s)
        last = bisect_right(times, single.at_s + window_s)
        near: dict[int, list[tuple[float, Single]]] = defaultdict(list)
        as_usual = _dot(single.holder, holder) * _dot(single.taker, taker) + _LEAST
        for other in singles[first:last]:
            if other.exponent != single.exponent:
                agree = _dot(single.holder, other.holder) * _dot(single.taker, other.taker)
                pull = min(_MOST_PULL, agree / as_usual / usual[other.exponent])
                near[other.exponent].append((pull, other))
        found[single.output] = _company(single.exponent, near)
    return found


def _company(exponent: int, near: dict[int, list[tuple[float, Single]]]) -> Company:
    pulls = {each: sum(pull for pull, _ in others) for each, others in near.items()}
    weights = {}
    for amount, share in amounts_with(exponent).items():
        weight, rest = share, amount & ~(1 << exponent)
        while rest and weight:
            each = rest.bit_length() - 1
            weight *= pulls.get(each, 0.0)
            rest &= ~(1 << each)
        weights[amount] = weight
    # The coin alone is always possible.
    whole = sum(weights.values())
    amounts = {amount: weight / whole for amount, weight in weights.items() if weight}
    others = []
    for each, nearby in near.items():
        needed = sum(share for amount, share in amounts.items() if amount >> each & 1)
        others += [(needed * pull / pulls[each], other) for pull, other in nearby if needed and pulls[each]]
    return Company(whole, amounts, tuple(others))


def scaled(weights: Belief) -> Belief:
    """The same with the sum 1."""
    whole = sum(weights)
    # Nothing explains it: the watcher knows nothing.
    return [each / whole for each in weights] if whole > 0 else [1 / len(weights)] * len(weights)


def _dot(one: Belief, other: Belief) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _mean(beliefs: Sequence[Belief]) -> Belief:
    return [sum(each) / len(beliefs) for each in zip(*beliefs, strict=True)]

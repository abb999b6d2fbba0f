"""
Two watchers of a month, and how well they guess.

**The bank** sees of each order its inputs, its outputs and the time, and of withdrawals and deposits the
account. It knows the habits of its customers as well as anybody could: of each kind of order (its shape, how
old its youngest input was, how soon its first output was spent) it knows which share is payments. It carries
a belief about each coin's holder forward, from withdrawals through every order, and a likelihood backward,
from deposits. Told that an order is a payment, it names the payer and the payee by both. Told nothing, it
says with which probability the order is a payment of this amount. Where a payment is several orders, it looks
at those nearby: which of them would make up an amount, and whether they seem to come from one purse and to go
into one (benchmarks/month/company.py).

**Whoever reads the board** sees neither accounts nor which outputs belong to which inputs, only rounds. Where
an order is alone in its round he sees what the bank sees of it.

The judge knows the truth and says how often they were right, how sure they were, and what chance would do.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2

from bank.formats.coin import exponents_of
from benchmarks.month.bank import Seen
from benchmarks.month.company import Belief, Company, Single, amounts_with, look_around, scaled
from benchmarks.month.people import MOST_AMOUNT

_AGES_S = (300.0, 7200.0, 172_800.0)
_DOUBT = 1e-4
"""How sure a watcher is at most: his model is simpler than the world."""

STANDARD = ("renew", "split", "merge")

_LOOKS = 2
_PULLS = (0.5, 2.0, 8.0)
Kind = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Guess:
    """
    What the bank made of one payment. ``payer``, ``payee``: the share of right first guesses (ties are
    shared). ``*_bits``: what it still doesn't know. ``amount``: the probability that it gave to the truth,
    "a payment of this amount"; ``known``: to "a payment" alone.
    """

    who: int
    payer: float
    payer_bits: float
    payee: float
    payee_bits: float
    amount: float
    known: float
    board_amount: float


@dataclass
class Bank:
    """The bank's view of a month. ``members``: how many accounts there are."""

    log: Sequence[Seen]
    exponents: Sequence[int]
    members: int
    round_s: float
    window_s: float = 0.0
    """
    Customers pay each coin by an order of its own, so far apart at most: a habit, so the bank knows it. 0:
    a payment is one order.
    """
    _share: dict[Kind, float] = field(default_factory=dict)
    _company: dict[int, Company] = field(default_factory=dict)
    """What the orders nearby say of one, by its first output."""

    @cached_property
    def _made_s(self) -> dict[int, float]:
        return {coin: seen.at_s for seen in self.log for coin in seen.outputs}

    @cached_property
    def _spent_s(self) -> dict[int, float]:
        return {coin: seen.at_s for seen in self.log for coin in seen.inputs}

    @cached_property
    def _alone(self) -> Counter[int]:
        """How many log entries each round has."""
        return Counter(int(seen.at_s // self.round_s) for seen in self.log)

    @cached_property
    def _takers(self) -> Belief:
        """Who is paid: whoever deposits much is paid much."""
        units: Counter[int] = Counter()
        for seen in self.log:
            if seen.account >= 0 and not seen.outputs:
                units[seen.account] += sum(1 << self.exponents[coin] for coin in seen.inputs)
        whole = sum(units.values()) or 1
        return [0.5 / self.members + 0.5 * units[member] / whole for member in range(self.members)]

    def shape(self, seen: Seen) -> str:
        """Which values became which; the first three shapes are the standard exchanges."""
        values_in = sorted(self.exponents[coin] for coin in seen.inputs)
        values_out = sorted(self.exponents[coin] for coin in seen.outputs)
        if values_in == values_out:
            return "renew" if len(values_in) == 1 else "many"
        if len(values_in) == 1 and len(values_out) == 2 and values_out[0] == values_out[1]:
            return "split"
        return "merge" if len(values_in) == 2 and len(values_out) == 1 else "change"

    def _kind(self, seen: Seen) -> Kind:
        """What the bank can see of an order without knowing anybody."""
        age_s = min(seen.at_s - self._made_s[coin] for coin in seen.inputs)
        lag_s = min(self._spent_s.get(coin, float("inf")) - seen.at_s for coin in seen.outputs)
        company = self._company.get(seen.outputs[0])
        pull = 0 if company is None else 1 + bisect_left(_PULLS, company.pull)
        return self.shape(seen), bisect_left(_AGES_S, age_s), bisect_left(_AGES_S, lag_s), pull

    def _learn(self) -> None:
        """The share of payments among orders of each kind, as if it had asked everyone."""
        paid: Counter[Kind] = Counter()
        every: Counter[Kind] = Counter()
        for seen in self._orders():
            kind = self._kind(seen)
            every[kind] += 1
            paid[kind] += seen.truth.payee >= 0
        self._share = {kind: (paid[kind] + 0.5) / (count + 1) for kind, count in every.items()}

    def _orders(self) -> list[Seen]:
        return [seen for seen in self.log if seen.account < 0]

    def amounts(self, seen: Seen) -> list[tuple[float, int, tuple[int, ...]]]:
        """
        If it is a payment: of which amounts, with which probability, in which coins. Payee's coins and change
        are each the fewest coins of their sum; small amounts are likelier, each size as its double.
        """
        worth = [self.exponents[coin] for coin in seen.outputs]
        if self.window_s and len(worth) == 1 == len(seen.inputs):
            company = self._company.get(seen.outputs[0])
            likely = amounts_with(worth[0]) if company is None else company.amounts
            return [(probability, amount, seen.outputs) for amount, probability in likely.items()]
        units = sum(1 << exponent for exponent in worth)
        found = []
        for amount in range(1, min(units, MOST_AMOUNT) + 1):
            paid = exponents_of(amount)
            change = exponents_of(units - amount) if units > amount else []
            if sorted([*paid, *change]) == sorted(worth):
                found.append((1.0 / amount, amount, self._coins(seen.outputs, paid)))
        # From stock nobody gets change: where a payment could be without, it is, by the wallet's habit.
        if len(seen.inputs) > 1 and sorted(self.exponents[coin] for coin in seen.inputs) == sorted(worth):
            found = [each for each in found if each[1] == units] or found
        whole = sum(weight for weight, _, _ in found)
        return [(weight / whole, amount, coins) for weight, amount, coins in found]

    def _coins(self, outputs: Sequence[int], paid: Sequence[int]) -> tuple[int, ...]:
        left = list(outputs)
        for exponent in paid:
            left.remove(next(coin for coin in left if self.exponents[coin] == exponent))
        return tuple(coin for coin in outputs if coin not in left)

    def standard(self) -> list[tuple[int, float]]:
        """Of each payment, by its payer, whether its order has the shape of a standard exchange (1 or 0)."""
        return [
            (seen.truth.holder, float(self.shape(seen) in STANDARD))
            for seen in self._orders()
            if seen.truth.payee >= 0
        ]

    def guesses(self) -> list[Guess]:
        """One for each payment, in the order of time."""
        self._learn()
        before = self._forward()
        after = self._backward()
        # What is found nearby sharpens the beliefs, and these what is found nearby.
        for _ in range(_LOOKS if self.window_s else 0):
            self._company = self._look_around(before, after)
            self._learn()
            before = self._forward()
            after = self._backward()
        return [self._guess(seen, holder, after) for seen, holder in before if seen.truth.payee >= 0]

    def _look_around(
        self, before: Sequence[tuple[Seen, Belief]], after: dict[int, Belief]
    ) -> dict[int, Company]:
        """What each order v -> v has beside it."""
        singles = [
            Single(
                seen.at_s,
                seen.outputs[0],
                self.exponents[seen.outputs[0]],
                holder,
                scaled([a * b for a, b in zip(self._takers, after[seen.outputs[0]], strict=True)]),
            )
            for seen, holder in before
            if self.shape(seen) == "renew"
        ]
        return look_around(singles, self.window_s)

    def _forward(self) -> list[tuple[Seen, Belief]]:
        """Who gave each order, by what came before it."""
        belief: dict[int, Belief] = {}
        found = []
        for seen in self.log:
            if seen.account >= 0:
                for coin in seen.outputs:
                    belief[coin] = self._certain(seen.account)
                continue
            holder = _joint([belief.pop(coin) for coin in seen.inputs])
            found.append((seen, holder))
            share = self._share[self._kind(seen)]
            takers = scaled([take * (1 - hold) for take, hold in zip(self._takers, holder, strict=True)])
            paid = self._paid(seen)
            for coin in seen.outputs:
                moved = share * paid[coin]
                belief[coin] = [
                    (1 - moved) * hold + moved * take for hold, take in zip(holder, takers, strict=True)
                ]
        return found

    def _backward(self) -> dict[int, Belief]:
        """For each coin how well each account, as its holder, explains what came after."""
        explains: dict[int, Belief] = defaultdict(lambda: [1.0] * self.members)
        for seen in reversed(self.log):
            if seen.account >= 0:
                if seen.inputs:
                    for coin in seen.inputs:
                        explains[coin] = self._certain(seen.account)
                continue
            share = self._share[self._kind(seen)]
            paid = self._paid(seen)
            whole = [1.0] * self.members
            for coin in seen.outputs:
                moved = share * paid[coin]
                anybody = sum(take * like for take, like in zip(self._takers, explains[coin], strict=True))
                whole = [
                    each * ((1 - moved) * like + moved * anybody)
                    for each, like in zip(whole, explains[coin], strict=True)
                ]
            likely = scaled(whole)
            for coin in seen.inputs:
                explains[coin] = likely
        return explains

    def _paid(self, seen: Seen) -> dict[int, float]:
        """If it is a payment, how likely each output is the payee's."""
        shares = dict.fromkeys(seen.outputs, 0.0)
        for probability, _, coins in self.amounts(seen):
            for coin in coins:
                shares[coin] += probability
        return shares

    def _certain(self, account: int) -> Belief:
        belief = [_DOUBT / self.members] * self.members
        belief[account] += 1 - _DOUBT
        return belief

    def _guess(self, seen: Seen, holder: Belief, after: dict[int, Belief]) -> Guess:
        truth = seen.truth
        amounts = self.amounts(seen)
        payer, payee = list(holder), list(self._takers)
        paid = self._paid(seen)
        for coin in seen.outputs:
            like = after[coin]
            # Told that it pays somebody: change stays with the payer, the rest went to the payee.
            payer = [
                each * ((1 - paid[coin]) * one + paid[coin]) for each, one in zip(payer, like, strict=True)
            ]
            payee = [
                each * (paid[coin] * one + 1 - paid[coin]) for each, one in zip(payee, like, strict=True)
            ]
        company = self._company.get(seen.outputs[0])
        if company is not None:
            payer, payee = company.join(payer, payee)
        payer = scaled(payer)
        payee = scaled([each * (1 - other) for each, other in zip(payee, payer, strict=True)])
        share = self._share[self._kind(seen)]
        amount = share * sum(probability for probability, units, _ in amounts if units == truth.amount)
        beside = self._alone[int(seen.at_s // self.round_s)]
        return Guess(
            truth.holder,
            _right(payer, truth.holder),
            _bits(payer),
            _right(payee, truth.payee),
            _bits(payee),
            amount,
            share,
            amount / beside,
        )


def follow(log: Sequence[Seen], exponents: Sequence[int], round_s: float) -> list[tuple[int, float]]:
    """
    How surely a payer, reading the board, knows each coin that he paid when its payee next parts with it: by
    payer. At each exchange of the payee's he sees only how many coins of that value its round certified.
    """
    rounds: Counter[tuple[int, int]] = Counter()
    spent_by: dict[int, Seen] = {}
    for seen in log:
        for coin in seen.outputs:
            rounds[int(seen.at_s // round_s), exponents[coin]] += 1
        for coin in seen.inputs:
            spent_by[coin] = seen
    found = []
    for seen in log:
        for coin in seen.truth.paid:
            sure, at = 1.0, coin
            while at in spent_by and spent_by[at].account < 0 and spent_by[at].truth.payee < 0:
                exchange = spent_by[at]
                at = exchange.outputs[0]
                alike = [other for other in exchange.outputs if exponents[other] == exponents[at]]
                sure *= len(alike) / rounds[int(exchange.at_s // round_s), exponents[at]]
            if at in spent_by:
                found.append((seen.truth.holder, sure))
    return found


def _joint(beliefs: Sequence[Belief]) -> Belief:
    """One person gave all inputs."""
    whole = list(beliefs[0])
    for other in beliefs[1:]:
        whole = scaled([a * b for a, b in zip(whole, other, strict=True)])
    return whole


def _right(belief: Belief, truth: int) -> float:
    best = max(belief)
    first = [account for account, weight in enumerate(belief) if weight >= best * (1 - 1e-9)]
    return 1 / len(first) if truth in first else 0.0


def _bits(belief: Belief) -> float:
    return -sum(each * log2(each) for each in belief if each > 0)

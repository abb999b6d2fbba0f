"""
When coins are exchanged ahead of their expiry, v -> v, one by one. Pure.

A coin's own time for it is drawn over a good part of the last third of its life, from its secret alone: so it
is the same whatever the member does meanwhile, it survives a restart, and nobody else can tell it. Whoever
looks late (no agent, a wallet that lay in a drawer) finds several coins due at once. They don't go out at
once: a few now, the next ones at a random time, so that all are through before their life ends.

A coin in its grace comes first of all, since it can't be deposited or held any more. An expired coin is no
money; what was withdrawn and never spent can be replaced to the account later (docs/spec/account.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Age, Terms
from mixmint.keys import Label, labelled_hash
from wallet.purse import CoinRecord

RENEWAL_LABEL = Label("mixmint/renewal-time/v1")
MOST_AT_ONCE = 2
"""Of the coins that are due: the rest follow one after another."""
_LAST_PART = 1 / 3
"""Of a coin's life: the part in which it is renewed."""
_LEFT = 1 / 6
"""Of that part: what stays at its end for a clock that is wrong, and for an order that fails."""


@dataclass(frozen=True, slots=True)
class Renewals:
    """
    ``first``: coins in their grace, to be exchanged before anything else. ``now``: coins whose time has come.
    Both are rows of the purse, the most urgent first. ``next_s``: when to look again (Unix seconds); None
    when there is no coin to wait for.
    """

    first: tuple[int, ...] = ()
    now: tuple[int, ...] = ()
    next_s: float | None = None


def renewals(
    coins: Mapping[int, CoinRecord], terms: Terms, now_s: float, rng: Random, most: int = MOST_AT_ONCE
) -> Renewals:
    """
    What to renew at this time, of the free coins (by row).

    ``most``: so many of those that are due in their life; of those in their grace all are named.
    """
    first: list[tuple[float, int]] = []
    due: list[tuple[float, int]] = []
    later: list[float] = []
    for row, record in coins.items():
        age = age_of(record, terms, now_s)
        if age is Age.EXPIRED:
            continue
        if age is Age.GRACE:
            first.append((grace_ends_s(record, terms), row))
        elif (at_s := renewal_s(record, terms)) <= now_s:
            due.append((at_s, row))
        else:
            later.append(at_s)
    due.sort()
    waiting = [coins[row] for _, row in due[most:]]
    if waiting:
        later.append(now_s + _pause_s(waiting, terms, now_s, rng))
    rows = tuple(row for _, row in sorted(first)), tuple(row for _, row in due[:most])
    return Renewals(*rows, min(later, default=None))


def _pause_s(waiting: Iterable[CoinRecord], terms: Terms, now_s: float, rng: Random) -> float:
    """Until the next of the coins that wait: random, and on average so that the last is in time."""
    ends = [life_ends_s(record, terms) for record in waiting]
    mean_s = max(0.0, min(ends) - now_s) / (len(ends) + 1)
    return rng.uniform(0, 2 * mean_s)


def renewal_s(record: CoinRecord, terms: Terms) -> float:
    """The time (Unix seconds) at which a coin's renewal is due."""
    draw = int.from_bytes(labelled_hash(RENEWAL_LABEL, record.secret)[:8]) / 2**64
    part_s = terms.life_epochs * terms.epoch_s * _LAST_PART
    return life_ends_s(record, terms) - part_s + draw * part_s * (1 - _LEFT)


def life_ends_s(record: CoinRecord, terms: Terms) -> float:
    """When a coin (certified in ``record.epoch``) can only be exchanged any more: Unix seconds."""
    return (record.epoch + terms.life_epochs) * terms.epoch_s


def grace_ends_s(record: CoinRecord, terms: Terms) -> float:
    """When a coin is expired: Unix seconds."""
    return (record.epoch + terms.expiry_epochs) * terms.epoch_s


def age_of(record: CoinRecord, terms: Terms, now_s: float) -> Age:
    """A coin's age by this clock. The bank goes by its own, which decides."""
    return terms.age(record.epoch, terms.epoch_at(now_s))


def is_money(record: CoinRecord, terms: Terms | None, now_s: float) -> bool:
    """Whether a coin can still be exchanged. As long as the terms aren't known, each is taken for money."""
    return terms is None or age_of(record, terms, now_s) is not Age.EXPIRED


def last_day(record: CoinRecord, published: PublishedTerms | None) -> str | None:
    """The day (ISO, UTC) on which a coin's life ends; None when terms or coin aren't known yet."""
    if published is None or not record.certificate:
        return None
    return datetime.fromtimestamp(life_ends_s(record, Terms.of(published)), UTC).date().isoformat()

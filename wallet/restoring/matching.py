"""
What a page of the board says about places of ours: certified, spent, taken back. Pure.

Entries are looked at as bytes; of a million only ours are read. Each is judged as a wallet judges it: a
certificate by the key that was in force at its place, a spent coin by its own signature. Spent is for good,
whatever comes first.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bank.formats.coin import COIN_LABEL
from bank.formats.entry import (
    CertifiedEntry,
    Entry,
    KeyChangeEntry,
    Kind,
    ReplacedEntry,
    SpentEntry,
    StatementEntry,
    decode_entry,
)
from bank.formats.statement import BankStatement
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage
from wallet.anonymity.crowd import Counting, Crowd
from wallet.answers import Bank
from wallet.purse import CoinState
from wallet.restoring.reading import BareRound
from wallet.terms import newest_terms

_OF_THE_BANK = frozenset((Kind.KEY_CHANGE, Kind.TERMS))
_COINS = frozenset((Kind.CERTIFIED, Kind.POSTED))
_CERTIFIED = _COINS | {Kind.REPLACED}
_VALUE = slice(33, 38)
"""Exponent and epoch of a certified coin's leaf."""


Found = dict[bytes, dict[str, Any]]
"""What to write of each coin (id, 32 bytes): fields of ``CoinRecord``."""


def _nobody(_: bytes) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which coins are looked for (ids). ``hit`` is told of each one that is there: what is looked for may grow
    meanwhile.
    """

    coins: Container[bytes]
    hit: Callable[[bytes], None] = _nobody


def merged(before: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What is known of a coin after both. Spent is for good."""
    both = before | known
    if before.get("state") is CoinState.SPENT:
        both["state"] = CoinState.SPENT
    return both


class Matcher:
    """
    Goes through rounds in the log's order. ``keys`` and ``terms`` are the bank's as far as the rounds so far
    tell, and ``crowd`` is how many coins look alike: the bank states a value and epoch when it changes, so a
    wallet that begins at the board's newest round may never hear of an old one.
    """

    def __init__(self, bank: Bank, terms: PublishedTerms | None = None, crowd: Crowd | None = None) -> None:
        """``crowd``: as far as the rounds before tell; None: not counted."""
        self.keys = bank.keys
        self.terms = terms
        self.crowd = crowd
        self._authorities = bank.authorities
        self._counted: tuple[int, Counter[bytes]] = (0, Counter())

    def match(self, rounds: Iterable[BareRound], wanted: Wanted) -> tuple[Found, list[bytes]]:
        """
        What these rounds show of the coins that are wanted, and the ids of all coins that they certify.

        Raises MalformedMessage: a leaf that no board may have.
        """
        found: Found = {}
        certified: list[bytes] = []
        counting = None if self.crowd is None else Counting(self.crowd)
        coins, label = wanted.coins, COIN_LABEL.encode("ascii")
        for round_ in rounds:
            spent: list[bytes] = []
            for leaf in round_.leaves:
                if not leaf:
                    raise MalformedMessage("length")
                kind = leaf[0]
                if kind in _CERTIFIED:
                    certified.append(leaf[1:33])
                    if leaf[1:33] in coins:
                        self._certified(leaf, round_, wanted, found)
                elif kind == Kind.SPENT:
                    # coin_id, written out: half a million of them are a second's work.
                    coin = sha256(label + leaf[1:33]).digest()
                    spent.append(coin)
                    if coin in coins:
                        _spent(leaf, wanted, found)
                elif kind in _OF_THE_BANK:
                    self._learn(decode_entry(leaf), round_.first)
            if counting is not None:
                self._count(counting, round_, spent)
        if counting is not None:
            self.crowd = counting.crowd
        return found, certified

    def _count(self, counting: Counting, round_: BareRound, spent: list[bytes]) -> None:
        key = self.keys.key_at(round_.first)
        statements: list[BankStatement] = []
        for leaf in round_.leaves:
            entry = decode_entry(leaf) if leaf[0] == Kind.STATEMENT else None
            if isinstance(entry, StatementEntry) and entry.statement.holds(key, self.keys.id):
                statements.append(entry.statement)
        coins = [
            (leaf[1:33], (leaf[33], int.from_bytes(leaf[34:38])))
            for leaf in round_.leaves
            if leaf[0] in _COINS and len(leaf) >= _VALUE.stop
        ]
        counting.count(round_.number, self.keys.all.index(key), statements, coins, spent)

    def _learn(self, entry: Entry, first: int) -> None:
        if isinstance(entry, KeyChangeEntry):
            who = self._authorities
            self.keys = self.keys.follow(entry.change, who.keys, who.threshold, first)
        self.terms = newest_terms(self.terms, [entry], self.keys.id, self.keys.key_at(first))

    def _certified(self, leaf: bytes, round_: BareRound, wanted: Wanted, found: Found) -> None:
        entry, key = decode_entry(leaf), self.keys.key_at(round_.first)
        if not isinstance(entry, CertifiedEntry | ReplacedEntry) or not entry.holds(key, self.keys.id):
            return
        wanted.hit(entry.coin)
        known = found.setdefault(entry.coin, {})
        if isinstance(entry, ReplacedEntry):
            known |= {"state": CoinState.SPENT, "round": round_.number}
        elif "certificate" not in known:
            known |= {
                "state": known.get("state", CoinState.FREE),
                "exponent": entry.exponent,
                "epoch": entry.epoch,
                "certificate": entry.certificate,
                "round": round_.number,
                "leaf": round_.first,
                "beside": self._beside(round_)[leaf[_VALUE]],
            }

    def _beside(self, round_: BareRound) -> Counter[bytes]:
        """How many coins of each value and epoch a round certifies; counted once, if at all."""
        number, found = self._counted
        if number != round_.number:
            found = Counter(leaf[_VALUE] for leaf in round_.leaves if leaf[0] in _COINS)
            self._counted = round_.number, found
        return found


def _spent(leaf: bytes, wanted: Wanted, found: Found) -> None:
    entry = decode_entry(leaf)
    if isinstance(entry, SpentEntry) and entry.holds():
        wanted.hit(entry.coin)
        known = found.setdefault(entry.coin, {})
        known |= {"state": CoinState.SPENT, "proof": entry.coin_key + entry.seal + entry.signature}

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
    PostedEntry,
    ReplacedEntry,
    SpentEntry,
    decode_entry,
)
from bank.formats.terms import PublishedTerms
from wallet.answers import Bank
from wallet.purse import CoinState
from wallet.restoring.deriving import PREFIX_BYTES
from wallet.restoring.reading import BareRound
from wallet.restoring.table import Place
from wallet.terms import newest_terms

_OF_THE_BANK = frozenset((Kind.KEY_CHANGE, Kind.TERMS))
_COINS = frozenset((Kind.CERTIFIED, Kind.POSTED))
_CERTIFIED = _COINS | {Kind.REPLACED}
_VALUE = slice(33, 38)
"""Exponent and epoch of a certified coin's leaf."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose entries are looked for. ``beginnings``: the first 8 bytes of ids; ``find``: the full check."""

    beginnings: Container[bytes]
    find: Callable[[bytes], Place | None]


def merged(before: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What is known of a place after both. Spent is for good."""
    both = before | known
    if before.get("state") is CoinState.SPENT:
        both["state"] = CoinState.SPENT
    return both


class Matcher:
    """
    Goes through rounds in the log's order. ``keys`` and ``terms`` are the bank's as far as the rounds so far
    tell.
    """

    def __init__(self, bank: Bank, terms: PublishedTerms | None = None) -> None:
        self.keys = bank.keys
        self.terms = terms
        self._authorities = bank.authorities
        self._counted: tuple[int, Counter[bytes]] = (0, Counter())

    def match(
        self, rounds: Iterable[BareRound], wanted: Wanted
    ) -> tuple[dict[Place, dict[str, Any]], list[bytes]]:
        """
        What to write of each place that these rounds show (fields of ``CoinRecord``), and the ids of all
        coins that they certify. Raises MalformedMessage: a leaf that no board may have.
        """
        found: dict[Place, dict[str, Any]] = {}
        coins: list[bytes] = []
        beginnings, label = wanted.beginnings, COIN_LABEL.encode("ascii")
        for round_ in rounds:
            for leaf in round_.leaves:
                kind = leaf[0]
                if kind in _CERTIFIED:
                    coins.append(leaf[1:33])
                    if leaf[1 : 1 + PREFIX_BYTES] in beginnings:
                        self._certified(leaf, round_, wanted, found)
                elif kind == Kind.SPENT:
                    # coin_id, written out: half a million of them are a second's work.
                    if sha256(label + leaf[1:33]).digest()[:PREFIX_BYTES] in beginnings:
                        _spent(leaf, round_, wanted, found)
                elif kind in _OF_THE_BANK:
                    self._learn(decode_entry(leaf), round_.first)
        return found, coins

    def _learn(self, entry: Entry, first: int) -> None:
        if isinstance(entry, KeyChangeEntry):
            who = self._authorities
            self.keys = self.keys.follow(entry.change, who.keys, who.threshold, first)
        self.terms = newest_terms(self.terms, [entry], self.keys.id, self.keys.key_at(first))

    def _certified(
        self, leaf: bytes, round_: BareRound, wanted: Wanted, found: dict[Place, dict[str, Any]]
    ) -> None:
        place, entry = wanted.find(leaf[1:33]), decode_entry(leaf)
        key = self.keys.key_at(round_.first)
        if place is None or not isinstance(entry, CertifiedEntry | PostedEntry | ReplacedEntry):
            return
        if not entry.holds(key, self.keys.id):
            return
        known = found.setdefault(place, {})
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


def _spent(leaf: bytes, round_: BareRound, wanted: Wanted, found: dict[Place, dict[str, Any]]) -> None:
    entry = decode_entry(leaf)
    if not isinstance(entry, SpentEntry):
        return
    place = wanted.find(entry.coin)
    if place is not None and entry.holds():
        known = found.setdefault(place, {})
        known |= {"state": CoinState.SPENT, "proof": entry.coin_key + entry.seal + entry.signature}

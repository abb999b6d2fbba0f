"""
What the board's JSON looks like. The server writes these structs, the client reads them, and the published
description (``/openapi.json``) is generated from them, so the three can't drift apart.

Bytes are lower-case hexadecimal; an entry's own bytes are base64 (field ``bytes``), since they are what is
hashed and signed, and the other fields only say the same for people.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bank.board.rounds import MOST_ROUND_ENTRIES, Round
from bank.board.totals import Totals
from bank.formats.coin import MOST_EXPONENT, coin_id
from bank.formats.entry import (
    MOST_ENTRY_BYTES,
    AccountEntry,
    CertifiedEntry,
    KeyEntry,
    decode_entry,
)

Number32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Number63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="32 bytes, hexadecimal")]
Hex64 = Annotated[str, Meta(pattern="^[0-9a-f]{128}$", description="64 bytes, hexadecimal")]
EntryBytes = Annotated[
    bytes, Meta(min_length=1, max_length=MOST_ENTRY_BYTES, description="the entry itself, base64")
]
Units = Annotated[int, Meta(ge=1, le=1 << MOST_EXPONENT, description="value, a power of two")]
Index = Annotated[int, Meta(ge=0, le=2**63 - 1, description="place in the log, counted from 0")]
InRound = Annotated[int, Meta(ge=1, le=2**32 - 1, description="the round that shows it")]


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every JSON object."""


class TotalsView(View, frozen=True):
    """Running totals over everything up to and including a round."""

    certified_units: Annotated[Number63, Meta(description="value of all coins certified")]
    spent_units: Annotated[Number63, Meta(description="value of all coins spent")]
    outstanding_units: Annotated[int, Meta(description="certified less spent")]
    coins: Annotated[Number63, Meta(description="coins certified")]
    spent_coins: Annotated[Number63, Meta(description="of these, spent")]
    accounts: Annotated[Number63, Meta(description="accounts opened")]
    repeats: Annotated[
        Number63,
        Meta(description="entries that certify or spend a coin for the second time: 0 if the bank is honest"),
    ]
    unknown: Annotated[
        Number63, Meta(description="coins spent that were never certified before: 0 if the bank is honest")
    ]


class RoundView(View, frozen=True):
    """A closed round. The signature covers number, first, count, digest and previous."""

    round: Annotated[int, Meta(ge=1, le=2**32 - 1, description="counted from 1")]
    first: Annotated[int, Meta(ge=0, le=2**63 - 1, description="index of its first entry")]
    count: Annotated[int, Meta(ge=0, le=MOST_ROUND_ENTRIES, description="how many entries")]
    closed_at: Annotated[int, Meta(ge=0, le=2**40, description="Unix seconds; not signed")]
    digest: Annotated[Hex32, Meta(description="over the previous digest and the entries")]
    previous: Annotated[Hex32, Meta(description="digest of the round before; zeros for the first")]
    signature: Annotated[Hex64, Meta(description="by the board's key")]
    totals: TotalsView

    def signed(self) -> Round:
        """What of it the board signed."""
        return Round(
            self.round,
            self.first,
            self.count,
            bytes.fromhex(self.digest),
            bytes.fromhex(self.previous),
            bytes.fromhex(self.signature),
        )


class RoundsPage(View, frozen=True):
    """Closed rounds, ascending. Fewer than the limit: these are the newest."""

    rounds: list[RoundView]


class KeyView(View, frozen=True, tag="key", tag_field="kind"):
    """The bank's signing key."""

    index: Index
    round: InRound
    bank: Hex32
    public: Hex32
    signature: Hex64
    bytes: EntryBytes


class AccountView(View, frozen=True, tag="account", tag_field="kind"):
    """An account was opened."""

    index: Index
    round: InRound
    account: Hex32
    bytes: EntryBytes


class CertifiedView(View, frozen=True, tag="certified", tag_field="kind"):
    """A coin was certified by the bank."""

    index: Index
    round: InRound
    coin: Hex32
    units: Units
    epoch: Number32
    certificate: Hex64
    bytes: EntryBytes


class SpentView(View, frozen=True, tag="spent", tag_field="kind"):
    """A coin was spent by the holder of its secret."""

    index: Index
    round: InRound
    coin: Hex32
    coin_key: Hex32
    seal: Hex32
    signature: Hex64
    bytes: EntryBytes


EntryView = KeyView | AccountView | CertifiedView | SpentView


class EntriesPage(View, frozen=True):
    """Entries of closed rounds from the cursor on, and the cursor for the next page."""

    entries: list[EntryView]
    next: Number63


class TotalsPage(View, frozen=True):
    """The newest round's totals; all zeros before the first round."""

    round: Annotated[Number32, Meta(description="newest closed round; 0 before the first")]
    entries: Annotated[Number63, Meta(description="entries in all rounds")]
    closed_at: Annotated[int, Meta(ge=0, le=2**40, description="Unix seconds")]
    totals: TotalsView


class CoinPage(View, frozen=True):
    """Every entry about one coin. More than one of a kind is evidence that the bank cheated."""

    coin: Hex32
    state: Literal["unknown", "certified", "spent"]
    certified: list[CertifiedView]
    spent: list[SpentView]


class ErrorView(View, frozen=True):
    """Every error, whatever went wrong: one word out of a small set, and a sentence."""

    error: str
    message: str


def totals_view(totals: Totals) -> TotalsView:
    return TotalsView(
        totals.certified_units,
        totals.spent_units,
        totals.certified_units - totals.spent_units,
        totals.coins,
        totals.spent_coins,
        totals.accounts,
        totals.repeats,
        totals.unknown,
    )


def round_view(round_: Round, closed_at_s: int, totals: Totals) -> RoundView:
    return RoundView(
        round_.number,
        round_.first,
        round_.count,
        closed_at_s,
        round_.digest.hex(),
        round_.previous.hex(),
        round_.signature.hex(),
        totals_view(totals),
    )


def entry_view(index: int, round_: int, data: bytes) -> EntryView:
    """One entry, spelled out. Raises MalformedMessage, which for stored bytes means a damaged store."""
    entry = decode_entry(data)
    if isinstance(entry, CertifiedEntry):
        return CertifiedView(
            index, round_, entry.coin.hex(), 1 << entry.exponent, entry.epoch, entry.certificate.hex(), data
        )
    if isinstance(entry, AccountEntry):
        return AccountView(index, round_, entry.account.hex(), data)
    if isinstance(entry, KeyEntry):
        return KeyView(index, round_, entry.bank.hex(), entry.public.hex(), entry.signature.hex(), data)
    coin, key = coin_id(entry.coin_key).hex(), entry.coin_key.hex()
    return SpentView(index, round_, coin, key, entry.seal.hex(), entry.signature.hex(), data)

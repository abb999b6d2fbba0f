"""
What the board's JSON looks like. The server writes these structs, the client reads them, and the published
description (``/openapi.json``) is generated from them, so the three can't drift apart.

Bytes are lower-case hexadecimal; an entry's own bytes are base64 (field ``bytes``), since they are what is
hashed and signed, and the other fields only say the same for people.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bank.board.rounds import MOST_ROUND_ENTRIES
from bank.board.totals import Totals
from bank.board.writing.journal import ClosedRound
from bank.formats.coin import MOST_EXPONENT, coin_id
from bank.formats.entry import (
    MOST_ENTRY_BYTES,
    AccountEntry,
    AccusationEntry,
    AnswerEntry,
    CertifiedEntry,
    ClaimEntry,
    KeyChangeEntry,
    KeyEntry,
    MapEntry,
    PostedEntry,
    ReplacedEntry,
    RoundEntry,
    SpentEntry,
    StatementEntry,
    TermsEntry,
    decode_entry,
)
from bank.formats.statement import Tally
from bank.formats.succession import KeyChange
from bank.formats.terms import PublishedTerms

Number32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Number63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Number64 = Annotated[int, Meta(ge=0, description="below 2**64")]
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
    replaced_units: Annotated[Number63, Meta(description="value of all coins that went back unspent")]
    outstanding_units: Annotated[int, Meta(description="certified less spent less replaced")]
    coins: Annotated[Number63, Meta(description="coins certified")]
    spent_coins: Annotated[Number63, Meta(description="of these, spent")]
    replaced_coins: Annotated[Number63, Meta(description="of these, replaced")]
    accounts: Annotated[Number63, Meta(description="accounts opened")]
    repeats: Annotated[
        Number63,
        Meta(description="entries that certify or end a coin for the second time: 0 if the bank is honest"),
    ]
    unknown: Annotated[
        Number63, Meta(description="coins ended that were never certified before: 0 if the bank is honest")
    ]


class RoundView(View, frozen=True):
    """A closed round: the log's leaves ``first`` .. ``size`` - 1, the last of them the round's mark."""

    round: Annotated[int, Meta(ge=1, le=2**32 - 1, description="counted from 1")]
    first: Annotated[int, Meta(ge=0, le=2**63 - 1, description="index of its first leaf")]
    count: Annotated[int, Meta(ge=0, le=MOST_ROUND_ENTRIES, description="how many entries, without the mark")]
    size: Annotated[int, Meta(ge=1, le=2**63 - 1, description="the log's size after it")]
    root: Annotated[Hex32, Meta(description="the log's root after it")]
    closed_at: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Unix seconds")]
    totals: TotalsView


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


class TermsView(View, frozen=True, tag="terms", tag_field="kind"):
    """The bank's terms, from this round on (docs/spec/terms.md)."""

    index: Index
    round: InRound
    bank: Hex32
    number: Number32
    epoch_s: Number32
    life_epochs: Number32
    grace_epochs: Number32
    hold_rounds: Number32
    promise_rounds: Number32
    claim_rounds: Number32
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


class PostedView(View, frozen=True, tag="posted", tag_field="kind"):
    """A coin was certified by the bank; its holder put the certificate here himself."""

    index: Index
    round: InRound
    coin: Hex32
    units: Units
    epoch: Number32
    certificate: Hex64
    bytes: EntryBytes


class ReplacedView(View, frozen=True, tag="replaced", tag_field="kind"):
    """A coin that was never spent went back to its account."""

    index: Index
    round: InRound
    coin: Hex32
    units: Units
    epoch: Number32
    signature: Hex64
    bytes: EntryBytes


class TallyView(View, frozen=True):
    """Counts since the bank began; in ``totals``, units."""

    withdrawn: Number64
    exchanged: Number64
    spent: Number64
    deposited: Number64
    replaced: Number64


class TallyRow(View, frozen=True):
    """Coins of one value and epoch."""

    units: Units
    epoch: Number32
    coins: TallyView


class StatementView(View, frozen=True, tag="statement", tag_field="kind"):
    """The bank's own count, and how far it has read the board."""

    index: Index
    round: InRound
    bank: Hex32
    sequence: Number32
    size: Number64
    root: Hex32
    totals: TallyView
    rows: list[TallyRow]
    signature: Hex64
    bytes: EntryBytes


class MapView(View, frozen=True, tag="map", tag_field="kind"):
    """The board's map of coins at the end of an earlier round."""

    index: Index
    round: InRound
    of_round: InRound
    size: Number64
    coins: Number64
    root: Hex32
    bytes: EntryBytes


class ClaimView(View, frozen=True, tag="claim", tag_field="kind"):
    """A customer's claim against the bank."""

    index: Index
    round: InRound
    bytes: EntryBytes


class AnswerView(View, frozen=True, tag="answer", tag_field="kind"):
    """An answer that the bank signed."""

    index: Index
    round: InRound
    bytes: EntryBytes


class AccusationView(View, frozen=True, tag="accusation", tag_field="kind"):
    """Evidence, checkable by itself."""

    index: Index
    round: InRound
    bytes: EntryBytes


class KeyChangeView(View, frozen=True, tag="key_change", tag_field="kind"):
    """The network's authorities replaced the bank's key: from leaf ``size`` on only the new one counts."""

    index: Index
    round: InRound
    bank: Hex32
    number: Number32
    old: Hex32
    new: Hex32
    size: Number64
    root: Hex32
    answer_rounds: Number32
    authorities: Annotated[list[str], Meta(description="who signed: public keys, hexadecimal")]
    bytes: EntryBytes


class MarkView(View, frozen=True, tag="round", tag_field="kind"):
    """The end of a round."""

    index: Index
    round: InRound
    closed_at: Number64
    first: Number64
    bytes: EntryBytes


EntryView = (
    KeyView
    | TermsView
    | KeyChangeView
    | AccountView
    | CertifiedView
    | SpentView
    | StatementView
    | ReplacedView
    | PostedView
    | MapView
    | ClaimView
    | AnswerView
    | AccusationView
    | MarkView
)


class EntriesPage(View, frozen=True):
    """The log's leaves, as far as rounds are closed, from the cursor on, and the cursor for the next page."""

    entries: list[EntryView]
    next: Number63


class TotalsPage(View, frozen=True):
    """The newest round's totals; all zeros before the first round."""

    round: Annotated[Number32, Meta(description="newest closed round; 0 before the first")]
    size: Annotated[Number63, Meta(description="the log's leaves: entries, and a mark for each round")]
    root: Annotated[Hex32, Meta(description="the log's root")]
    closed_at: Annotated[Number63, Meta(description="Unix seconds")]
    totals: TotalsView


class LogPage(View, frozen=True):
    """What the board says of itself. Whoever wants to be sure has the key from elsewhere."""

    key: Annotated[str, Meta(description="verifier key of the log's checkpoints (C2SP signed-note)")]


class CoinPage(View, frozen=True):
    """
    The entries about one coin. More than one of a kind, other than posted, is evidence that the bank cheated;
    so is one that was spent and replaced.
    """

    coin: Hex32
    state: Literal["unknown", "certified", "spent", "replaced"]
    certified: list[CertifiedView]
    spent: list[SpentView]
    posted: list[PostedView]
    replaced: list[ReplacedView]
    void: Annotated[
        list[int],
        Meta(
            description="indexes of entries that a replaced key of the bank's signed: they are worth nothing"
        ),
    ] = []


class ErrorView(View, frozen=True):
    """Every error, whatever went wrong: one word out of a small set, and a sentence."""

    error: str
    message: str


def totals_view(totals: Totals) -> TotalsView:
    return TotalsView(
        certified_units=totals.certified_units,
        spent_units=totals.spent_units,
        replaced_units=totals.replaced_units,
        outstanding_units=totals.outstanding_units,
        coins=totals.coins,
        spent_coins=totals.spent_coins,
        replaced_coins=totals.replaced_coins,
        accounts=totals.accounts,
        repeats=totals.repeats,
        unknown=totals.unknown,
    )


def round_view(closed: ClosedRound) -> RoundView:
    return RoundView(
        closed.number,
        closed.first,
        closed.count,
        closed.size,
        closed.root.hex(),
        closed.closed_at_s,
        totals_view(closed.totals),
    )


def _tally(tally: Tally) -> TallyView:
    return TallyView(*tally.numbers())


def _statement(index: int, round_: int, entry: StatementEntry, data: bytes) -> StatementView:
    said = entry.statement
    return StatementView(
        index,
        round_,
        said.bank.hex(),
        said.sequence,
        said.size,
        said.root.hex(),
        _tally(said.totals),
        [TallyRow(1 << row.exponent, row.epoch, _tally(row.tally)) for row in said.rows],
        said.signature.hex(),
        data,
    )


def _key_change(index: int, round_: int, change: KeyChange, data: bytes) -> KeyChangeView:
    return KeyChangeView(
        index,
        round_,
        change.bank.hex(),
        change.number,
        change.old.hex(),
        change.new.hex(),
        change.cut.size,
        change.cut.root.hex(),
        change.answer_rounds,
        [authority.hex() for authority, _ in change.signatures],
        data,
    )


def _terms(index: int, round_: int, terms: PublishedTerms, data: bytes) -> TermsView:
    return TermsView(
        index,
        round_,
        terms.bank.hex(),
        terms.number,
        terms.epoch_s,
        terms.life_epochs,
        terms.grace_epochs,
        terms.hold_rounds,
        terms.promise_rounds,
        terms.claim_rounds,
        terms.signature.hex(),
        data,
    )


def _spent(index: int, round_: int, entry: SpentEntry, data: bytes) -> SpentView:
    coin, key = coin_id(entry.coin_key).hex(), entry.coin_key.hex()
    return SpentView(index, round_, coin, key, entry.seal.hex(), entry.signature.hex(), data)


def _worth(
    index: int, round_: int, entry: CertifiedEntry, data: bytes
) -> tuple[int, int, str, int, int, str, bytes]:
    """The fields of an entry with a certificate."""
    units, certificate = 1 << entry.exponent, entry.certificate.hex()
    return index, round_, entry.coin.hex(), units, entry.epoch, certificate, data


def entry_view(index: int, round_: int, data: bytes) -> EntryView:
    """One leaf, spelled out. Raises MalformedMessage, which for stored bytes means a damaged store."""
    match decode_entry(data):
        case PostedEntry() as entry:
            return PostedView(*_worth(index, round_, entry, data))
        case CertifiedEntry() as entry:
            return CertifiedView(*_worth(index, round_, entry, data))
        case SpentEntry() as entry:
            return _spent(index, round_, entry, data)
        case AccountEntry(account):
            return AccountView(index, round_, account.hex(), data)
        case KeyEntry(bank, public, signature):
            return KeyView(index, round_, bank.hex(), public.hex(), signature.hex(), data)
        case KeyChangeEntry(change):
            return _key_change(index, round_, change, data)
        case TermsEntry(terms):
            return _terms(index, round_, terms, data)
        case StatementEntry() as entry:
            return _statement(index, round_, entry, data)
        case ReplacedEntry(coin, exponent, epoch, signature):
            return ReplacedView(index, round_, coin.hex(), 1 << exponent, epoch, signature.hex(), data)
        case MapEntry(of_round, size, coins, root):
            return MapView(index, round_, of_round, size, coins, root.hex(), data)
        case ClaimEntry():
            return ClaimView(index, round_, data)
        case AnswerEntry():
            return AnswerView(index, round_, data)
        case AccusationEntry():
            return AccusationView(index, round_, data)
        case RoundEntry(_, closed_at_s, first):
            return MarkView(index, round_, closed_at_s, first, data)

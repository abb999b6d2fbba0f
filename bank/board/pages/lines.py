"""What a round's table says of an entry: one line each. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from bank.formats.entry import (
    AccountEntry,
    AccusationEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    KeyChangeEntry,
    KeyEntry,
    Kind,
    MapEntry,
    ReplacedEntry,
    RoundEntry,
    SpentEntry,
    StatementEntry,
    TermsEntry,
    decode_entry,
)
from bank.formats.succession import KeyChange


@dataclass(frozen=True)
class Line:
    """
    ``about`` in words, with a link if there is one (``href``); or a coin's id; or another key (``code``).
    """

    index: int
    kind: str
    about: str = ""
    href: str = ""
    coin: str = ""
    code: str = ""
    units: int = 0


def line_of(index: int, data: bytes, changes: Collection[KeyChange] = ()) -> Line:
    """
    The line of one stored entry; ``changes``: of the bank's key, those that count.

    Raises MalformedMessage, which for stored bytes means a damaged log.
    """
    entry, kind = decode_entry(data), Kind(data[0]).name.lower()
    if isinstance(entry, CertifiedEntry | ReplacedEntry):
        return Line(index, kind, coin=entry.coin.hex(), units=1 << entry.exponent)
    if isinstance(entry, SpentEntry):
        return Line(index, kind, coin=entry.coin.hex())
    if isinstance(entry, AccountEntry):
        return Line(index, kind, code=entry.account.hex())
    if isinstance(entry, KeyEntry):
        return Line(index, kind, code=entry.public.hex())
    return Line(index, kind, *_in_words(index, entry, len(data), changes))


def _in_words(index: int, entry: Entry, size: int, changes: Collection[KeyChange]) -> tuple[str, str]:
    """What the rare kinds are about, and where more of it stands."""
    if isinstance(entry, StatementEntry):
        return f"statement {entry.statement.sequence:,} of the bank", ""
    if isinstance(entry, TermsEntry):
        return f"terms {entry.terms.number:,} of the bank", ""
    if isinstance(entry, MapEntry):
        return f"the map of {entry.coins:,} coins, as of round {entry.round:,}", ""
    if isinstance(entry, KeyChangeEntry):
        change = entry.change
        if change not in changes:
            return f"a change of the bank's key, number {change.number}, that contradicts an earlier one", ""
        return (
            f"the authorities replaced the bank's key: from entry {change.cut.size:,} on only "
            f"{change.new.hex()[:16]}… counts",
            "",
        )
    if isinstance(entry, RoundEntry):
        return f"the end of round {entry.number:,}", ""
    if isinstance(entry, AccusationEntry):
        return f"an accusation, {size - 1:,} bytes", f"/accusations/{index}"
    what = "a claim against the bank" if isinstance(entry, ClaimEntry) else "an answer that the bank signed"
    return f"{what}, {size - 1:,} bytes", ""

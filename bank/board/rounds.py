"""
Rounds: which entries stand in which order, and what the board signs of them. Pure.

A round's entries are sorted by their bytes, so their order tells nothing about who came with whom. Written
one after another, each behind its length, they are the round's *bundle*; the digest covers the bundle and the
digest before it, so the newest digest stands for everything the board has ever shown.

Source: docs/spec/board.md, sections 1 and 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bank.formats.coin import MOST_EXPONENT
from bank.formats.entry import MOST_ENTRY_BYTES, Kind
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify

ROUND_LABEL = Label("mixmint/round/v1")
DIGEST_LABEL = Label("mixmint/round-digest/v1")

NO_DIGEST = bytes(32)
"""What stands before the first round."""
MOST_ROUND_ENTRIES = 16_384
"""No round is larger, so a reader knows how much memory one can cost him: about 2 MiB of entries."""
MOST_GROUP_ENTRIES = 255

_ENTRY_BYTES = {Kind.KEY: 129, Kind.ACCOUNT: 33, Kind.CERTIFIED: 102, Kind.SPENT: 129}
_EXPONENT_AT = 33


def check_entry(entry: bytes) -> None:
    """
    Whether ``decode_entry`` would take these bytes, at a tenth of its price: the bank's feed asks this of
    every entry. Fixed widths mean that kind, length and exponent are all there is to check.

    Raises MalformedMessage: ``kind``, ``length``, ``value``.
    """
    if not entry:
        raise MalformedMessage("length")
    kind = entry[0]
    wanted = _ENTRY_BYTES.get(kind)  # type: ignore[call-overload]  # an IntEnum key equals its number
    if wanted is None:
        raise MalformedMessage("kind")
    if len(entry) != wanted:
        raise MalformedMessage("length")
    if kind == Kind.CERTIFIED and entry[_EXPONENT_AT] > MOST_EXPONENT:
        raise MalformedMessage("value")


def pack(entries: Iterable[bytes]) -> bytes:
    """The bundle: length 2 (big-endian) and bytes of each entry, in the order given."""
    return b"".join([len(entry).to_bytes(2) + entry for entry in entries])


def unpack(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises MalformedMessage("length") when the last one is cut short."""
    entries, at, size = [], 0, len(bundle)
    while at < size:
        start = at + 2
        at = start + int.from_bytes(bundle[at:start])
        if at > size or not 1 <= at - start <= MOST_ENTRY_BYTES:
            raise MalformedMessage("length")
        entries.append(bundle[start:at])
    return entries


def is_sorted(entries: Sequence[bytes]) -> bool:
    """Ascending by bytes. Equal neighbours are allowed: a repeated entry is shown, not hidden."""
    return all(a <= b for a, b in pairwise(entries))


def digest_of(previous: bytes, bundle: bytes) -> bytes:
    """A round's digest (32 bytes): the digest before it (32 bytes), then its bundle."""
    return labelled_hash(DIGEST_LABEL, previous, bundle)


@dataclass(frozen=True, slots=True)
class Round:
    """
    One closed round: its number (from 1), the index of its first entry, how many, digest, previous digest.

    The board signs label, number 4, first 8, count 4, digest 32, previous 32.
    """

    number: int
    first: int
    count: int
    digest: bytes
    previous: bytes
    signature: bytes

    def holds(self, board_key: bytes) -> bool:
        """Whether the board signed it."""
        return verify(board_key, ROUND_LABEL, self.signature, *_signed(self))

    @property
    def next(self) -> int:
        """The index of the first entry after it."""
        return self.first + self.count


def _signed(round_: Round) -> tuple[bytes, ...]:
    return (
        round_.number.to_bytes(4),
        round_.first.to_bytes(8),
        round_.count.to_bytes(4),
        round_.digest,
        round_.previous,
    )


def sign_round(
    key: SigningKey, number: int, first: int, previous: bytes, entries: Sequence[bytes]
) -> tuple[Round, bytes]:
    """
    Close a round over entries that are sorted already; ``previous`` is the digest before it.

    Returns the signed round and its bundle.
    """
    bundle = pack(entries)
    unsigned = Round(number, first, len(entries), digest_of(previous, bundle), previous, b"")
    return replace(unsigned, signature=key.sign(ROUND_LABEL, *_signed(unsigned))), bundle


def check_round(round_: Round, entries: Sequence[bytes], board_key: bytes) -> None:
    """
    Everything that a reader can check of one round by itself. That it follows the round before is for
    ``Cursor.follows`` (bank/board/client.py).

    Raises MalformedMessage: ``count``, ``sorted``, ``digest``, ``signature``.
    """
    if len(entries) != round_.count or round_.count > MOST_ROUND_ENTRIES:
        raise MalformedMessage("count")
    if not is_sorted(entries):
        raise MalformedMessage("sorted")
    if digest_of(round_.previous, pack(entries)) != round_.digest:
        raise MalformedMessage("digest")
    if not round_.holds(board_key):
        raise MalformedMessage("signature")

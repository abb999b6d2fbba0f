"""
Whether the board shows an order as executed, from entries of it at their places. Pure (docs/spec/receipt.md,
section 3).

A bank publishes all of an order's entries in one round: a certificate of its own in another one proves
nothing. What it withheld is posted by whoever has its answer, later, and in a round of its own.
"""

from collections.abc import Collection, Mapping

from bank.formats.entry import CertifiedEntry, Entry, PostedEntry, RoundEntry, SpentEntry
from bank.formats.order import Output
from mixmint.errors import PeerError

NOT_ONE_ORDERS = "the entries are not one order's, with the mark of their round"


def executed(
    found: Mapping[int, Entry], seal: bytes, inputs: Collection[bytes], outputs: Collection[Output]
) -> tuple[RoundEntry, dict[int, CertifiedEntry]]:
    """
    The mark of the round in which all was there, and the outputs' certificates by their places in the log;
    the bank's signatures are for the caller to verify. ``found``: entries, and the marks of their rounds, by
    place. Raises PeerError: it isn't shown.
    """
    marks = {index: entry for index, entry in found.items() if isinstance(entry, RoundEntry)}
    spent = {index: entry for index, entry in found.items() if isinstance(entry, SpentEntry)}
    certified = {index: entry for index, entry in found.items() if isinstance(entry, CertifiedEntry)}
    ends = {index: _end_of(index, marks) for index in (*spent, *certified)}
    if len(found) != len(marks) + len(spent) + len(certified) or set(ends.values()) != marks.keys():
        raise PeerError("entries", NOT_ONE_ORDERS)
    keys = {entry.coin_key for entry in spent.values() if entry.seal == seal and entry.holds()}
    if keys != set(inputs) or len(spent) != len(keys):
        raise PeerError("entries", "the board doesn't show the order's coins as spent by it")
    made = {Output(entry.coin, entry.exponent) for entry in certified.values()}  # type: ignore[arg-type]  # an id as it was read
    if made != set(outputs) or len(certified) != len(made):
        raise PeerError("entries", "the board doesn't show what the order paid as certified")
    first = min(ends[index] for index in spent)
    own = [index for index, entry in certified.items() if not isinstance(entry, PostedEntry)]
    if any(ends[index] != first for index in (*spent, *own)) or min(ends.values()) < first:
        raise PeerError("entries", "the entries are not all in one round")
    return marks[max(marks)], certified


def _end_of(index: int, marks: Mapping[int, RoundEntry]) -> int:
    """The place of the mark that ends the round of this place. Raises PeerError."""
    for end, mark in marks.items():
        if mark.first <= index <= end:
            return end
    raise PeerError("entries", NOT_ONE_ORDERS)

"""The bank's terms, as the board shows them to a wallet. Pure."""

from collections.abc import Iterable

from bank.formats.entry import Entry, TermsEntry
from bank.formats.terms import PublishedTerms


def newest_terms(
    known: PublishedTerms | None, entries: Iterable[Entry], bank: bytes, bank_key: bytes
) -> PublishedTerms | None:
    """
    The terms with the highest number, of those known and those among the entries; None when there are none.

    Entries count when they are of this bank (id, 32 bytes) and signed by the key in force where they stand.
    """
    for entry in entries:
        if not isinstance(entry, TermsEntry) or entry.terms.bank != bank:
            continue
        if (known is None or entry.terms.number > known.number) and entry.terms.holds(bank_key):
            known = entry.terms
    return known

"""The bank's terms, as the board shows them to a wallet. Pure."""

from collections.abc import Iterable

from bank.formats.entry import Entry, TermsEntry
from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Terms


def newest_terms(
    known: PublishedTerms | None, entries: Iterable[Entry], bank: bytes, bank_key: bytes
) -> PublishedTerms | None:
    """
    The terms with the highest number, of those known and those among the entries; None when there are none.

    Entries count when they are of this bank (id, 32 bytes) and signed by the key in force where they stand,
    and take nothing from coins that are out: else a bank could make a wallet set its money aside as expired.
    """
    for entry in entries:
        if not isinstance(entry, TermsEntry) or entry.terms.bank != bank:
            continue
        if known is not None and (entry.terms.number <= known.number or _takes(entry.terms, known)):
            continue
        if entry.terms.holds(bank_key):
            known = entry.terms
    return known


def _takes(terms: PublishedTerms, before: PublishedTerms) -> bool:
    """Whether these terms break the rules after those; the audit says so of the bank."""
    return Terms.of(terms).objection_after(Terms.of(before)) is not None

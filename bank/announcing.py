"""
The bank's terms on the board: published before anything that they promise, and again when they change.

Coins that are out keep what they were promised (docs/spec/terms.md, section 3), so settings that would take
some of it are refused before the bank starts.
"""

from bank.formats.entry import TermsEntry
from bank.formats.fields import Reader
from bank.formats.terms import PublishedTerms
from bank.ledger import Signer, Terms
from bank.stores.interface import Books, View
from mixmint.errors import UserError


def published_terms(view: View) -> PublishedTerms | None:
    """The newest terms that have a group, or None before the first."""
    stored = view.terms()
    return PublishedTerms.read(Reader(stored)) if stored else None


def check_terms(view: View, terms: Terms) -> None:
    """Raises UserError when these terms can't follow the published ones."""
    newest = published_terms(view)
    objection = terms.objection_after(Terms.of(newest)) if newest else None
    if objection:
        raise UserError(
            f"these terms can't follow the ones that the board shows: {objection}; mend bank.toml"
        )


def publish_terms(book: Books, signer: Signer) -> PublishedTerms | None:
    """
    Sign and publish the bank's terms if they are new, inside the book's transaction; they, or None.

    A successor says again, with his own key, what his predecessor had promised: an accusation of silence
    shows terms by the key that it accuses, since who stole an earlier one may have promised anything.

    Only after the board was asked: a store restored from a backup must not use a number twice. Raises
    UserError as ``check_terms``.
    """
    newest = published_terms(book)
    own = newest is not None and newest.holds(signer.key.public)
    if newest is not None and own and Terms.of(newest) == signer.terms:
        return None
    check_terms(book, signer.terms)
    terms = signer.terms.published(signer.key, signer.bank, newest.number + 1 if newest else 1)
    book.publish([TermsEntry(terms).encode()])
    book.put_terms(terms.encode())
    return terms

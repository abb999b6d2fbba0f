"""
A successor's books from the board: the pass over the log, round by round. No socket, no clock.

Everything counts by its place: a certificate by the key in force at its leaf, a spent coin wherever it
stands. So a coin that the old key certified above the cut isn't on the books, and a coin that was spent there
is spent for good. Each round's entries are entered in one transaction or none; memory doesn't grow with the
log, but for the accounts' keys and the counts by value and epoch.

Source: Simon, the input ("recover", {bal_i}, {pub_i}, (p_B*, s_B*)); docs/spec/succession.md, section 4.
"""

from collections.abc import Sequence

from bank.board.reading.cursor import Cursor, VerifiedRound
from bank.claims.reading import owed
from bank.formats.entry import (
    AccountEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    KeyChangeEntry,
    ReplacedEntry,
    SpentEntry,
    StatementEntry,
    TermsEntry,
)
from bank.formats.succession import BankKeys
from bank.ledger.book import SpentCoin, Value
from bank.ledger.successor import FROM_THE_BOARD, NEITHER, UNCOUNTED, UNCREDITED
from bank.ledger.terms import Terms
from bank.recovery.balances import EVERY_DEPOSIT, Balances
from bank.recovery.learnt import Learnt
from bank.recovery.opening import OWN_SEAL, Opening, Rebuilt
from bank.stores.interface import Books
from mix.directory.network import Authorities
from mixmint.errors import UserError
from mixmint.keys import SigningKey


class Rebuild:
    """
    One pass. ``keys``: the bank's, all changes that the authorities signed among them; ``authorities``: whose
    signatures make a change that the log shows count.
    """

    def __init__(self, keys: BankKeys, authorities: Authorities, balances: Balances) -> None:
        self._keys = keys
        self._authorities = authorities
        self._balances = balances
        self._learnt = Learnt(BankKeys(keys.founding))
        self._accounts: set[bytes] = set()
        # Behind the cut nothing is owed but by him whose list it is: a successor who lost his books again.
        own = balances.key == keys.current
        self._until = EVERY_DEPOSIT if own or not keys.changes else keys.changes[-1].cut.size

    @property
    def cursor(self) -> Cursor:
        """How far the log was read."""
        return self._learnt.cursor

    def take(self, book: Books, rounds: Sequence[VerifiedRound]) -> Learnt:
        """
        Enter the next rounds, in a transaction that the caller opened, and which may run more than once: what
        was learnt counts when it is given to ``accept``, after the commit.

        Raises UserError: a change's cut isn't in this log.
        """
        page = self._learnt.copy()
        for round_ in rounds:
            self._check_cuts(round_)
            for entry in round_.entries:
                self._take(page, book, round_, entry)
            page.cursor = round_.after
        return page

    def accept(self, page: Learnt) -> None:
        """The transaction is committed."""
        self._accounts |= page.accounts
        self._learnt = page

    def _check_cuts(self, round_: VerifiedRound) -> None:
        """Whether the cuts that this round's end reaches, or passes, are ends of rounds with that root."""
        frontier = round_.after.frontier
        for change in self._keys.changes:
            if not round_.first < change.cut.size <= frontier.size:
                continue
            if change.cut.size != frontier.size or change.cut.root != frontier.root():
                raise UserError(
                    f"change {change.number} cuts at entry {change.cut.size} with a root that this log "
                    "doesn't have there: it is about another log, or this one isn't the board's"
                )

    def _take(self, page: Learnt, book: Books, round_: VerifiedRound, entry: Entry) -> None:
        key, bank = self._keys.key_at(round_.first), self._keys.id
        if isinstance(entry, CertifiedEntry):
            value = Value(entry.exponent, entry.epoch)
            counts = self._is_signed(page, entry, key)
            if counts and book.certify(entry.coin, value, OWN_SEAL, 0):
                page.certified[value] += 1
                self._reckon_certified(page, round_, entry)
        elif isinstance(entry, SpentEntry):
            self._spend(page, book, round_, entry)
        elif isinstance(entry, ReplacedEntry):
            self._replace(page, book, round_, entry, key)
        elif isinstance(entry, AccountEntry):
            page.accounts.add(entry.account)
        elif isinstance(entry, StatementEntry):
            # Numbered without gaps: a number out of nowhere would leave the successor none.
            if entry.statement.sequence == page.stated + 1 and entry.statement.holds(key, bank):
                page.stated += 1
                if key == self._balances.key:
                    page.shown.stated = entry.statement.totals
        elif isinstance(entry, TermsEntry):
            if entry.terms.holds(key, bank):
                promised = page.promised.after(entry.terms)
                page.promised, page.false = promised or page.promised, page.false + (promised is None)
        elif isinstance(entry, ClaimEntry):
            self._owe(page, book, round_, entry)
        elif isinstance(entry, KeyChangeEntry):
            who = self._authorities
            logged = page.logged.follow(entry.change, who.keys, who.threshold, round_.first)
            if logged != page.logged:
                page.logged, page.changed_in = logged, round_.number

    def _replace(
        self, page: Learnt, book: Books, round_: VerifiedRound, entry: ReplacedEntry, key: bytes
    ) -> None:
        value = book.value(entry.coin)
        if value is None or not self._is_signed(page, entry, key):
            return
        if not page.promised.is_over(value.epoch, round_.closed_at_s):
            # A bank retires first, by this clock too. Who has its key ends nobody's living coins.
            page.false += 1
        elif book.end(entry.coin):
            page.replaced[value] += 1
            page.shown.replaced += 1 << value.exponent

    def _reckon_certified(self, page: Learnt, round_: VerifiedRound, entry: CertifiedEntry) -> None:
        if round_.first < self._until:
            page.shown.certified += 1 << entry.exponent
            page.shown.arrived += (entry.coin in self._balances.withdrawn) << entry.exponent

    def _owe(self, page: Learnt, book: Books, round_: VerifiedRound, entry: ClaimEntry) -> None:
        """What was claimed since the newest change: his confirmer begins behind it and wouldn't find it."""
        if not page.changed_in or len(page.logged.changes) < len(self._keys.changes):
            return
        kept = owed(entry, round_, self._keys.all, self._keys.id)
        if kept is not None:
            book.note_claim(kept, round_.number + (page.promised.claim_rounds or Terms().claim_rounds))

    def _is_signed(self, page: Learnt, entry: CertifiedEntry | ReplacedEntry, key: bytes) -> bool:
        """Whether this key signed it, the one that counts at its place; else it is void or false."""
        if entry.holds(key, self._keys.id):
            return True
        earlier = self._keys.all[: self._keys.all.index(key)]
        if any(entry.holds(each, self._keys.id) for each in earlier):
            page.void += 1
        else:
            page.false += 1
        return False

    def _spend(self, page: Learnt, book: Books, round_: VerifiedRound, entry: SpentEntry) -> None:
        if not entry.holds():
            page.false += 1
            return
        coin = entry.coin
        value = book.value(coin)
        listed = round_.first < self._balances.size or entry.coin_key in self._balances.given
        if value is None:
            epoch = UNCOUNTED if listed else NEITHER
        else:
            epoch = FROM_THE_BOARD if listed else UNCREDITED
        spent = SpentCoin(entry.seal, entry.signature, round_.number, epoch)
        if book.spend(entry.coin_key, coin, spent, 0) and value is not None:
            page.spent[value] += 1
            if round_.first < self._until:
                page.shown.spent += 1 << value.exponent
                page.shown.given += (1 << value.exponent) * (entry.coin_key in self._balances.given)

    def check(self) -> None:
        """
        After the last round: whether the log shows the changes that were given, and every listed account.

        Raises UserError.
        """
        shown = [each.signed_part() for each in self._learnt.logged.changes]
        given = [each.signed_part() for each in self._keys.changes]
        if shown != given:
            raise UserError(
                f"the board shows {len(shown)} changes of the bank's key, and {len(given)} were given here; "
                "put the newest on the board with `mixmint bank change publish`, name all of them, and wait "
                "until its round is public"
            )
        unknown = self._balances.accounts.keys() - self._accounts
        if unknown:
            raise UserError(
                f"the list names {len(unknown)} accounts that the board doesn't show, such as "
                f"{min(unknown).hex()}; it is another bank's, or a mistake in it"
            )

    def finish(self, book: Books, key: SigningKey, accepted_units: int = 0) -> Rebuilt:
        """
        The accounts, counts and places, in the last transaction; ``key``: the new one. ``accepted_units``: so
        much may have been withdrawn after the list, and will be paid for twice.

        Raises UserError when it is more, with the number.
        """
        opening = Opening(self._keys, self._balances, self._accounts, self._learnt)
        return opening.open(book, key, accepted_units)

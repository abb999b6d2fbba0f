"""
A successor's books from the board: the pass over the log, round by round. No socket, no clock.

Everything counts by its place: a certificate by the key in force at its leaf, a spent coin wherever it
stands. So a coin that the old key certified above the cut isn't on the books, and a coin that was spent there
is spent for good. Each round's entries are entered in one transaction or none; memory doesn't grow with the
log, but for the accounts' keys and the counts by value and epoch.

Source: Simon, the input ("recover", {bal_i}, {pub_i}, (p_B*, s_B*)); docs/spec/succession.md, section 4.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from bank.board.reading.cursor import Cursor, VerifiedRound
from bank.board.rounds import MOST_GROUP_ENTRIES
from bank.claims.reading import owed
from bank.formats.account import NO_HEAD
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
from bank.ledger.accounts import recovered
from bank.ledger.book import Count, SpentCoin, Value
from bank.ledger.successor import FROM_THE_BOARD, NEITHER, UNCOUNTED, UNCREDITED
from bank.ledger.terms import Terms
from bank.recovery.balances import Balances, Listed
from bank.recovery.promises import Promised
from bank.stores.interface import Books
from mix.directory.network import Authorities
from mixmint.errors import UserError

COUNTED_AT_ONCE = 100_000
_OWN_SEAL = b""
"""Nothing is promised on fresh books, so whose output it is doesn't matter."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was made: coins and units certified, spent and replaced; accounts, and units on them."""

    coins: int
    certified_units: int
    spent: int
    spent_units: int
    replaced_units: int
    void: int
    """Entries that a replaced key signed above a cut: not on the books."""
    false: int
    """
    Entries with signatures that nobody made, replaced coins that weren't over by then, terms that can't
    follow: not on the books either, and evidence for an audit.
    """
    accounts: int
    account_units: int
    round: int
    """The round that shows the newest change."""

    @property
    def outstanding_units(self) -> int:
        """What is owed to the holders of coins."""
        return self.certified_units - self.spent_units - self.replaced_units


@dataclass
class Learnt:
    """What the rounds up to ``cursor`` say beside the books. ``accounts``: those of the newest page alone."""

    logged: BankKeys
    cursor: Cursor = field(default_factory=Cursor)
    changed_in: int = 0
    certified: Counter[Value] = field(default_factory=Counter)
    spent: Counter[Value] = field(default_factory=Counter)
    replaced: Counter[Value] = field(default_factory=Counter)
    accounts: set[bytes] = field(default_factory=set)
    promised: Promised = field(default_factory=Promised)
    stated: int = 0
    void: int = 0
    false: int = 0

    def copy(self) -> "Learnt":
        """To go on from; the accounts begin anew, since they can be many."""
        return replace(
            self,
            certified=self.certified.copy(),
            spent=self.spent.copy(),
            replaced=self.replaced.copy(),
            accounts=set(),
        )


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
            if counts and book.certify(entry.coin, value, _OWN_SEAL, 0):
                page.certified[value] += 1
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

    def finish(self, book: Books, key_entry: bytes) -> Rebuilt:
        """The accounts, counts and places, in the last transaction; ``key_entry``: the new key's own."""
        learnt = self._learnt.copy()
        book.publish([key_entry])
        for account in sorted(self._accounts):
            self._open(book, account)
        self._give(learnt, book)
        # Before the counts, so that the first statement says them all.
        book.mark_stated(learnt.stated, learnt.cursor.round)
        _count(book, (Count.WITHDRAWN,), learnt.certified)
        # What exchanges certified counts as withdrawn, so what they spent counts as deposited.
        _count(book, (Count.SPENT, Count.DEPOSITED), learnt.spent)
        _count(book, (Count.REPLACED,), learnt.replaced)
        if learnt.promised.terms:
            book.put_terms(learnt.promised.terms)
            book.note_claim_rounds(learnt.promised.claim_rounds)
        book.confirm(1, learnt.cursor.encode(), news=True)
        book.close_rounds(learnt.cursor.round, 0)
        return Rebuilt(
            learnt.certified.total(),
            _units(learnt.certified),
            learnt.spent.total(),
            _units(learnt.spent),
            _units(learnt.replaced),
            learnt.void,
            learnt.false,
            len(self._accounts),
            self._balances.units,
            learnt.changed_in,
        )

    def _give(self, learnt: Learnt, book: Books) -> None:
        """Deposits that are in the balances and never came to the board: their coins are spent, too."""
        fresh: list[bytes] = []
        for key, entry in sorted(self._balances.given.items()):
            value = book.value(entry.coin)
            spent = SpentCoin(entry.seal, entry.signature, learnt.cursor.round + 1, FROM_THE_BOARD)
            if value is not None and book.spend(key, entry.coin, spent, 0):
                learnt.spent[value] += 1
                fresh.append(entry.encode())
        for start in range(0, len(fresh), MOST_GROUP_ENTRIES):
            book.publish(fresh[start : start + MOST_GROUP_ENTRIES])

    def _open(self, book: Books, account: bytes) -> None:
        listed = self._balances.accounts.get(account, Listed(1, 0))
        head = listed.statement.head() if listed.statement else NO_HEAD
        first = recovered(self._keys.id, account, listed.balance, listed.sequence, head)
        book.take_over(first, listed.statement, FROM_THE_BOARD)


def _units(counts: Counter[Value]) -> int:
    return sum(count << value.exponent for value, count in counts.items())


def _count(book: Books, columns: Iterable[Count], counts: Counter[Value]) -> None:
    for column in columns:
        for value, count in counts.items():
            for start in range(0, count, COUNTED_AT_ONCE):
                book.count(column, [value] * min(COUNTED_AT_ONCE, count - start))

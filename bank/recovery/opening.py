"""
A successor's books are opened: accounts from the list, counts, and what the list has and the board hasn't.

All of it is one transaction, the last one. No socket, no clock.

Source: docs/spec/succession.md, section 4.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from bank.board.rounds import MOST_GROUP_ENTRIES
from bank.formats.account import NO_HEAD
from bank.formats.coin import sign_certificate
from bank.formats.entry import make_key_entry
from bank.formats.succession import BankKeys
from bank.ledger.accounts import recovered
from bank.ledger.book import Count, SpentCoin, Value
from bank.ledger.successor import FROM_THE_BOARD
from bank.recovery.balances import Balances, Listed
from bank.recovery.learnt import Learnt
from bank.recovery.reckoning import Since, since
from bank.stores.interface import Books
from mixmint.errors import UserError
from mixmint.keys import SigningKey

COUNTED_AT_ONCE = 100_000
OWN_SEAL = b""
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
    since: Since | None = None
    """What happened after the list was made; None: the list doesn't say enough to tell."""

    @property
    def outstanding_units(self) -> int:
        """What is owed to the holders of coins."""
        return self.certified_units - self.spent_units - self.replaced_units


class Opening:
    """Of the bank with these keys: the list, the board's accounts (keys, 32 bytes), and what was learnt."""

    def __init__(
        self, keys: BankKeys, balances: Balances, accounts: Collection[bytes], learnt: Learnt
    ) -> None:
        self._keys = keys
        self._balances = balances
        self._accounts = accounts
        self._learnt = learnt

    def open(self, book: Books, key: SigningKey, accepted_units: int) -> Rebuilt:
        """
        The accounts, counts and places, in the last transaction; ``key``: the new one. ``accepted_units``: so
        much may have been withdrawn after the list, and will be paid for twice.

        Raises UserError when it is more, with the number.
        """
        learnt = self._learnt.copy()
        late = self._since(learnt, book)
        if late is not None and late.withdrawn > accepted_units:
            raise UserError(
                f"after the list was made, {late.withdrawn} units at least were withdrawn: the board shows "
                "their coins, and the balances still have them, so both would be owed. Find a newer list, or "
                "mend the balances in this one if their holders tell you; then go on, or bear the loss, with "
                f"--withdrawn-since {late.withdrawn}"
            )
        book.publish([make_key_entry(key, self._keys.id).encode()])
        for account in sorted(self._accounts):
            self._open(book, account)
        self._give(learnt, book)
        self._certify(learnt, book, key)
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
        book.close_rounds(learnt.cursor.round)
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
            late,
        )

    def _since(self, learnt: Learnt, book: Books) -> Since | None:
        """What happened after the list was made; None: it doesn't say by what to tell."""
        listed = self._balances
        if listed.totals is None:
            return None
        given = [book.value(entry.coin) for entry in listed.given.values()]
        return since(
            listed.totals,
            sum(1 << entry.exponent for entry in listed.withdrawn.values()),
            sum(1 << value.exponent for value in given if value is not None),
            learnt.shown,
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
        _publish(book, fresh)

    def _certify(self, learnt: Learnt, book: Books, key: SigningKey) -> None:
        """Withdrawals that the balances lack already, and that never came to the board: good coins."""
        fresh: list[bytes] = []
        for coin, entry in sorted(self._balances.withdrawn.items()):
            value = Value(entry.exponent, entry.epoch)
            if book.certify(coin, value, OWN_SEAL, 0):
                learnt.certified[value] += 1
                signature = sign_certificate(key, self._keys.id, entry.exponent, entry.epoch, coin)
                fresh.append(replace(entry, certificate=signature).encode())
        _publish(book, fresh)

    def _open(self, book: Books, account: bytes) -> None:
        listed = self._balances.accounts.get(account, Listed(1, 0))
        head = listed.statement.head() if listed.statement else NO_HEAD
        first = recovered(self._keys.id, account, listed.balance, listed.sequence, head)
        book.take_over(first, listed.statement, FROM_THE_BOARD)


def _publish(book: Books, entries: Sequence[bytes]) -> None:
    for start in range(0, len(entries), MOST_GROUP_ENTRIES):
        book.publish(entries[start : start + MOST_GROUP_ENTRIES])


def _units(counts: Counter[Value]) -> int:
    return sum(count << value.exponent for value, count in counts.items())


def _count(book: Books, columns: Iterable[Count], counts: Counter[Value]) -> None:
    for column in columns:
        for value, count in counts.items():
            for start in range(0, count, COUNTED_AT_ONCE):
                book.count(column, [value] * min(COUNTED_AT_ONCE, count - start))

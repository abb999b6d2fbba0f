"""
What the rules ask of a store.

All calls for a batch of requests happen inside one transaction of the store's, with no other writer between
them. Where a method returns bool, the store has *decided* by a primary key, not by a look before the write.
Rounds are the board's; ``closed`` is the newest closed one; a hold or a promise is live while
``closed < to_round``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from bank.formats.account import Statement
from bank.formats.order import SignedOrder


class Value(NamedTuple):
    """A certified coin: worth 2**exponent units, certified in ``epoch``."""

    exponent: int
    epoch: int


class Count(IntEnum):
    """What is counted of coins: the columns of ``bank.formats.statement.Tally``, in its order."""

    WITHDRAWN = 0
    """Certified by a withdrawal."""
    EXCHANGED = 1
    """Certified by an exchange, in one step or in two."""
    SPENT = 2
    """Spent, however."""
    DEPOSITED = 3
    """Of these, spent by deposits."""
    REPLACED = 4


class SpentCoin(NamedTuple):
    """
    How a coin was spent: its order's seal 32 and signature 64, and that answer's round and epoch. A negative
    epoch: a successor read it on the board, and what is below it is all he knows (bank/ledger/successor.py).
    """

    seal: bytes
    signature: bytes
    round: int
    epoch: int


class LiveHold(NamedTuple):
    """A hold on one coin: seal 32 and signature 64 of its order, and its last round."""

    seal: bytes
    signature: bytes
    to_round: int


class LivePromise(NamedTuple):
    """An output id promised to a held order: its seal 32, and the last round of the promise."""

    seal: bytes
    to_round: int


@dataclass(frozen=True, slots=True)
class HeldOrder:
    """
    A two-step order on file. ``executed`` is (round, epoch) of the execution's answer. Once that is settled
    ``order`` is None, and only the proof of its first input stays (``key`` 32, ``signature`` 64).
    """

    from_round: int
    to_round: int
    order: SignedOrder | None
    executed: tuple[int, int] | None
    key: bytes
    signature: bytes


class Account(NamedTuple):
    """An account's newest statement in short: its sequence, balance (units) and head (32 bytes)."""

    sequence: int
    balance: int
    head: bytes


class Book(Protocol):
    """The books, within one transaction."""

    def value(self, coin: bytes) -> Value | None:
        """What a coin id (32) was certified for; None if it never was."""

    def retired(self) -> int:
        """Coins of epochs before this one are expired for good, whatever any clock says."""

    def swept(self) -> int:
        """Of coins of epochs before this one the books know for sure whether they ended."""

    def has_ended(self, coin: bytes) -> bool:
        """Whether a certified coin of a swept epoch was spent or replaced."""

    def end(self, coin: bytes) -> bool:
        """
        Enter a certified coin of a swept epoch as ended. False, and nothing entered, when it ended before.
        """

    def unstated(self) -> int:
        """Of how many values and epochs the count has changed since the newest statement, this moment."""

    def spend(self, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        """
        Enter a coin (its key, its id) as spent. False, and nothing entered, when it is spent already or when
        a live hold of an order with another seal keeps it.
        """

    def answer_inherited(self, key: bytes, round_: int) -> None:
        """
        The order that spent this coin (its key) has its answer now, which promised this round: the epoch of
        how it was spent becomes FROM_THE_BOARD. It is on the books, by this transaction or an earlier one.
        """

    def spent(self, key: bytes) -> SpentCoin | None:
        """How the coin with this coin key (32) was spent; None if it wasn't."""

    def certify(self, coin: bytes, value: Value, seal: bytes, closed: int) -> bool:
        """
        Enter an output id as certified. False, and nothing entered, when it was certified before or when it
        is promised to an order with another seal.
        """

    def count(self, what: Count, values: Sequence[Value]) -> None:
        """Count coins that the request in hand certified or spent, one of each of these values."""

    def take_back(self, keys: Sequence[bytes], coins: Sequence[bytes]) -> None:
        """Undo ``spend`` of these coin keys and ``certify`` of these ids, entered by the request in hand."""

    def hold_on(self, coin: bytes, closed: int) -> LiveHold | None:
        """The live hold on a coin id, if any."""

    def live_holds(self, closed: int, most: int) -> int:
        """How many coins are held now; counted up to ``most``."""

    def promise_of(self, coin: bytes, closed: int) -> LivePromise | None:
        """The live promise of an output id, if any."""

    def held(self, seal: bytes) -> HeldOrder | None:
        """The two-step order with this seal, if it is on file."""

    def hold(
        self, order: SignedOrder, coins: Sequence[bytes], from_round: int, to_round: int, keep_round: int
    ) -> None:
        """
        Put an order, its input ids and its output ids on hold. The rules have seen, in this transaction, that
        none of them is spent, certified, or under a live hold. Never executed, it is forgotten when
        ``keep_round`` closes.

        Raises FatalError when the store finds otherwise.
        """

    def execute_held(self, order: SignedOrder, coins: Sequence[bytes], round_: int, epoch: int) -> None:
        """Mark a held order executed by the group published last; the hold on its coins and outputs ends."""

    def publish(self, entries: Sequence[bytes]) -> None:
        """
        Put one group of entries for the board into the outbox; a group is never split over rounds.

        Whatever changes the books has a group, one without entries if it has nothing to publish: by their
        number the board tells a copy of the books from before the change.
        """

    def publish_later(self) -> None:
        """
        As ``publish`` of nothing, for what the operator changes: the number is given by whoever feeds the
        board, since only he has compared these books with it.
        """

    def account(self, key: bytes) -> Account | None:
        """An account's newest state, by its public key (32)."""

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        """One statement of an account, and the epoch of what was certified with it."""

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        """At most ``most`` statements from ``sequence`` on, ascending."""

    def accept(self, account: bytes, request: bytes) -> None:
        """
        Keep the newest request (signed, encoded) by which the account's holder had something booked: by it
        he accepts the chain up to there. Older ones are let go.
        """

    def add_statement(self, statement: Statement, epoch: int) -> bool:
        """
        Append to an account's chain and set its balance. False when the account has that sequence already;
        an OPENED statement also makes the account, whose entry the board is given later.
        """

"""
What the bank asks of its store, and what a store promises.

**Operations** are plain functions over ``Books`` (to write) or ``View`` (to read). They touch nothing else:
no clock, no socket, nothing random. A store may therefore run one more than once, each time on books that
hold nothing of the time before; only the last run counts.

**Durability.** ``run`` returns after the commit: what it did survives the process, the machine and its power.
An operation happens whole or not at all.

**Concurrency.** Operations that write are serial, in some order, whoever runs them: the bank's daemon and the
operator's commands beside it. Each sees all that earlier ones committed. Readings see one moment, and neither
wait for writers nor hold them up. Two daemons never run on one store at once, or the second is fed nothing:
the board's receipts tell it so.

**Errors and retries.** UserError: the operation didn't happen, or the store can't say whether it did (the
connection broke at the commit). All operations are idempotent by what they write (an order by its seal, a
request by its digest, a group by its number), so the caller asks again. FatalError: the books contradict
themselves, and nothing may be answered from them. Whatever else ``operation`` raises passes through, and
nothing happened.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bank.board.feed import FeedReceipt
from bank.formats.account import Statement
from bank.formats.statement import Row
from bank.ledger.book import Account, Book
from bank.ledger.prepare import Prepared

T = TypeVar("T")

MOST_OUTBOX_ROW_BYTES = 1 << 18
"""A row of the outbox is fed whole, and a feed is at most 1 MiB."""
GROUP_BYTES = 8
"""What a group is taken to weigh beside its entries, so that no row has more groups than a feed may."""


@dataclass(frozen=True, slots=True)
class State:
    """
    What the books know of themselves.

    Groups before ``confirmed`` were read on the board, which was read up to ``cursor`` (a
    ``bank.board.reading.client.Cursor``, encoded; empty at first); those before ``next_group`` were made.
    ``newest_closed``: the board's newest closed round, in step with the holds that were let go.
    ``unnumbered``: the operator changed something that has no group yet. ``stated``: the newest statement's
    sequence; ``stated_at``: the round after which this period began; ``unstated``: entries that are no
    statements were confirmed since the newest statement.
    """

    next_group: int
    newest_closed: int
    confirmed: int
    cursor: bytes
    unnumbered: bool
    stated: int
    stated_at: int
    unstated: bool


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt of the board's, and the batch that it answers: first group, number of groups, hash (32)."""

    first: int
    groups: int
    digest: bytes
    receipt: FeedReceipt


@dataclass(frozen=True, slots=True)
class Retirement:
    """
    Which coin epochs are over for good: those before ``retired``. Those before ``due`` follow when claims
    that the board had by round ``since`` have had their time (both 0: nothing is due). ``swept``: of coins of
    epochs before it the books know only whether they ended; at ``swept == retired`` nothing is left to sweep.
    """

    retired: int
    due: int
    since: int
    swept: int


@dataclass(frozen=True, slots=True)
class KeptClaim:
    """
    A claim on the board, its round, and how its answer names it (``Claim.answer_subject``, 32 bytes).
    ``closed_at_s``: when that round closed, as the board says (Unix seconds); 0: noted by an earlier version.
    """

    subject: bytes
    round: int
    claim: bytes
    closed_at_s: int = 0


class View(Protocol):
    """The books as they were at one moment; in a transaction: as it found them, unless a method says more."""

    def state(self) -> State:
        """As it is, with what this transaction changed."""

    def terms(self) -> bytes:
        """The newest terms that were published: a ``PublishedTerms``, encoded; empty before the first."""

    def retirement(self) -> Retirement:
        """As it is, with what this transaction changed."""

    def claim_rounds(self) -> int:
        """The shortest time for a claim's answer that the board has of this bank's terms; 0 before any."""

    def open_claims(self, closed: int, most: int) -> list[KeptClaim]:
        """At most ``most`` claims of rounds up to ``closed`` without an answer yet; the most urgent first."""

    def count_open_claims(self) -> tuple[int, int]:
        """How many claims have no answer yet, and the round of the oldest; 0, 0 for none."""

    def owes_by(self, round_: int) -> bool:
        """Whether a claim whose answer was due by this round hasn't been read as answered on the board."""

    def outbox(self, group: int) -> Generator[tuple[int, bytes]]:
        """
        The outbox's rows from the one with this group on: the number of its first group, and its groups as an
        encoded ``bank.board.feed.Batch``.

        Read as they are taken. Close it when done.
        """

    def receipts(self) -> list[KeptReceipt]:
        """The board's receipts for what wasn't read on it yet, and the one before; ascending."""

    def signed_for(self) -> int:
        """By its receipts the board has the groups before this one; 0 without any."""

    def owed(self, group: int, closed: int) -> int:
        """
        By the receipts for groups before this one, the groups before the returned one are public in a round
        that is at most ``closed``; 0 if none are. Only rounds count that the board was heard after.
        """

    def accounts(self) -> list[tuple[bytes, int, int]]:
        """Every account: key (32), sequence, balance in units; by key."""

    def account(self, key: bytes) -> Account | None:
        """As ``bank.ledger.Book``."""

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        """As ``bank.ledger.Book``."""

    def accepted(self, account: bytes) -> bytes:
        """The newest request that the account's holder signed, as it came; empty when there is none."""

    def unpublished(self, most: int) -> list[bytes]:
        """Keys (32) of accounts whose opening has no group yet; at most ``most``."""

    def tallies(self, *, only_changed: bool = False) -> list[Row]:
        """
        Everything that was counted before this transaction, by exponent and epoch; or only what changed since
        the newest statement.
        """


class Books(View, Book, Protocol):
    """The books within a transaction: what the ledger's rules need, and the outbox and what follows it."""

    def expect(self, batch: Sequence[Prepared]) -> None:
        """
        These requests come next: whatever they will ask for may be read at once. Nothing depends on it but
        speed; call it before any other method that asks about coins or accounts.
        """

    def take_over(self, recovered: Statement, listed: Statement | None, epoch: int) -> bool:
        """
        Enter a predecessor's account, whose opening the board shows already: its first statement here, and
        the one before, where it is known, with this epoch. False, and nothing entered, when it is there.
        """

    def mark_published(self, account: bytes) -> None:
        """The account's opening has a group now."""

    def mark_numbered(self) -> None:
        """What the operator changed has a group now: ``unnumbered`` ends."""

    def put_terms(self, terms: bytes) -> None:
        """These terms have a group now."""

    def note_due(self, due: int, since: int) -> None:
        """Epochs before ``due`` will be retired; seen first in the round after ``since``."""

    def retire(self, before: int) -> None:
        """
        Coins of epochs before this one can't be used any more, from this transaction on. Everything that was
        due is retired, and what was retired before has been swept.
        """

    def sweep(self, most: int) -> bool:
        """
        Look at ``most`` spent coins, in the order of their keys: of those of retired epochs remember only
        that they ended, and forget their held orders. True when all are swept.
        """

    def note_claim_rounds(self, rounds: int) -> None:
        """``claim_rounds`` is this from now on."""

    def note_claim(self, kept: KeptClaim, due: int) -> None:
        """A claim was read on the board, to be answered by round ``due``. Once: the same again is nothing."""

    def answer_claim(self, subject: bytes) -> None:
        """The group published last answers this claim; it is forgotten when that was read on the board."""

    def keep_receipt(self, kept: KeptReceipt) -> None:
        """Put a receipt on file; no other has its ``next_group``."""

    def forget_receipts(self, group: int) -> int:
        """Drop the receipts that sign for groups from this one on; how many those were."""

    def close_rounds(self, closed: int) -> None:
        """
        The board's newest closed round is ``closed`` now: drop the holds and promises that ended with it, and
        held orders never executed that were to be kept until it.
        """

    def confirm(self, group: int, cursor: bytes, *, news: bool) -> None:
        """
        The groups before this one were read on the board, which was read up to ``cursor``; ``news``: with
        entries that are no statements.

        Drops them, the receipts for them but the newest, the claims that they answer, and erases what ties
        inputs to outputs: the rows of the outbox and the bytes of held orders.
        """

    def begin_period(self, closed: int) -> None:
        """A statement's period begins after this round."""

    def mark_stated(self, sequence: int, closed: int) -> None:
        """Statement ``sequence`` was made, in the round after ``closed``; it says all that had changed."""


class Store(Protocol):
    """The store, as the daemon uses it; in one event loop."""

    async def run(self, operation: Callable[[Books], T]) -> T:
        """
        Run ``operation`` in a transaction; its result, once it is durable.

        Raises UserError, FatalError as above, and what ``operation`` raises.
        """

    async def read(self, operation: Callable[[View], T]) -> T:
        """
        Run ``operation`` on what is committed, beside whoever writes.

        Raises UserError when the store can't be read, and what ``operation`` raises.
        """

    async def close(self) -> None:
        """Finish what was begun, then let go of the store."""


class CommandStore(Protocol):
    """The store, as the operator's commands use it beside a running bank: one transaction after another."""

    def run(self, operation: Callable[[Books], T]) -> T:
        """
        As ``Store.run``, blocking. Raises UserError also when others hold the store too long; PendingError
        when the connection broke at the commit: what a command does may not be idempotent, so a human looks.
        """

    def close(self) -> None:
        """Let go of the store."""

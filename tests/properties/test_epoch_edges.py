"""
The edges of a coin's life: whatever happens around them, in any order, a coin is paid out at most once.

Withdrawn coins grow old while clocks are wrong by up to an hour, either way, the bank's and the board's; they
are exchanged, held, executed late, deposited, replaced; epochs are retired and swept in steps, between which
anything may happen; the bank restarts. What the board would show is what counts.
"""

import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bank.board.reading.client import Cursor
from bank.formats.answer import Certificates, Credited, Hold, Refusal, Refused, Spent, Withdrawn
from bank.formats.answer import Held as LiveHeld
from bank.formats.entry import CertifiedEntry, ReplacedEntry, SpentEntry
from bank.formats.order import Output, SignedOrder, tau_of
from bank.formats.request import BankRequest, Execute, Withdraw, encode_request
from bank.formats.statement import sign_statement, units_of
from bank.ledger import Terms
from bank.ledger.terms import Age
from bank.retiring import retire_step
from bank.stores.interface import Books
from bank.stores.sqlite import run_once
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh

T = TypeVar("T")

HOUR_S = 3600
CREDIT = 10_000

Event = tuple[str, *tuple[int, ...]]
Script = tuple[list[Event], Event, list[Event]]


@dataclasses.dataclass
class Held:
    """A withdrawn coin, and its receipt."""

    key: SigningKey
    output: Output
    request: Withdraw
    receipt: Withdrawn
    epoch: int


class Edges:
    """A bank, its board's time, and one account whose holder tries everything."""

    def __init__(self, folder: Path, terms: Terms) -> None:
        self.terms = terms
        self.desk = Desk(folder, terms)
        self.hurry()
        self.now_s = 100 * 86400
        self.skew_s = 0
        self.latest = 0
        """The latest epoch that the bank's clock ever showed."""
        self.read_s = self.now_s
        self.coins: list[Held] = []
        self.holds: list[tuple[SignedOrder, bytes]] = []
        self.asked: list[bytes] = []
        self.account = self.desk.account(CREDIT)
        self.tick(0)

    def tick(self, seconds: int) -> None:
        self.now_s += max(0, seconds)
        self.desk.epoch = self.terms.epoch_at(self.now_s + self.skew_s)
        self.latest = max(self.latest, self.desk.epoch)

    def ask(self, request: BankRequest) -> object:
        self.asked.append(encode_request(request))
        return self.desk.ask(request).body

    def run(self, operation: Callable[[Books], T]) -> T:
        return run_once(self.desk.connection, operation)

    def pick(self, number: int) -> Held:
        return self.coins[number % len(self.coins)]

    # Time

    def go(self, pick: int, lived: int, around_s: int) -> None:
        """To when a coin has lived for so many epochs, or a moment before or after; never back."""
        edge = (self.pick(pick).epoch + lived) * self.terms.epoch_s
        self.tick(edge + around_s - self.now_s)

    def set_clock(self, skew_s: int) -> None:
        self.skew_s = skew_s
        self.tick(0)

    def close_rounds(self, rounds: int, skew_s: int) -> None:
        """By the board's own clock; the bank reads them."""
        self.desk.closed += rounds
        self.read_s = max(self.read_s, self.now_s + skew_s)
        cursor = Cursor(self.desk.closed, closed_at_s=self.read_s).encode()

        def operation(book: Books) -> None:
            book.confirm(1, cursor, news=False)
            book.close_rounds(self.desk.closed)

        self.run(operation)

    def retire(self, steps: int, most: int) -> None:
        """Some steps of the bank's task; the board goes on between them."""
        for _ in range(steps):
            self.close_rounds(self.terms.hold_rounds + self.terms.claim_rounds, 0)
            self.run(lambda book: retire_step(book, self.terms, self.desk.epoch, most))

    def end(self, pick: int, around_s: int, steps: int, most: int) -> None:
        """To where a coin's epoch is due, or nearly; and some steps there."""
        self.go(pick, self.terms.expiry_epochs + 1, around_s)
        self.retire(steps, most)

    def restart(self) -> None:
        self.desk.reopen()
        self.hurry()

    def hurry(self) -> None:
        """Nothing here pulls a plug, so nothing need reach the disk."""
        self.desk.connection.execute("PRAGMA synchronous=OFF")

    # What the holder does

    def withdraw(self, exponent: int) -> None:
        key, output = fresh(exponent)
        request = self.desk.withdraw(self.account, [output])
        body = self.ask(request)
        assert isinstance(body, Withdrawn)
        self.coins.append(Held(key, output, request, body, body.certificates.epoch))

    def exchange(self, pick: int) -> None:
        held = self.pick(pick)
        body = self.ask(self.desk.order([held.key], [fresh(held.output.exponent)[1]]))
        self.judge(held, body, {Age.GOOD, Age.LAST, Age.GRACE})

    def deposit(self, pick: int) -> None:
        held = self.pick(pick)
        body = self.ask(self.desk.deposit(self.account, [held.key]))
        self.judge(held, body, {Age.GOOD, Age.LAST})

    def hold(self, pick: int) -> None:
        held, h = self.pick(pick), os.urandom(32)
        signed = self.desk.order([held.key], [fresh(held.output.exponent)[1]], tau=tau_of(h))
        body = self.ask(signed)
        self.judge(held, body, {Age.GOOD})
        if isinstance(body, Hold):
            self.holds.append((signed, h))

    def execute(self, pick: int) -> None:
        """In time, late, or long after its coins have gone."""
        if self.holds:
            signed, h = self.holds[pick % len(self.holds)]
            self.ask(Execute(signed.seal, h))

    def replace(self, pick: int) -> None:
        held = self.pick(pick)
        body = self.ask(self.desk.replace(self.account, held.request, held.receipt, [held.output]))
        if isinstance(body, Credited):
            # By no clock that the bank ever had could anyone still have hoped for the coin.
            assert self.terms.age(held.epoch, self.latest - 1) is Age.EXPIRED
        else:
            assert isinstance(body, Refused)
            assert body.reason in {Refusal.NOT_YET, Refusal.ENDED_COIN}

    def repeat(self, pick: int) -> None:
        """Anything that was ever asked, once more."""
        self.desk.ask_bytes(self.asked[pick % len(self.asked)])

    def judge(self, held: Held, body: object, ages: set[Age]) -> None:
        """An answer about one coin, by what everyone can check."""
        if isinstance(body, Refused):
            assert body.reason is Refusal.EXPIRED_COIN
            # Too old by the bank's clock, or by one that it had before.
            assert self.terms.age(held.epoch, self.latest) not in ages
        elif isinstance(body, Spent):
            assert body.proves()
        else:
            assert isinstance(body, Certificates | Credited | Hold | LiveHeld)
            assert isinstance(body, LiveHeld) or self.terms.age(held.epoch, self.desk.epoch) in ages

    # What must hold at any time

    def check(self) -> None:
        entries = [entry for group in self.desk.groups() for entry in group]
        ends = Counter(entry.coin for entry in entries if isinstance(entry, SpentEntry | ReplacedEntry))
        # By what the board is given: one end for each coin, and no unit that nobody credited.
        assert not ends or max(ends.values()) == 1
        certified = {entry.coin: entry for entry in entries if isinstance(entry, CertifiedEntry)}
        assert ends.keys() <= certified.keys()
        out = sum(1 << entry.exponent for coin, entry in certified.items() if coin not in ends)
        assert self.desk.newest(self.account).balance + out == CREDIT
        swept = self.run(lambda book: book.swept())
        for held in self.coins:
            # A coin's own row says it when nothing else does any more.
            if held.epoch < swept:
                assert self.run(lambda book, coin=held.output.coin: book.has_ended(coin)) == (
                    held.output.coin in ends
                )
        totals = units_of(self.run(lambda book: book.tallies()))
        assert sign_statement(self.desk.key, self.desk.bank, 1, 0, bytes(32), totals, ()).balances()


def event(name: str, *arguments: st.SearchStrategy[int]) -> st.SearchStrategy[Event]:
    return st.tuples(st.just(name), *arguments)


picks = st.integers(0, 2)
skews = st.sampled_from([-HOUR_S, -1, 0, 1, HOUR_S])
clocks = [
    event("set_clock", skews),
    event("close_rounds", st.integers(1, 4), skews),
    event("retire", st.integers(1, 6), st.integers(1, 3)),
    event("restart"),
]
uses = [event(name, picks) for name in ("exchange", "deposit", "hold", "execute")]
young = st.one_of(event("go", picks, st.integers(1, 5), skews), event("withdraw", picks), *clocks, *uses)
end = event("end", picks, skews, st.integers(0, 6), st.integers(1, 3))
old = st.one_of(end, event("replace", picks), event("repeat", st.integers(0, 2**16)), *clocks, *uses)
scripts = st.tuples(st.lists(young, max_size=8), end, st.lists(old, min_size=5, max_size=20))
terms = st.builds(
    Terms,
    epoch_s=st.sampled_from([60, HOUR_S // 2, HOUR_S, 2 * HOUR_S]),
    life_epochs=st.integers(2, 3),
    grace_epochs=st.integers(1, 2),
    hold_rounds=st.integers(1, 8),
    promise_rounds=st.just(3),
    claim_rounds=st.integers(2, 6),
)
SHORT = Terms(60, 2, 1, hold_rounds=4, promise_rounds=3, claim_rounds=2)


@settings(max_examples=100, deadline=None)
@given(terms=terms, script=scripts)
@example(
    # A clock that is put back, after one coin was spent and swept and the other replaced.
    terms=SHORT,
    script=(
        [("exchange", 0)],
        ("end", 0, 0, 6, 3),
        [("replace", 1), ("set_clock", -HOUR_S), ("exchange", 0), ("deposit", 0), ("exchange", 1)],
    ),
)
@example(
    # Retired, and the sweep hasn't come to the coin that was spent.
    terms=SHORT,
    script=([("exchange", 0)], ("end", 0, 0, 2, 1), [("replace", 0), ("retire", 4, 1)]),
)
@example(
    # The same to a coin of the first epoch that isn't over: its proof must still be there.
    terms=SHORT,
    script=(
        [("go", 0, 1, 0), ("withdraw", 0), ("exchange", 2)],
        ("end", 0, 0, 6, 3),
        [("set_clock", -HOUR_S), ("exchange", 2), ("deposit", 2)],
    ),
)
def test_a_coin_is_paid_out_at_most_once(terms: Terms, script: Script) -> None:
    """Two coins are there from the start; what comes while they live, and later, is up to the script."""
    young, end, old = script
    with tempfile.TemporaryDirectory() as folder:
        edges = Edges(Path(folder), terms)
        try:
            edges.withdraw(3)
            edges.withdraw(3)
            for name, *arguments in (*young, end, *old):
                getattr(edges, name)(*arguments)
                edges.check()
        finally:
            edges.desk.connection.close()

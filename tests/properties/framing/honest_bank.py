"""
The real ledger on the real store, with holds that lapse, repeats, restarts, and orders that are checked in
one round and settled in another.

Its board and its customers are against it: the log has its groups in any rounds, left out, repeated, and
entries that others made up with coin keys that they know. At the end all its words are put together against
it.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import (
    CertifiedTwice,
    EntryFalse,
    SpentTwice,
    StatementsContradict,
    ValueCreated,
    ordered,
)
from bank.board.accusation.evidence import ConfirmedLog
from bank.board.accusation.file import Evidence, check
from bank.board.feed import Batch, FeedReceipt
from bank.board.reading.cursor import Cursor, Cutter
from bank.comparison import Position, compare
from bank.formats.answer import Certificates, CertifiedBefore, Credited, Hold, Taken, Withdrawn
from bank.formats.coin import CoinId, coin_id
from bank.formats.entry import CertifiedEntry, PostedEntry, SpentEntry, decode_entry, make_key_entry
from bank.formats.order import SPEND_LABEL, Output, SignedOrder, tau_of
from bank.formats.request import BankRequest, Deposit, Execute, encode_request
from bank.formats.statement import BankStatement, sign_statement, units_of
from bank.ledger import Moment, Terms, prepare, settle
from bank.outbox import record
from bank.stores.sqlite import run_once
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BOARD, Shown
from tests.unit.bank.desk import Desk, fresh

QUIET = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


picks = st.integers(0, 2**16)


def refuse_all(accusations: Iterator[Evidence]) -> None:
    """Each of them is judged, and none holds."""
    for evidence in accusations:
        verdict = check(evidence)
        assert not verdict.holds, verdict.sentence


class HonestBank(RuleBasedStateMachine):
    """Customers who keep every answer, and know each other's coins."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.desk = Desk(
            Path(self.folder.name), Terms(epoch_s=1000, hold_rounds=4, promise_rounds=2, life_epochs=20)
        )
        self.coins: list[tuple[SigningKey, int]] = []
        """Those that were certified, the newest last."""
        self.words: list[Word] = []
        self.certificates: list[CertifiedBefore] = []
        self.held: list[tuple[SignedOrder, bytes]] = []
        self.orders: list[BankRequest] = []
        self.statements: list[BankStatement] = []
        self.logs: list[tuple[Shown, ConfirmedLog]] = []

    @initialize()
    def open(self) -> None:
        self.account = self.desk.account(10_000)
        for _ in range(3):
            self.withdraw()

    def teardown(self) -> None:
        try:
            refuse_all(self.by_words())
            refuse_all(self.by_statements())
            for log, confirmed in self.logs:
                refuse_all(self.by_log(log, confirmed))
        finally:
            self.desk.connection.close()
            self.folder.cleanup()

    def ask(self, request: BankRequest, order: SignedOrder | None = None, late: int = 0) -> bool:
        """
        Ask, and keep whatever the answer proves; whether it certifies. ``late``: rounds that close while the
        request is checked.
        """
        desk = self.desk
        prepared = prepare(encode_request(request), desk.signer, desk.moment)
        if late:
            self.rounds(late)
        moment = Moment(desk.closed, desk.epoch)
        data = run_once(desk.connection, lambda book: settle(prepared, desk.signer, book, moment))
        answer = desk.read(request, data)
        body = answer.body
        opened = request if isinstance(request, SignedOrder | Deposit) else order
        if isinstance(body, Hold | Certificates | Credited) and opened is not None:
            self.words.append(Word(opened, answer))
        if isinstance(body, Certificates) and isinstance(opened, SignedOrder):
            self.keep(opened.order.outputs, body)
        if isinstance(body, Withdrawn):
            self.keep(self.outputs, body.certificates)
        if isinstance(body, Taken) and isinstance(body.proof, CertifiedBefore):
            self.certificates.append(body.proof)
        return isinstance(body, Certificates | Withdrawn)

    def one_of(self, pick: int) -> tuple[SigningKey, int]:
        """One of the newest few coins, so that orders meet."""
        few = self.coins[-3:]
        return few[pick % len(few)]

    def keep(self, outputs: Sequence[Output], body: Certificates) -> None:
        for output, certificate in zip(outputs, body.certificates, strict=True):
            self.certificates.append(CertifiedBefore(output.coin, output.exponent, body.epoch, certificate))

    @rule(count=st.integers(1, 6))
    def rounds(self, count: int) -> None:
        """The board's clock, as its receipts tell it."""
        self.desk.closed += count
        closed = self.desk.closed
        receipt = FeedReceipt(1, closed + 1, closed, bytes(64))
        run_once(self.desk.connection, lambda book: record(book, Batch(1, ()), receipt))

    @rule()
    def next_epoch(self) -> None:
        self.desk.epoch += 1

    @rule()
    def restart(self) -> None:
        self.desk.reopen()

    @rule(exponent=st.integers(0, 4))
    def withdraw(self, exponent: int = 3) -> None:
        key, output = fresh(exponent)
        self.outputs = (output,)
        if self.ask(self.desk.withdraw(self.account, [output])):
            self.coins.append((key, exponent))

    @rule(pick=picks, held=st.booleans(), late=st.integers(0, 6), again=st.booleans())
    def order(self, pick: int, held: bool, late: int, again: bool) -> None:
        """In one step or in two, perhaps for a coin that is gone, or an output that was certified before."""
        key, exponent = self.one_of(pick)
        new, output = fresh(exponent)
        if again and pick % 4 == 0:
            output = Output(CoinId(self.certificates[pick % len(self.certificates)].coin), exponent)
        h = os.urandom(32)
        last = self.desk.closed + 3 + pick % 30
        signed = self.desk.order([key], [output], **({"tau": tau_of(h)} if held else {}), last_round=last)
        self.orders.append(signed)
        if held:
            self.held.append((signed, h))
        if self.ask(signed, late=late) and output.coin == coin_id(new.public) and pick % 3 == 0:
            self.coins.append((new, exponent))

    @rule(pick=picks)
    def deposit(self, pick: int) -> None:
        key, _ = self.one_of(pick)
        request = self.desk.deposit(self.account, [key])
        self.orders.append(request)
        self.ask(request)

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def execute(self, pick: int) -> None:
        signed, h = self.held[-3:][pick % len(self.held[-3:])]
        self.ask(Execute(signed.seal, h), signed)

    @precondition(lambda self: self.orders)
    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        self.ask(self.orders[pick % len(self.orders)])

    @rule(seed=picks, cheats=st.integers(0, 2))
    def publish(self, seed: int, cheats: int) -> None:
        """A board's log of all groups so far, with some cheats in it; and what the bank confirms of it."""
        rng = Random(seed)
        groups = [[entry.encode() for entry in group] for group in self.desk.groups()]
        log = Shown(Path(self.folder.name) / f"log{len(self.logs)}", BOARD)
        log.close([make_key_entry(self.desk.key, self.desk.bank).encode()])
        lies = self.lies(rng)
        places = {rng.randrange(max(1, len(groups))) for _ in range(cheats)}
        for place, group in enumerate(groups):
            others = self.posted(rng)
            if place in places and lies:
                others.append(rng.choice(lies))
            log.close([*(group if place not in places or rng.random() < 0.8 else group[:-1]), *others])
        confirmed = self.confirm(log, groups)
        self.statements.append(confirmed.statement)
        self.logs.append((log, confirmed))

    def posted(self, rng: Random) -> list[bytes]:
        """True certificates that anyone may post."""
        if not self.certificates or rng.random() < 0.7:
            return []
        one = rng.choice(self.certificates)
        return [PostedEntry(one.coin, one.exponent, one.epoch, one.certificate).encode()]

    def lies(self, rng: Random) -> list[bytes]:
        """What a board and its friends among the customers can make up."""
        key, exponent = rng.choice(self.coins)
        seal = rng.randbytes(32)
        lies: list[bytes] = [
            SpentEntry(key.public, seal, key.sign(SPEND_LABEL, seal)).encode(),
            SpentEntry(key.public, seal, bytes(64)).encode(),
            CertifiedEntry(coin_id(key.public), exponent, 9, bytes(64)).encode(),
        ]
        for one in self.certificates:
            lies += [CertifiedEntry(one.coin, one.exponent, one.epoch, one.certificate).encode()]
        lies += [entry.encode() for group in self.desk.groups() for entry in group]
        return lies

    def confirm(self, log: Shown, groups: list[list[bytes]]) -> ConfirmedLog:
        """As far as the bank finds its own groups there, and its counts of now."""
        cutter = Cutter(Cursor(), log.sign(), 10_000)
        cutter.take(log.leaves)
        own = [[make_key_entry(self.desk.key, self.desk.bank).encode()], *groups]
        position = Position(Cursor(), 1, len(own) + 1)
        compared = compare(position, cutter.rounds, iter(own), 0)
        frontier = compared.cursor.frontier

        def state(number: int) -> BankStatement:
            rows = run_once(self.desk.connection, lambda book: book.tallies())
            size, root = frontier.size, frontier.root()
            return sign_statement(self.desk.key, self.desk.bank, number, size, root, units_of(rows), rows)

        return ConfirmedLog(self.desk.key.public, state(len(self.statements) + 1))

    def by_words(self) -> Iterator[Evidence]:
        key = self.desk.key.public
        for one, other in combinations(self.words, 2):
            if set(one.order.order.inputs) & set(other.order.order.inputs):
                yield OverlappingHolds.of(key, one, other)
        by_coin: dict[bytes, list[CertifiedBefore]] = {}
        for each in self.certificates:
            by_coin.setdefault(each.coin, []).append(each)
        for same in by_coin.values():
            for first, second in product(same, repeat=2):
                yield CertifiedTwice(key, first, second)

    def by_statements(self) -> Iterator[Evidence]:
        key = self.desk.key.public
        for one in self.statements:
            yield StatementsContradict(key, (one,))
        for one, other in combinations(self.statements, 2):
            yield StatementsContradict(key, (one, other))
            yield StatementsContradict(key, ordered([one, other]))

    def by_log(self, log: Shown, confirmed: ConfirmedLog) -> Iterator[Evidence]:
        size = confirmed.size
        coins: dict[bytes, list[int]] = {}
        certified: dict[bytes, int] = {}
        for index, leaf in enumerate(log.leaves[:size]):
            entry = decode_entry(leaf)
            yield EntryFalse(confirmed, log.proof(index, size=size))
            if isinstance(entry, SpentEntry):
                coins.setdefault(entry.coin, []).append(index)
            if isinstance(entry, CertifiedEntry):
                certified.setdefault(entry.coin, index)
        for places in coins.values():
            for pair in combinations(places, 2):
                yield SpentTwice(confirmed, log.proof(*pair, size=size))
        if certified:
            yield ValueCreated(confirmed, log.proof(*certified.values(), size=size))
        for row in confirmed.statement.rows:
            same = [
                index
                for index in certified.values()
                if log.leaves[index][33:38] == bytes([row.exponent]) + row.epoch.to_bytes(4)
            ]
            if same:
                yield ValueCreated(confirmed, log.proof(*same, size=size))

"""
Nobody can frame an honest bank or an honest board, with anything that they ever signed.

The bank is the real ledger on the real store, with holds that lapse, repeats, restarts, and orders that are
checked in one round and settled in another. Its board and its customers are against it: the log has its
groups in any rounds, left out, repeated, and entries that others made up with coin keys that they know. The
board is the real one on its real files. Its bank is against it: it feeds what it likes under any number.

Afterwards whatever was signed is put together in every way that the formats allow.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
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
from bank.board.accusation.evidence import ConfirmedLog, SignedLog
from bank.board.accusation.file import Evidence, check
from bank.board.accusation.log import BoardEquivocation, LogInvalid
from bank.board.accusation.receipts import FeedReceiptBroken, ReceiptBroken, Stretch, Waited
from bank.board.board import Board
from bank.board.feed import Batch, FeedReceipt, batch_digest, sign_feed, sign_receipt
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.reading.cursor import Cursor, Cutter
from bank.board.receipts import EntryReceipt
from bank.board.rounds import is_mark
from bank.board.writing.publisher import Publisher
from bank.board.writing.store import BoardStore
from bank.comparison import Position, compare
from bank.formats.answer import Certificates, CertifiedBefore, Credited, Hold, Taken, Withdrawn
from bank.formats.coin import coin_id
from bank.formats.entry import (
    AccountEntry,
    CertifiedEntry,
    PostedEntry,
    SpentEntry,
    decode_entry,
    make_key_entry,
)
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
            output = Output(self.certificates[pick % len(self.certificates)].coin, exponent)
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
            for one, other in product(same, repeat=2):
                yield CertifiedTwice(key, one, other)

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


TestHonestBank = HonestBank.TestCase
TestHonestBank.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)

ENTRIES = [AccountEntry(bytes([number]) * 32).encode() for number in range(6)]
FEEDER = SigningKey(b"f" * 32)
steps = st.one_of(
    st.tuples(
        st.just("feed"),
        st.integers(-2, 1),
        st.lists(st.lists(st.sampled_from(ENTRIES), max_size=2), max_size=3),
    ),
    st.tuples(
        st.just("again"), st.lists(st.lists(st.sampled_from(ENTRIES), max_size=2), min_size=1, max_size=2)
    ),
    st.tuples(st.just("submit"), st.sampled_from(ENTRIES)),
    st.tuples(st.just("close")),
    st.tuples(st.just("restart")),
)


class Collected:
    """Everything that an honest board ever signed, and its log."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.fed: list[tuple[bytes, FeedReceipt, bool]] = []
        """Batch, receipt, and whether it was taken."""
        self.receipts: list[EntryReceipt] = []


async def collect(folder: Path, script: Sequence[tuple[object, ...]]) -> Collected:
    """Run a real board through a script of a hostile bank's."""
    found = Collected()

    async def start() -> Board:
        files = TileFolder(folder / "log")
        store = BoardStore(folder / "board.db", files, 4)
        board = Board(store, Publisher(store, files, BOARD, "board.test"), BOARD, FEEDER.public, round_s=3600)
        await board.start()
        return board

    board = await start()
    waits_for = 1
    for step, *what in script:
        if step in {"feed", "again"}:
            groups = what[-1]
            assert isinstance(groups, list)
            # "again": other groups under the numbers of the newest ones.
            offset = what[0] if step == "feed" else -len(groups)
            assert isinstance(offset, int)
            batch = Batch(max(1, waits_for + offset), groups).encode()
            taken, receipt = await board.feed(sign_feed(FEEDER, BOARD.public, batch))
            waits_for = receipt.next_group
            found.fed.append((batch, receipt, taken))
        elif step == "submit":
            found.receipts += await board.submit([what[0]])
        elif step == "restart":
            await board.store.close()
            board = await start()
        else:
            await board.publish_round(100)
            note = (folder / "log" / "checkpoint").read_bytes()
            found.notes.append(Note.decode(note))
    for _ in range(3):
        await board.publish_round(100)
        found.notes.append(Note.decode((folder / "log" / "checkpoint").read_bytes()))
    await board.store.close()
    return found


@given(script=st.lists(steps, max_size=14))
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
def test_nothing_that_an_honest_board_signed_convicts_it(script: list[tuple[object, ...]]) -> None:
    """Whatever its bank feeds it, under whatever numbers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = asyncio.run(collect(folder, script))
        refuse_all(against_the_board(folder, found))


def against_the_board(folder: Path, found: Collected) -> Iterator[Evidence]:
    log = Shown(folder / "log")
    log.origin = "board.test"
    log.edge = log.folder.edge(SignedLog.of(found.notes[-1], log.verifier).size)
    log.leaves = [leaf for _, part in log.folder.entries(0, log.edge.size, log.edge.size) for leaf in part]
    signed = [SignedLog.of(note, log.verifier) for note in found.notes]
    newest = signed[-1]
    for one, other in product(signed, repeat=2):
        if 0 < one.size <= other.size == newest.size:
            yield BoardEquivocation(one, other, log.difference(one.size))
    for index in range(len(log.leaves)):
        yield LogInvalid(newest, log.proof(index))
    for one, other in pairwise(range(len(log.leaves))):
        yield LogInvalid(newest, log.proof(one, other))
    marks = [index for index, leaf in enumerate(log.leaves) if is_mark(leaf)]
    for one, other in combinations(marks, 2):
        yield LogInvalid(newest, log.proof(one, other))
    stretches = [log.stretch(first + 1, last) for first, last in combinations([-1, *marks], 2)]
    for receipt, stretch in product(found.receipts, stretches):
        yield ReceiptBroken(newest, receipt, stretch)
    yield from by_feeds(newest, found, stretches)


def by_feeds(newest: SignedLog, found: Collected, stretches: Sequence[Stretch]) -> Iterator[Evidence]:
    earlier = [None, *(Waited(taken, batch_digest(batch), receipt) for batch, receipt, taken in found.fed)]
    for batch, receipt, _ in found.fed:
        groups = Batch.decode(batch).groups
        for group, entries in enumerate(groups):
            for place, stretch, waited in product(range(len(entries)), stretches, earlier):
                yield FeedReceiptBroken(newest, receipt, batch, group, place, waited, stretch)


@pytest.mark.parametrize("wait", range(4))
def test_an_order_that_was_checked_under_a_hold_and_settled_after_it_frames_nobody(wait: int) -> None:
    """Signed in one round, settled in a later one: it promises neither the past nor a round of the hold."""
    machine = HonestBank()
    machine.open()
    machine.order(22, held=True, late=0, again=False)
    machine.rounds(wait)
    machine.order(22, held=False, late=4, again=False)
    assert {word.hold is None for word in machine.words} == {True, False}
    machine.teardown()


def test_the_machine_would_see_a_bank_that_breaks_its_word() -> None:
    """The same accusations hold as soon as the bank does forget a hold: the property can fail."""
    machine = HonestBank()
    machine.open()
    machine.order(0, held=True, late=0, again=False)
    machine.desk.connection.execute("DELETE FROM held_coin")
    machine.order(0, held=True, late=0, again=False)
    assert any(check(evidence).holds for evidence in machine.by_words())
    machine.words.clear()
    machine.teardown()


def test_the_search_would_see_a_board_that_breaks_its_word(tmp_path: Path) -> None:
    """A receipt for an entry that the board never had: the property can fail."""
    script = [("feed", 0, [[ENTRIES[0]]]), ("close",)]
    found = asyncio.run(collect(tmp_path, script))
    batch = Batch(1, [[ENTRIES[1]]]).encode()
    found.fed.append((batch, sign_receipt(BOARD, batch, 2, 1, 0), True))
    assert any(check(evidence).holds for evidence in against_the_board(tmp_path, found))

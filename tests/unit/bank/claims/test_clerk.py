"""Claims from the board to the books to the board: each once, whatever crashes; on both engines."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bank.board.feed import Batch
from bank.claims.clerk import Clerk, answer_some
from bank.claims.reading import look_for
from bank.confirmer import Confirmer
from bank.feeder import Feeder
from bank.formats.answer import Answer, Refused
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinKey, coin_id, sign_certificate
from bank.formats.entry import (
    AnswerEntry,
    CertifiedEntry,
    Kind,
    StatementEntry,
    TermsEntry,
    make_key_entry,
)
from bank.formats.order import NOTHING, Order, sign_order
from bank.ledger import Signer, Terms
from bank.ledger.book import Value
from bank.outbox import BoardClock
from bank.statements import Statements
from bank.stores.interface import Books, KeptClaim
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey
from tests.unit.bank.claims.scenes import show
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine
from tests.unit.bank.paper import BANK, KEY, PaperBoard

TERMS = Terms(epoch_s=10**9, hold_rounds=10, promise_rounds=3, claim_rounds=5)


class Office:
    """The bank's tasks for claims, one step at a time."""

    def __init__(self, engine: Engine, board: PaperBoard, terms: Terms = TERMS) -> None:
        self.board = board
        self.signer = Signer(KEY, terms)
        self.store = engine.store(BANK)
        self.clock = BoardClock(terms, silence_s=60, now_s=lambda: 0.0)
        self.registry = CollectorRegistry()
        self.confirmer = Confirmer(
            self.store, board, engine.folder / "evidence", pause_s=0, look=look_for(self.signer)
        )
        self.clerk = Clerk(self.store, self.signer, self.clock, pause_s=0, registry=self.registry)
        self.feeder = Feeder(
            self.store,
            board,
            make_key_entry(KEY, BANK).encode(),
            self.clock,
            pause_s=0,
            statements=Statements(self.signer, 1),
            confirmer=self.confirmer,
        )

    async def feed(self) -> None:
        await self.feeder.step()
        await self.feeder.step()

    async def read(self) -> None:
        async with asyncio.timeout(10):
            while await self.confirmer.step():
                pass

    async def round(self, *others: bytes) -> None:
        """A round closes with what was fed and what others put there; the bank hears of it and reads it."""
        self.board.close(*others)
        await self.feed()
        await self.read()

    async def coin(self) -> SigningKey:
        key = SigningKey.generate()
        coin = coin_id(key.public)
        await self.store.run(lambda book: book.certify(coin, Value(3, 0), NOTHING, 0))
        return key

    async def claim(self, last_round: int = 10_000) -> Claim:
        key, (_, output) = await self.coin(), fresh(3)
        order = Order(BANK, os.urandom(16), last_round, (CoinKey(key.public),), (output,))
        shown = ShownCertificate(3, 0, sign_certificate(KEY, BANK, 3, 0, coin_id(key.public)))
        return Claim(sign_order(order, [key]), (shown,))

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(f"mixmint_bank_{name}") or 0.0

    def answers(self) -> list[Answer]:
        """What the board shows."""
        return [Answer.decode(entry.body) for entry in self.board.entries() if isinstance(entry, AnswerEntry)]

    def certified(self, claim: Claim) -> int:
        wanted = {output.coin for output in claim.order.order.outputs}
        return sum(isinstance(e, CertifiedEntry) and e.coin in wanted for e in self.board.entries())


@pytest.fixture
def board() -> PaperBoard:
    return PaperBoard()


@pytest.fixture
async def office(engine: Engine, board: PaperBoard) -> AsyncIterator[Office]:
    made = Office(engine, board)
    await made.feed()
    await made.round()
    yield made
    await made.store.close()


def entry(claim: Claim) -> bytes:
    return claim.entry().encode()


async def test_a_claim_is_executed_and_its_entries_are_the_answer(office: Office) -> None:
    """No answer beside them; and when the board was read so far, nothing of it is left."""
    claim = await office.claim()
    await office.round(entry(claim))
    assert await office.clerk.step() == 1
    assert office.metric("open_claims") == 1
    await office.feed()
    await office.round()
    assert (office.certified(claim), office.answers()) == (1, [])
    assert await office.clerk.step() == 0
    assert office.metric("claims_answered_total") == 1
    assert not await office.store.read(lambda view: view.owes_by(10**6))


async def test_a_claim_is_found_again_after_any_crash(engine: Engine, office: Office) -> None:
    """Read, not answered; answered, not fed; fed, not read: each time another process goes on."""
    claims = [await office.claim() for _ in range(2)]
    board = office.board
    await office.round(*map(entry, claims))
    for step in range(4):
        await office.store.close()
        office = Office(engine, board)
        await office.feeder.step()
        if step == 1:
            assert await office.clerk.step() == 2
        elif step == 2:
            await office.feed()
        elif step == 3:
            await office.round()
        await office.read()
    assert [office.certified(claim) for claim in claims] == [1, 1]
    # The fixture closes the first one's store once more, which is harmless.
    await office.store.close()


async def test_the_same_claim_in_two_rounds_is_answered_once(office: Office) -> None:
    """A board that repeats a leaf, or that was recovered and reads as new."""
    claim = await office.claim(last_round=1)
    for _ in range(2):
        await office.round(entry(claim))
    assert await office.clerk.step() == 1
    await office.feed()
    await office.round()
    (answer,) = office.answers()
    assert answer.subject == claim.answer_subject
    assert isinstance(answer.body, Refused)


async def test_false_claims_are_nobodys_debt(office: Office) -> None:
    """A board that lets them through can't make the bank look silent, or busy."""
    claim = await office.claim()
    forged = Claim(claim.request, (ShownCertificate(3, 0, bytes(64)),))
    other_bank = Claim(
        claim.request, (ShownCertificate(3, 0, sign_certificate(KEY, bytes(32), 3, 0, bytes(32))),)
    )
    await office.round(entry(forged), entry(other_bank), b"\x09" + b"rubbish")
    assert await office.clerk.step() == 0


async def test_without_its_board_the_bank_answers_no_claim(engine: Engine, board: PaperBoard) -> None:
    """A copy of the books that was restored has heard nothing yet, and may say nothing."""
    office = Office(engine, board)
    await office.feed()
    await office.round(entry(await office.claim()))
    await office.store.close()
    office = Office(engine, board)
    with pytest.raises(Unavailable):
        await office.clerk.step()
    await office.store.close()


async def test_a_claim_waits_until_the_receipts_say_that_its_round_is_closed(office: Office) -> None:
    """Holds are forgotten in step with them: one that lives until that round must still be named."""
    claim = await office.claim()
    office.board.close(entry(claim))
    await office.read()
    assert await office.clerk.step() == 0
    await office.feed()
    assert await office.clerk.step() == 1


async def test_a_flood_of_claims_is_answered_in_its_order(office: Office) -> None:
    """So many at once, the ones whose time ends first before the others; nobody's order waits for all."""
    early = [await office.claim() for _ in range(3)]
    late = [await office.claim() for _ in range(40)]
    await office.round(*map(entry, early))
    await office.round(*map(entry, late))
    assert await office.clerk.step() == 32
    await office.feed()
    await office.round()
    assert all(office.certified(claim) for claim in early)
    assert await office.clerk.step() == 11
    assert office.metric("oldest_claim_rounds") == 1


def test_a_flood_of_claims_asks_the_store_a_few_times(engine: Engine, tmp_path: Path) -> None:
    """Row by row PostgreSQL held up the whole bank for seconds: the rules run again for each row."""
    desk = Desk(tmp_path, engine=engine)
    orders = [desk.order([desk.coin() for _ in range(4)], [fresh(5)[1]]) for _ in range(8)]
    claims = [show(desk, order) for order in orders]
    runs: list[int] = []

    def note(book: Books) -> None:
        for claim in claims:
            book.note_claim(KeptClaim(claim.answer_subject, desk.closed, claim.encode()), 9)

    def work(book: Books) -> int:
        runs.append(1)
        return answer_some(book, desk.signer, desk.moment)

    desk.run(note)
    assert desk.run(work) == len(claims)
    assert len(runs) < len(claims)
    assert len(desk.groups()) == len(claims)
    desk.close()


async def test_the_shortest_promise_counts(engine: Engine, board: PaperBoard) -> None:
    """Terms with more time, published later, don't give more: a judge may be shown any of them."""
    patient = Terms(epoch_s=10**9, promise_rounds=3, claim_rounds=500)
    office = Office(engine, board, patient)
    await office.feed()
    for number, terms in enumerate((TERMS, patient), start=1):
        published = TermsEntry(terms.published(KEY, BANK, number)).encode()
        await office.store.run(lambda book, published=published: book.publish([published]))
        await office.feed()
        await office.round()
    claim = await office.claim()
    await office.round(entry(claim))
    round_ = board.closed
    assert not await office.store.read(lambda view: view.owes_by(round_ + 4))
    assert await office.store.read(lambda view: view.owes_by(round_ + 5))
    await office.store.close()


def statements(board: PaperBoard) -> int:
    return sum(isinstance(each, StatementEntry) for each in board.entries())


async def publish(office: Office) -> None:
    """Something to state."""

    def write(book: Books) -> None:
        coin = os.urandom(32)
        book.publish([CertifiedEntry(coin, 3, 0, bytes(64)).encode()])

    await office.store.run(write)
    await office.feed()


async def test_no_statement_confirms_what_lacks_an_answer_that_was_due(office: Office) -> None:
    """Else a board that keeps the bank's answer back could have the bank itself confirm that it is silent."""
    claim = await office.claim(last_round=1)
    await office.round(entry(claim))
    claimed = office.board.closed
    assert await office.clerk.step() == 1
    board = office.board
    board.bends = lambda entries: [each for each in entries if each[0] != Kind.ANSWER]
    for _ in range(8):
        await publish(office)
        await office.round()
    # The board was told, signed for it, and shows it nowhere: the bank says so, and confirms no further.
    assert "answer" in office.confirmer.complaint
    assert await office.store.read(lambda view: view.owes_by(board.closed))
    newest = [each.statement for each in board.entries() if isinstance(each, StatementEntry)][-1]
    due = next(each for each in board.shown if each.number == claimed + TERMS.claim_rounds)
    assert newest.size < due.after.index


async def test_statements_go_on_once_the_answer_is_public(office: Office) -> None:
    """Late or not: what counts is that whoever reads so far finds it."""
    claim = await office.claim(last_round=1)
    await office.round(entry(claim))
    for _ in range(7):
        await publish(office)
        await office.round()
    stopped = statements(office.board)
    for _ in range(3):
        await publish(office)
        await office.round()
    assert statements(office.board) == stopped
    assert await office.clerk.step() == 1
    for _ in range(3):
        await publish(office)
        await office.round()
    assert statements(office.board) > stopped


def test_batches_carry_answers() -> None:
    """The feed lets the bank put them there."""
    batch = Batch(1, [[AnswerEntry(b"a").encode()]])
    assert Batch.decode(batch.encode()).groups == batch.groups

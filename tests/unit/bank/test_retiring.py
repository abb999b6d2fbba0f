"""Coin epochs that are over: retired once, by two clocks, and swept step by step."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.board.reading.client import Cursor
from bank.formats.answer import Certificates, Hold, Refusal, Refused, Spent
from bank.formats.coin import coin_id
from bank.formats.order import tau_of
from bank.formats.request import Execute
from bank.ledger import Terms
from bank.outbox import BoardClock
from bank.retiring import Retirer, Step, retire_step
from bank.stores.interface import Books, KeptClaim, Retirement
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine

TERMS = Terms(epoch_s=1000, life_epochs=3, grace_epochs=2, hold_rounds=10, claim_rounds=4)
DUE = 9
"""The epoch in which epoch 3 is due: one whole epoch after its coins expired."""


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, TERMS, engine=engine)
    yield made
    made.close()


def board_time(desk: Desk, epoch: int, closed: int) -> None:
    """The bank has heard of ``closed`` rounds, and read one that closed in this coin epoch."""
    cursor = Cursor(closed, closed_at_s=epoch * TERMS.epoch_s).encode()

    def operation(book: Books) -> None:
        book.confirm(1, cursor, news=False)
        book.close_rounds(closed)

    desk.run(operation)
    desk.closed = closed


def step(desk: Desk, epoch: int, most: int = 256) -> Step:
    return desk.run(lambda book: retire_step(book, TERMS, epoch, most))


def retirement(desk: Desk) -> Retirement:
    return desk.run(lambda book: book.retirement())


def spend(desk: Desk, key: SigningKey) -> None:
    assert isinstance(desk.ask(desk.order([key], [fresh(3)[1]])).body, Certificates)


def test_an_epoch_is_over_when_both_clocks_and_the_claims_say_so(desk: Desk) -> None:
    """Neither the machine's clock alone nor the board's; and behind the last hold's claims."""
    desk.retire(3)
    board_time(desk, DUE - 1, 20)
    assert step(desk, DUE + 100) is Step.NOTHING
    board_time(desk, DUE + 100, 21)
    assert step(desk, DUE - 1) is Step.NOTHING
    board_time(desk, DUE, 22)
    assert step(desk, DUE) is Step.NOTED
    assert retirement(desk) == Retirement(3, 4, 22, 3)
    board_time(desk, DUE, 22 + TERMS.hold_rounds + TERMS.claim_rounds - 1)
    assert step(desk, DUE) is Step.NOTHING
    board_time(desk, DUE, 22 + TERMS.hold_rounds + TERMS.claim_rounds)
    assert step(desk, DUE - 1) is Step.NOTHING
    assert step(desk, DUE) is Step.RETIRED
    assert retirement(desk) == Retirement(4, 0, 0, 3)
    assert step(desk, DUE) is Step.DONE
    assert retirement(desk) == Retirement(4, 0, 0, 4)
    assert step(desk, DUE) is Step.NOTHING


def test_no_epoch_is_over_before_the_claims_that_were_there(desk: Desk) -> None:
    """
    A bank that was away reads its board, notes what is due, and dies. When it is back, claim_rounds have
    passed at once; whoever claimed in time is answered first. Later claims keep nothing back.
    """
    claims = {subject: KeptClaim(subject, round_, b"", 0) for subject, round_ in ((b"a", 30), (b"b", 31))}

    def note(book: Books) -> None:
        for kept in claims.values():
            book.note_claim(kept, 40)

    desk.run(note)
    board_time(desk, DUE, 20)
    assert step(desk, DUE) is Step.NOTED
    board_time(desk, DUE, 99)
    assert step(desk, DUE) is Step.NOTHING
    desk.run(lambda book: book.answer_claim(b"a"))
    assert step(desk, DUE) is Step.RETIRED


def test_the_sweep_goes_on_after_a_crash_and_takes_only_what_is_over(desk: Desk) -> None:
    """A few spent coins a step; those of living epochs keep their proofs, whatever key comes where."""
    old, young = [desk.coin() for _ in range(7)], [desk.coin(epoch=8) for _ in range(7)]
    idle = desk.coin()
    for key in (*old, *young):
        spend(desk, key)
    desk.retire(4, sweep=False)
    desk.epoch = DUE
    steps = 0
    while step(desk, DUE, most=3) is not Step.DONE:
        steps += 1
        desk.reopen()
    assert steps == 4
    assert desk.count("spent") == len(young)
    ids = {coin_id(key.public) for key in (*old, *young, idle)}
    ended = {coin for coin in ids if desk.run(lambda book, coin=coin: book.has_ended(coin))}
    assert ended == {coin_id(key.public) for key in old}
    for key in (*old, idle):
        assert desk.ask(desk.order([key], [fresh(3)[1]])).body == Refused(Refusal.EXPIRED_COIN, 0)
    for key in young:
        assert type(desk.ask(desk.order([key], [fresh(3)[1]])).body) is Spent


def test_a_clock_that_is_put_back_brings_nothing_to_life(desk: Desk) -> None:
    """Retired, not yet swept: still spent with its proof, or expired; afterwards expired."""
    spent, idle = desk.coin(), desk.coin()
    spend(desk, spent)
    desk.retire(4, sweep=False)
    desk.epoch = 3
    assert type(desk.ask(desk.order([spent], [fresh(3)[1]])).body) is Spent
    assert desk.ask(desk.order([idle], [fresh(3)[1]])).body == Refused(Refusal.EXPIRED_COIN, 0)
    while step(desk, 3, most=1) is not Step.DONE:
        pass
    for key in (spent, idle):
        assert desk.ask(desk.order([key], [fresh(3)[1]])).body == Refused(Refusal.EXPIRED_COIN, 0)


def test_held_orders_that_were_executed_are_forgotten_with_their_coins(desk: Desk) -> None:
    """And a late h for a coin that is over executes nothing."""
    done, late = desk.coin(), desk.coin()
    orders = []
    for key in (done, late):
        signed = desk.order([key], [fresh(3)[1]], tau=tau_of(b"h" * 32))
        assert isinstance(desk.ask(signed).body, Hold)
        orders.append(signed)
    assert isinstance(desk.ask(Execute(orders[0].seal, b"h" * 32)).body, Certificates)
    desk.epoch = DUE
    desk.retire(4)
    assert desk.count("held_order") == 1
    assert desk.ask(Execute(orders[1].seal, b"h" * 32)).body == Refused(Refusal.EXPIRED_COIN, 0)


def test_an_id_is_never_certified_a_second_time(desk: Desk) -> None:
    """Its certificates of two epochs would convict the bank: so ids outlive everything."""
    key = desk.coin()
    desk.epoch = DUE
    desk.retire(4)
    (output,) = [fresh(3)[1]]
    again = type(output)(coin_id(key.public), 3)
    body = desk.ask(desk.order([desk.coin()], [again])).body
    assert type(body).__name__ == "Taken"


async def test_the_task_retires_and_sweeps_beside_everything_else(desk: Desk) -> None:
    """From the first note to the end, without being asked."""
    keys = [desk.coin() for _ in range(5)]
    for key in keys:
        spend(desk, key)
    board_time(desk, DUE, 30)
    store = desk.engine.store(desk.bank)
    clock = BoardClock(TERMS, 60, lambda: DUE * 1000.0)
    seen = {step: asyncio.Event() for step in Step}

    class Watched(Retirer):
        async def step(self) -> Step:
            found = await super().step()
            seen[found].set()
            return found

    task = asyncio.create_task(Watched(store, TERMS, clock, pause_s=0.01).run())
    try:
        async with asyncio.timeout(20):
            await seen[Step.NOTED].wait()
            await store.run(lambda book: book.close_rounds(30 + TERMS.hold_rounds + TERMS.claim_rounds))
            await seen[Step.DONE].wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()
    assert desk.count("spent") == 0

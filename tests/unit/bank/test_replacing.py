"""Replacement: withdrawn coins that were never spent, back to their account, once and for good."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.formats.account import MOST_REPLACED, sign_request, sign_statement
from bank.formats.answer import Certificates, Credited, Hold, Refusal, Refused, Withdrawn
from bank.formats.entry import ReplacedEntry
from bank.formats.order import MOST_OUTPUTS, Output, tau_of
from bank.formats.request import (
    MOST_REQUEST_BYTES,
    Execute,
    Replace,
    Withdraw,
    decode_request,
    encode_request,
)
from bank.formats.statement import EARLY_ROWS
from bank.ledger import Terms
from bank.ledger.book import Count, Value
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine

EXPIRED = 3 + 5
"""The first epoch in which coins of epoch 3 are expired."""


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Iterator[Desk]:
    terms = Terms(epoch_s=1000, life_epochs=3, grace_epochs=2, hold_rounds=10)
    made = Desk(tmp_path, terms, engine=engine)
    yield made
    made.close()


class Withdrawal:
    """Coins of 8, 4 and 1 units in epoch 3."""

    def __init__(self, desk: Desk) -> None:
        self.account = desk.account(100)
        made = [fresh(exponent) for exponent in (3, 2, 0)]
        self.keys: list[SigningKey] = [key for key, _ in made]
        self.outputs: list[Output] = [output for _, output in made]
        self.request: Withdraw = desk.withdraw(self.account, self.outputs)
        body = desk.ask(self.request).body
        assert isinstance(body, Withdrawn)
        self.receipt = body

    def replace(self, desk: Desk, *numbers: int) -> Replace:
        outputs = [self.outputs[number] for number in numbers]
        return desk.replace(self.account, self.request, self.receipt, outputs)


def test_coins_never_spent_go_back_to_their_account(desk: Desk) -> None:
    """Booked, published, counted, answered alike for ever; and never a second time."""
    held = Withdrawal(desk)
    desk.epoch = EXPIRED + 1
    desk.retire(4)
    request = held.replace(desk, 0, 2)
    answer = desk.ask(request)
    assert isinstance(answer.body, Credited)
    statement = answer.body.statement.statement
    assert (statement.amount, statement.balance) == (9, 96)
    entries = [entry for entry in desk.groups()[-1] if isinstance(entry, ReplacedEntry)]
    assert {entry.coin for entry in entries} == {held.outputs[0].coin, held.outputs[2].coin}
    assert all(entry.epoch == 3 and entry.holds(desk.key.public, desk.bank) for entry in entries)
    assert desk.tallies()[Value(3, 3)].replaced == desk.tallies()[Value(0, 3)].replaced == 1
    assert desk.tallies()[Value(2, 3)].replaced == 0
    desk.reopen()
    assert desk.ask(request) == answer
    assert desk.ask(held.replace(desk, 1, 0)).body == Refused(
        Refusal.ENDED_COIN, sorted(held.outputs[:2], key=lambda o: o.coin).index(held.outputs[0])
    )
    assert isinstance(desk.ask(held.replace(desk, 1)).body, Credited)
    assert desk.newest(held.account).balance == 100


def test_not_before_the_epoch_is_swept(desk: Desk) -> None:
    """Neither while the coin lives, nor in its grace, nor expired, nor while the sweep may still find it."""
    held = Withdrawal(desk)
    for epoch in (3, 5, 7, EXPIRED, EXPIRED + 50):
        desk.epoch = epoch
        assert desk.ask(held.replace(desk, 0)).body == Refused(Refusal.NOT_YET, 0)
    desk.retire(4, sweep=False)
    assert desk.ask(held.replace(desk, 0)).body == Refused(Refusal.NOT_YET, 0)


def test_a_coin_that_was_spent_is_not_replaced(desk: Desk) -> None:
    """Not the one that went into an exchange, whoever made that; the others are."""
    held = Withdrawal(desk)
    assert isinstance(desk.ask(desk.order([held.keys[0]], [fresh(3)[1]])).body, Certificates)
    desk.epoch = EXPIRED + 1
    desk.retire(4)
    assert desk.count("spent") == 0
    assert desk.ask(held.replace(desk, 0)).body == Refused(Refusal.ENDED_COIN, 0)
    assert isinstance(desk.ask(held.replace(desk, 1, 2)).body, Credited)


def test_a_replaced_coin_is_never_spent_whatever_the_clock_says(desk: Desk) -> None:
    """The bank's clock is put back to the coin's own epoch: exchange, hold, deposit, all say expired."""
    held = Withdrawal(desk)
    desk.epoch = EXPIRED + 1
    desk.retire(4)
    assert isinstance(desk.ask(held.replace(desk, 0)).body, Credited)
    for desk.epoch in (EXPIRED + 1, 7, 3):
        key = held.keys[0]
        for request in (
            desk.order([key], [fresh(3)[1]]),
            desk.order([key], [fresh(3)[1]], tau=tau_of(b"h")),
            desk.deposit(held.account, [key]),
        ):
            assert desk.ask(request).body == Refused(Refusal.EXPIRED_COIN, 0)


def test_a_live_hold_keeps_its_coin(desk: Desk) -> None:
    """The board stood still while coins grew old: the hold still lives, by the only clock that it has."""
    held = Withdrawal(desk)
    h = bytes(32)
    signed = desk.order([held.keys[0]], [fresh(3)[1]], tau=tau_of(h))
    body = desk.ask(signed).body
    assert isinstance(body, Hold)
    desk.epoch = EXPIRED + 1
    desk.retire(4)
    assert desk.ask(held.replace(desk, 0)).body == Refused(Refusal.NOT_YET, 0)
    desk.closed = body.to_round
    assert isinstance(desk.ask(held.replace(desk, 0)).body, Credited)
    assert desk.ask(Execute(signed.seal, h)).body == Refused(Refusal.EXPIRED_COIN, 0)


def test_a_receipt_is_for_its_own_account_and_its_own_coins(desk: Desk) -> None:
    """What fits together is read; what doesn't is no request at all."""
    held, other = Withdrawal(desk), Withdrawal(desk)
    good = held.replace(desk, 0)
    assert decode_request(encode_request(good)) == good
    for bad in (
        dataclasses.replace(good, withdrawal=other.request.signed),
        dataclasses.replace(good, statement=other.receipt.statement),
        desk.replace(held.account, held.request, held.receipt, other.outputs[:1]),
        desk.replace(held.account, other.request, other.receipt, other.outputs[:1]),
        desk.replace(held.account, held.request, held.receipt, [Output(held.outputs[0].coin, 20)]),
    ):
        with pytest.raises(MalformedMessage, match="operation"):
            decode_request(encode_request(bad))
    for count in (0, MOST_REPLACED + 1):
        outputs = [fresh(0)[1] for _ in range(count)]
        with pytest.raises(MalformedMessage, match="counts"):
            decode_request(encode_request(desk.replace(held.account, held.request, held.receipt, outputs)))


def test_every_signature_counts(desk: Desk) -> None:
    """The holder's under both requests, the bank's under the statement."""
    held = Withdrawal(desk)
    desk.retire(4)
    good = held.replace(desk, 0)
    thief = SigningKey.generate()
    for bad in (
        dataclasses.replace(good, signed=sign_request(thief, good.signed.request)),
        dataclasses.replace(good, withdrawal=sign_request(thief, good.withdrawal.request)),
        dataclasses.replace(good, statement=sign_statement(thief, good.statement.statement)),
    ):
        assert desk.ask(bad).body == Refused(Refusal.SIGNATURE)
    assert isinstance(desk.ask(good).body, Credited)


def test_the_largest_request_fits_into_a_packet(desk: Desk) -> None:
    """A withdrawal of 16 coins, of which 8 are replaced at a time."""
    account = desk.account(100)
    outputs = [fresh(0)[1] for _ in range(MOST_OUTPUTS)]
    request = desk.withdraw(account, outputs)
    body = desk.ask(request).body
    assert isinstance(body, Withdrawn)
    desk.retire(4)
    asked = desk.replace(account, request, body, outputs[:MOST_REPLACED])
    assert len(encode_request(asked)) <= MOST_REQUEST_BYTES
    assert isinstance(desk.ask(asked).body, Credited)


def test_old_counts_wait_for_the_next_statement(desk: Desk) -> None:
    """Else epochs long past could crowd the living ones out of it, and the bank would have to stop."""
    held = Withdrawal(desk)
    desk.retire(4)
    changed = [Value(number % 21, 100 + number // 21) for number in range(EARLY_ROWS)]
    desk.run(lambda book: book.count(Count.WITHDRAWN, changed))
    assert desk.ask(held.replace(desk, 0)).body == Refused(Refusal.NOT_YET)
    desk.run(lambda book: book.mark_stated(1, desk.closed))
    assert isinstance(desk.ask(held.replace(desk, 0)).body, Credited)


def test_in_one_batch_with_another_replacement_the_first_wins(desk: Desk) -> None:
    """Two requests of one account for one coin, in one transaction; and two places in the chain."""
    held = Withdrawal(desk)
    desk.retire(4)
    first, second = held.replace(desk, 0), held.replace(desk, 0, 1)
    bodies = [
        desk.read(request, answer).body
        for request, answer in zip(
            (first, second),
            desk.ask_all([encode_request(first), encode_request(second)]),
            strict=True,
        )
    ]
    assert isinstance(bodies[0], Credited)
    assert bodies[1] == Refused(Refusal.SEQUENCE)
    assert isinstance(desk.ask(held.replace(desk, 1)).body, Credited)

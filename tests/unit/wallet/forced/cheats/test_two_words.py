"""A bank that signs two words about one thing, a coin or an account: both are shown."""

import os
from dataclasses import replace

import pytest

from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.file import check_file, encode_accusation
from bank.formats.account import Operation, Statement, sign_statement
from bank.formats.answer import Answer, Body, CertifiedBefore, Hold, Statements, Withdrawn
from bank.formats.coin import CoinKey, sign_certificate
from bank.formats.entry import CertifiedEntry
from bank.formats.order import Order, sign_order, tau_of
from bank.formats.request import decode_request, encode_request
from mixmint.errors import PendingError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import fresh
from tests.unit.wallet.forced.cheats.hands import lies
from tests.unit.wallet.forced.court import Court
from wallet.purse import CoinState


async def test_two_certificates_of_one_id(court: Court) -> None:
    """The bank's two signatures are the proof; whoever meets both has it in hand."""
    ann = await court.funded()
    (coin,) = ann.purse.coins(CoinState.FREE).values()
    other = sign_certificate(court.key, court.signer.bank, 5, coin.epoch, coin.id())
    shown = CertifiedBefore(coin.id(), 3, coin.epoch, coin.certificate)
    evidence = CertifiedTwice(court.key.public, shown, CertifiedBefore(coin.id(), 5, coin.epoch, other))
    assert check_file(encode_accusation(evidence)).holds
    twice = CertifiedEntry(coin.id(), 5, coin.epoch, other).encode()
    court.board.bends = lambda entries: sorted([*entries, twice])
    await court.tick()
    court.board.bends = lambda entries: entries
    await court.tick()
    report = await court.audit()
    assert "certified-twice" in {finding.fault for finding in report.findings}


def two_step(court: Court, coin: SigningKey) -> bytes:
    order = Order(
        court.signer.bank,
        os.urandom(16),
        10**6,
        (CoinKey(coin.public),),
        (fresh(3)[1],),
        tau=tau_of(os.urandom(32)),
    )
    return encode_request(sign_order(order, [coin]))


async def ask(court: Court, data: bytes) -> Word:
    """An order's word: request and answer."""
    return Word(decode_request(data), Answer.decode((await court.bank.answer([data]))[0]))


@pytest.mark.parametrize("forgets", [True, False])
async def test_a_coin_held_for_two(court: Court, forgets: bool) -> None:
    """Two holds that overlap, or a hold that the bank forgets and executes under: both answers convict it."""
    ann = await court.funded()
    (coin,) = ann.purse.coins(CoinState.FREE).values()
    one = await ask(court, two_step(court, coin.key()))
    assert isinstance(one.answer.body, Hold)
    await court.store.run(lambda book: book.connection.execute("DELETE FROM held_coin"))
    if forgets:
        order = Order(court.signer.bank, os.urandom(16), 10**6, (CoinKey(coin.key().public),), (fresh(3)[1],))
        other = await ask(court, encode_request(sign_order(order, [coin.key()])))
    else:
        other = await ask(court, two_step(court, coin.key()))
    evidence = OverlappingHolds.of(court.key.public, one, other)
    verdict = check_file(encode_accusation(evidence))
    assert verdict.holds
    assert verdict.whom.bank == court.key.public


async def test_a_forked_account(court: Court) -> None:
    """Two statements for one place in the chain: both signed, so both are shown."""
    ann = await court.funded()
    await court.fund_again(ann, 8)

    def forked(answer: Answer) -> Body:
        if not isinstance(answer.body, Withdrawn):
            return answer.body
        true = answer.body.statement.statement
        # The balance as if something had been taken before.
        false = replace(true, balance=true.balance - 1, previous=bytes(range(32)))
        return Withdrawn(sign_statement(court.key, false), answer.body.certificates)

    await ann.cashier.withdraw(1)
    lies(court, ann, forked)
    with pytest.raises(PendingError):
        await ann.cashier.withdraw(1)
    assert set(court.convictions(ann)) <= {"answer-false", "account-forked"}
    assert court.convictions(ann)


async def test_an_invented_booking(court: Court) -> None:
    """It isn't accepted, and what the bank signed is kept; the claim has it show what it booked in public."""
    ann = await court.funded()
    await court.fund_again(ann, 8)

    def invented(answer: Answer) -> Body:
        if not isinstance(answer.body, Statements):
            return answer.body
        last = answer.body.statements[-1].statement
        booked = Statement(
            last.bank, last.account, last.sequence + 1, Operation.WITHDRAW, 8, last.balance - 8,
            os.urandom(32), last.head(), 1,
        )  # fmt: skip
        return Statements((*answer.body.statements, sign_statement(court.key, booked)))

    lies(court, ann, invented)
    head = ann.books.head()
    with pytest.raises(PendingError):
        await ann.cashier.withdraw(4)
    assert ann.books.head() == head
    ann.wire.bends = lambda data: data
    await court.resume_until(ann)
    assert ann.units() == 12

"""A bank that lies: nothing wrong is believed, everything wrong is kept."""

from collections.abc import Callable

import pytest

from bank.formats.account import Operation, Statement, sign_statement
from bank.formats.answer import (
    Answer,
    Certificates,
    CertifiedBefore,
    Held,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    sign_answer,
)
from bank.formats.coin import sign_certificate
from bank.formats.request import ReadAccount, decode_request
from bank.ledger.accounts import credit
from mixmint.errors import PendingError, UserError
from mixmint.keys import SigningKey
from tests.unit.wallet.lies.victim import funded, signed
from tests.unit.wallet.town import Town
from wallet.machines.steps import Phase
from wallet.purse import CoinState

Lie = Callable[[Town, Answer], bytes]


def another_certificate(town: Town, answer: Answer) -> bytes:
    assert isinstance(answer.body, Certificates)
    wrong = sign_certificate(town.key, town.signer.bank, 0, answer.body.epoch, bytes(32))
    return signed(town, answer, Certificates(answer.body.round, answer.body.epoch, (wrong,)))


def invented_proof(town: Town, answer: Answer) -> bytes:
    """ "Spent", of a coin whose secret the bank never had."""
    key = SigningKey.generate()
    return signed(town, answer, Spent(0, key.public, bytes(32), bytes(64)))


LIES: dict[str, Lie] = {
    "unreadable-kind": lambda town, answer: bytes(200),
    "another-subject": lambda town, answer: sign_answer(town.key, town.signer.bank, bytes(32), answer.body),
    "not-signed": lambda town, answer: answer.encode()[:-1] + bytes([answer.encode()[-1] ^ 1]),
    "false-certificate": another_certificate,
    "count-of-certificates": lambda town, answer: signed(
        town, answer, Certificates(9, 0, answer.body.certificates * 2)
    ),
    "proof-of-another-coin": invented_proof,
    "false-refusal": lambda town, answer: signed(town, answer, Refused(Refusal.SUMS)),
    "too-late-too-early": lambda town, answer: signed(town, answer, Refused(Refusal.TOO_LATE)),
}


@pytest.mark.parametrize("reason", LIES)
async def test_wrong_answer_decides_nothing_and_is_kept(town: Town, reason: str) -> None:
    """The coin stays reserved, the bytes become a file, and an honest answer ends it later."""
    ann = await funded(town)
    ann.wire.bends = lambda answer: LIES[reason](town, Answer.decode(answer))
    # The board shows rounds without entries, so that it can't make up for the answer.
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="evidence"):
        await ann.cashier.exchange(None)
    assert ann.units(CoinState.RESERVED) == 8
    (kept,) = ann.books.evidence()
    assert kept.name.startswith(reason)
    ann.wire.bends = lambda answer: answer
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert ann.units(CoinState.PENDING) == 8


async def test_invented_proof_of_the_right_coin_is_refused_too(town: Town) -> None:
    """The signature must be the coin key's, over the seal."""
    ann = await funded(town)

    def lie(answer: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        key = order.order.inputs[0]
        return signed(town, Answer.decode(answer), Spent(0, key, bytes(32), bytes(64)))

    ann.wire.bends = lie
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="false-proof"):
        await ann.cashier.exchange(None)


async def test_a_withdrawal_that_the_holder_never_signed_is_not_accepted(town: Town) -> None:
    """The next request would name it as the chain's head, and so accept it: none is signed."""
    ann = await funded(town)
    await town.store.run(lambda book: credit(town.signer.bank, ann.purse.account().public, 8, book))

    def invented(answer: Answer, earlier: Statement) -> bytes:
        booked = Statement(
            town.signer.bank,
            ann.purse.account().public,
            earlier.sequence + 1,
            Operation.WITHDRAW,
            8,
            earlier.balance - 8,
            bytes(range(32)),
            earlier.head(),
            1,
        )
        statements = (*answer.body.statements, sign_statement(town.key, booked))
        return signed(town, answer, Statements(statements))

    def lie(data: bytes) -> bytes:
        answer = Answer.decode(data)
        if isinstance(decode_request(ann.wire.asked[-1]), ReadAccount):
            return invented(answer, answer.body.statements[-1].statement)
        return data

    ann.wire.bends = lie
    head = ann.books.head()
    with pytest.raises(PendingError, match="invented-booking"):
        await ann.cashier.withdraw(4)
    assert ann.books.head() == head
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == ["invented"]
    assert isinstance(decode_request(ann.wire.asked[-1]), ReadAccount)


async def test_an_order_is_never_held_by_itself(town: Town) -> None:
    """The bank has the coin's signature of this very seal: it proves nothing, and would keep the coin."""
    ann = await funded(town)

    def lie(data: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        held = Held(0, order.order.inputs[0], order.seal, order.signatures[0], 2**32 - 1)
        return signed(town, Answer.decode(data), held)

    ann.wire.bends = lie
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="held-by-itself"):
        await ann.cashier.exchange(None)


async def test_a_deposit_spent_by_itself_is_no_strangers_doing(town: Town) -> None:
    """Without the statement that credits it, the answer is evidence; the coin isn't called lost."""
    ann = await funded(town)

    def lie(data: bytes) -> bytes:
        deposit = decode_request(ann.wire.asked[-1])
        if not hasattr(deposit, "order") or not hasattr(deposit, "signed"):
            return data
        order = deposit.order
        spent = Spent(0, order.order.inputs[0], order.seal, order.signatures[0])
        return signed(town, Answer.decode(data), spent)

    ann.wire.bends = lie
    with pytest.raises(PendingError, match="deposit-without-statement"):
        await ann.cashier.deposit(8)
    assert ann.units(CoinState.LOST) == 0


@pytest.mark.parametrize("reason", [Refusal.BALANCE, Refusal.NO_ACCOUNT])
async def test_a_refusal_that_the_chains_head_contradicts_is_kept(town: Town, reason: Refusal) -> None:
    """The bank signed the balance that it now denies."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(4)
    ann.wire.bends = lambda data: signed(town, Answer.decode(data), Refused(reason))
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="false-refusal"):
        await ann.cashier.withdraw(4)


async def test_a_payment_refused_and_executed_all_the_same_is_paid(town: Town) -> None:
    """The board overrules the bank: the member isn't told to pay again, and nobody is called a splitter."""
    ann, bob = await funded(town), town.wallet("bob")
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "")

    def lie(data: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        answer = Answer.decode(data)
        if not isinstance(answer.body, Certificates) or order.order.outputs != request.outputs:
            return data
        output = request.outputs[0]
        before = CertifiedBefore(output.coin, output.exponent, answer.body.epoch, answer.body.certificates[0])
        return signed(town, answer, Taken(0, before))

    ann.wire.bends = lie
    shown: list[list[bytes]] = []
    town.board.bends = lambda entries: shown.append(entries) or []
    outcome = await ann.cashier.pay(request, now=True)
    assert outcome.state.phase is Phase.REFUSED
    town.board.bends = lambda entries: sorted([*entries, *(each for late in shown for each in late)])
    await town.tick()
    await ann.cashier.resume()
    paid = ann.purse.operation(outcome.row)
    assert (paid.phase, paid.reason) == (Phase.SETTLED, "")
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == []
    with pytest.raises(UserError, match="paid already"):
        await ann.cashier.pay(request, now=True)


async def test_evidence_that_a_crash_tore_is_written_again(town: Town) -> None:
    """The state that follows from it may be committed only once the file is whole."""
    ann = town.wallet("ann")
    path = ann.books.keep("lie", b"all of it")
    path.write_bytes(b"")
    assert ann.books.keep("lie", b"all of it") == path
    assert path.read_bytes() == b"all of it"
    assert path.stat().st_mode & 0o077 == 0

"""What a successor answers to what its predecessor left: by the board, and once; on both engines."""

from dataclasses import replace

import pytest

from bank.formats.account import (
    AccountRequest,
    Operation,
    SignedAccountRequest,
    Statement,
    sign_request,
)
from bank.formats.answer import Answer, Certificates, Credited, Refusal, Refused, Spent, Withdrawn
from bank.formats.coin import coin_id
from bank.formats.entry import CertifiedEntry
from bank.formats.order import NOTHING, Output, SignedOrder, tau_of
from bank.formats.request import Deposit, Withdraw, encode_request
from bank.ledger import Signer
from bank.ledger.accounts import next_statement, recovered
from bank.ledger.book import Account, SpentCoin, Value
from bank.ledger.successor import FROM_THE_BOARD, NEITHER, UNCOUNTED, UNCREDITED
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh

BOARD_EPOCH, BOARD_ROUND = 1, 5


@pytest.fixture
def heir(desk: Desk) -> Desk:
    """The bank's successor, who answers what was left until round 100."""
    desk.signer = Signer(desk.key, desk.terms, desk.bank, 100)
    return desk


def show_spent(heir: Desk, order: SignedOrder, epoch: int = FROM_THE_BOARD, inputs: int = 16) -> None:
    """The board shows that an order spent its first inputs."""
    for index, key in enumerate(order.order.inputs[:inputs]):
        spent = SpentCoin(order.seal, order.signatures[index], BOARD_ROUND, epoch)
        assert heir.run(lambda book, key=key, spent=spent: book.spend(key, coin_id(key), spent, 0))


def show_certified(heir: Desk, output: Output, epoch: int = BOARD_EPOCH) -> None:
    """The board shows an output's certificate."""
    value = Value(output.exponent, epoch)
    assert heir.run(lambda book: book.certify(output.coin, value, NOTHING, 0))


def test_an_executed_order_gets_its_first_answer_for_what_the_board_shows(heir: Desk) -> None:
    """With the epoch of the board's certificates, whatever epoch it is now; nothing is published again."""
    (_, one), (_, two) = fresh(2), fresh(2)
    order = heir.order([heir.coin(3)], [one, two])
    show_spent(heir, order)
    show_certified(heir, one)
    show_certified(heir, two)
    heir.closed = 500
    body = heir.ask(order).body
    assert isinstance(body, Certificates)
    assert (body.epoch, body.round) == (BOARD_EPOCH, BOARD_ROUND)
    assert body == heir.signer.certificates(order.order.outputs, BOARD_EPOCH, BOARD_ROUND)
    assert heir.groups() == []


@pytest.mark.parametrize("epoch", [FROM_THE_BOARD, UNCREDITED, UNCOUNTED, NEITHER])
def test_an_order_that_was_left_is_certified_once(heir: Desk, epoch: int) -> None:
    """Published, counted so that the sums hold, and the same again afterwards, also when its time is over."""
    (_, output) = fresh(3)
    order = heir.order([heir.coin(3)], [output], last_round=1)
    show_spent(heir, order, epoch)
    body = heir.ask(order).body
    assert isinstance(body, Certificates)
    assert body.epoch == heir.epoch
    (group,) = heir.groups()
    assert [type(entry) for entry in group] == [CertifiedEntry]
    heir.closed, heir.epoch = 5000, heir.epoch + 1
    assert heir.ask(order).body == body
    assert len(heir.groups()) == 1
    counted = {row.epoch: row.tally for row in heir.run(lambda book: book.tallies())}
    assert counted[body.epoch].withdrawn == 1
    assert sum(tally.spent for tally in counted.values()) == (epoch in (UNCOUNTED, NEITHER))
    assert all(tally.spent == tally.deposited and not tally.exchanged for tally in counted.values())


def test_after_its_rounds_it_is_spent_by_its_own_seal(heir: Desk) -> None:
    """Nobody came: the coin's own proof is all that is said."""
    (_, output) = fresh(3)
    order = heir.order([heir.coin(3)], [output])
    show_spent(heir, order)
    heir.closed = 100
    body = heir.ask(order).body
    assert isinstance(body, Spent)
    assert body.seal == order.seal
    assert heir.run(lambda book: book.value(output.coin)) is None


def test_an_input_that_was_left_out_is_spent_now_or_already_anothers(heir: Desk) -> None:
    """An order happens whole or not at all."""
    one, two, (_, output) = heir.coin(2), heir.coin(2), fresh(3)
    order = heir.order([one, two], [output])
    show_spent(heir, order, inputs=1)
    body = heir.ask(order).body
    assert isinstance(body, Certificates)
    (group,) = heir.groups()
    assert sorted(type(entry).__name__ for entry in group) == ["CertifiedEntry", "SpentEntry"]
    three, four, (_, other), (_, third) = heir.coin(2), heir.coin(2), fresh(3), fresh(2)
    left = heir.order([three, four], [other])
    show_spent(heir, left, inputs=1)
    missing = next(key for key in (three, four) if key.public == left.order.inputs[1])
    assert isinstance(heir.ask(heir.order([missing], [third])).body, Certificates)
    assert isinstance(heir.ask(left).body, Spent)
    assert heir.run(lambda book: book.value(other.coin)) is None


@pytest.mark.parametrize("why", ["replaced", "retired"])
def test_an_input_that_is_over_is_not_spent_now(heir: Desk, why: str) -> None:
    """It is paid out already, or how it was spent is forgotten."""
    one, two, (_, output) = heir.coin(2), heir.coin(2), fresh(3)
    order = heir.order([one, two], [output])
    show_spent(heir, order, inputs=1)
    if why == "replaced":
        assert heir.run(lambda book: book.end(coin_id(order.order.inputs[1])))
    else:
        heir.retire(heir.epoch + 1, sweep=False)
    assert isinstance(heir.ask(order).body, Spent)
    assert heir.groups() == []


def test_what_the_predecessor_replaced_is_no_coin_by_longer_terms_either(heir: Desk) -> None:
    """Its account has the units. Which epochs he had retired isn't on the successor's books."""
    key, (_, output) = heir.coin(3), fresh(3)
    assert heir.run(lambda book: book.end(coin_id(key.public)))
    assert heir.ask(heir.order([key], [output])).body == Refused(Refusal.EXPIRED_COIN, 0)
    assert heir.ask(heir.deposit(heir.account(0), [key])).body == Refused(Refusal.EXPIRED_COIN, 0)
    assert heir.ask(heir.order([key], [output], tau=tau_of(bytes(32)))).body == Refused(
        Refusal.EXPIRED_COIN, 0
    )


def test_sums_count_and_nothing_is_certified_with_two_values(heir: Desk) -> None:
    """What asks for more than it spent, or for an id that the board has otherwise, is answered as spent."""
    (_, big), (_, other) = fresh(5), fresh(3)
    greedy = heir.order([heir.coin(3)], [big])
    show_spent(heir, greedy)
    assert not isinstance(heir.ask(greedy).body, Certificates)
    order = heir.order([heir.coin(3)], [other])
    show_spent(heir, order)
    show_certified(heir, Output(other.coin, 2))
    assert isinstance(heir.ask(order).body, Spent)
    assert heir.groups() == []


def taken_over(heir: Desk, holder: SigningKey, listed: Statement, balance: int) -> None:
    first = recovered(heir.bank, holder.public, balance, listed.sequence, listed.head())
    assert heir.run(lambda book: book.take_over(first, listed, FROM_THE_BOARD))
    assert not heir.run(lambda book: book.take_over(first, listed, FROM_THE_BOARD))


@pytest.fixture
def holder() -> SigningKey:
    return SigningKey(b"h" * 32)


def listed_withdrawal(heir: Desk, holder: SigningKey, output: Output) -> Withdraw:
    """A request that the predecessor booked as the account's statement 7; its balance was 92 then."""
    asked = AccountRequest(
        heir.bank, holder.public, 7, bytes(32), Operation.WITHDRAW, bytes(16), 50, outputs=(output,)
    )
    digest = asked.digest()
    listed = Statement(heir.bank, holder.public, 7, Operation.WITHDRAW, 8, 92, digest, bytes(32), BOARD_ROUND)
    taken_over(heir, holder, listed, 92)
    return Withdraw(sign_request(holder, asked))


def test_a_listed_withdrawal_gets_its_certificates_at_any_time(heir: Desk, holder: SigningKey) -> None:
    """It was paid for: certified now if the board has no certificate; the chain goes on behind it."""
    (_, output) = fresh(3)
    asked = listed_withdrawal(heir, holder, output)
    heir.closed = 5000
    body = heir.ask(asked).body
    assert isinstance(body, Withdrawn)
    assert (body.statement.statement.sequence, body.certificates.epoch) == (7, heir.epoch)
    (group,) = heir.groups()
    assert [type(entry) for entry in group] == [CertifiedEntry]
    again = heir.ask(asked).body
    assert isinstance(again, Withdrawn)
    assert again.certificates.certificates == body.certificates.certificates
    assert len(heir.groups()) == 1
    newest = heir.newest(holder)
    assert (newest.operation, newest.sequence, newest.balance) == (Operation.RECOVERED, 8, 92)


def test_what_the_board_has_of_a_withdrawal_is_not_certified_anew(heir: Desk, holder: SigningKey) -> None:
    """With its epoch there."""
    (_, output) = fresh(3)
    asked = listed_withdrawal(heir, holder, output)
    show_certified(heir, output)
    body = heir.ask(asked).body
    assert isinstance(body, Withdrawn)
    assert body.certificates.epoch == BOARD_EPOCH
    assert heir.groups() == []


@pytest.mark.parametrize("epoch", [FROM_THE_BOARD, UNCREDITED])
def test_a_deposit_is_credited_if_the_list_has_it_not(heir: Desk, epoch: int) -> None:
    """Once, within the rounds; a deposit that is in the balances is spent."""
    account, key = heir.account(0), heir.coin(3)
    asked = heir.deposit(account, [key], last_round=90)
    show_spent(heir, asked.order, epoch)
    body = heir.ask(asked).body
    if epoch == FROM_THE_BOARD:
        assert isinstance(body, Spent)
        return
    assert isinstance(body, Credited)
    assert body.statement.statement.balance == 8
    assert heir.ask(asked).body == body
    once_more = heir.deposit(account, [key])
    again = Deposit(_for_order(heir, once_more, asked.order, account), asked.order)
    assert isinstance(heir.ask(again).body, Spent)
    assert heir.newest(account).balance == 8


def test_a_deposit_in_one_batch_with_another_of_the_same_order_is_credited_once(heir: Desk) -> None:
    """The statement that the first will get can be guessed, so a second may follow it unseen."""
    account, key = heir.account(0), heir.coin(3)
    first = heir.deposit(account, [key], last_round=90)
    show_spent(heir, first.order, NEITHER)
    asked = first.signed.request
    round_ = heir.signer.promised_round(heir.moment)
    before = Account(asked.sequence - 1, 0, asked.head)
    guessed = next_statement(asked, asked.digest(), before, 8, round_)
    following = replace(asked, sequence=asked.sequence + 1, head=guessed.head(), request_id=bytes(16))
    second = Deposit(sign_request(account, following), first.order)
    answers = heir.ask_all([encode_request(first), encode_request(second)])
    credited, refused = (Answer.decode(each).body for each in answers)
    assert isinstance(credited, Credited)
    assert credited.statement.statement == guessed
    assert isinstance(refused, Spent)
    assert heir.newest(account).balance == 8
    assert sum(tally.deposited for tally in heir.tallies().values()) == 1


def test_a_deposit_comes_too_late(heir: Desk) -> None:
    """After the stated rounds it is spent, by its own seal."""
    account, key = heir.account(0), heir.coin(3)
    asked = heir.deposit(account, [key])
    show_spent(heir, asked.order, UNCREDITED)
    heir.closed = 100
    assert isinstance(heir.ask(asked).body, Spent)
    assert heir.newest(account).balance == 0


def _for_order(heir: Desk, like: Deposit, order: SignedOrder, account: SigningKey) -> SignedAccountRequest:
    return sign_request(account, replace(like.signed.request, seal=order.seal))

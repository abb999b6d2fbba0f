"""Accounts: withdrawals, deposits, statements, and the operator's open and credit."""

import dataclasses

import pytest

from bank.formats.account import AccountRequest, Operation, sign_request
from bank.formats.answer import (
    Answer,
    Certificates,
    Credited,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    Withdrawn,
)
from bank.formats.coin import certificate_holds
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import Output
from bank.formats.request import Withdraw, encode_request, sign_read
from bank.ledger import prepare, settle
from bank.ledger.accounts import credit, open_account
from bank.ledger.terms import MOST_BALANCE
from bank.stores.interface import Books
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh


def test_a_withdrawal_debits_certifies_and_publishes(desk: Desk) -> None:
    """The statement is the next link; its entries are the certified coins, nothing that names the account."""
    account = desk.account(100)
    before = desk.newest(account)
    outputs = [fresh(4)[1], fresh(3)[1], fresh(0)[1]]
    request = desk.withdraw(account, outputs)
    body = desk.ask(request).body
    assert isinstance(body, Withdrawn)
    statement = body.statement.statement
    assert body.statement.holds(desk.key.public)
    assert statement.follows(before)
    assert (statement.amount, statement.balance) == (25, 75)
    assert statement.digest == request.signed.request.digest()
    for output, certificate in zip(
        request.signed.request.outputs, body.certificates.certificates, strict=True
    ):
        assert certificate_holds(
            desk.key.public, certificate, desk.bank, output.exponent, body.certificates.epoch, output.coin
        )
    (group,) = desk.groups()
    assert [type(entry) for entry in group] == [CertifiedEntry] * 3


def test_a_deposit_credits_what_the_coins_are_worth(desk: Desk) -> None:
    """And publishes them as spent."""
    account = desk.account(0)
    request = desk.deposit(account, [desk.coin(4), desk.coin(0)])
    body = desk.ask(request).body
    assert isinstance(body, Credited)
    assert body.statement.statement.balance == body.statement.statement.amount == 17
    (group,) = desk.groups()
    assert [type(entry) for entry in group] == [SpentEntry] * 2


def test_account_requests_get_the_same_answer_for_ever(desk: Desk) -> None:
    """Whatever came after them, and across crashes, rounds and epochs; the account changes once."""
    account = desk.account(100)
    asked = [encode_request(desk.withdraw(account, [fresh(3)[1]]))]
    first = [desk.ask_bytes(asked[0])]
    asked.append(encode_request(desk.deposit(account, [desk.coin(2)])))
    first.append(desk.ask_bytes(asked[1]))
    desk.reopen()
    desk.closed += 50
    desk.epoch += 2
    assert [desk.ask_bytes(each) for each in asked] == first
    assert desk.newest(account).sequence == 4
    assert len(desk.groups()) == 2


def test_two_requests_for_one_place_in_the_chain(desk: Desk) -> None:
    """The first is booked, the second refused: so a resend with other content can't withdraw twice."""
    account = desk.account(100)
    one, other = desk.withdraw(account, [fresh(3)[1]]), desk.withdraw(account, [fresh(3)[1]])
    assert isinstance(desk.ask(one).body, Withdrawn)
    assert desk.ask(other).body == Refused(Refusal.SEQUENCE)
    assert desk.newest(account).balance == 92


@pytest.mark.parametrize(
    "change", [{"sequence": 4}, {"sequence": 2**64 - 1}, {"head": bytes(32)}, {"sequence": 0}]
)
def test_a_request_must_name_the_chains_head(desk: Desk, change: dict[str, object]) -> None:
    """It is the holder's acceptance of every statement before."""
    account = desk.account(100)
    request = desk.withdraw(account, [fresh(3)[1]]).signed.request
    wrong = Withdraw(sign_request(account, dataclasses.replace(request, **change)))  # type: ignore[arg-type]
    assert desk.ask(wrong).body == Refused(Refusal.SEQUENCE)


def test_a_balance_never_goes_below_zero(desk: Desk) -> None:
    """All of it can be withdrawn, and not one unit more."""
    account = desk.account(8)
    assert desk.ask(desk.withdraw(account, [fresh(3)[1], fresh(0)[1]])).body == Refused(Refusal.BALANCE)
    assert isinstance(desk.ask(desk.withdraw(account, [fresh(3)[1]])).body, Withdrawn)
    assert desk.newest(account).balance == 0


def test_a_withdrawal_to_a_certified_id_is_taken_and_books_nothing(desk: Desk) -> None:
    """Not even the outputs that were free."""
    account, coin = desk.account(100), desk.coin(3)
    (_, free) = fresh(3)
    from bank.formats.coin import coin_id

    body = desk.ask(desk.withdraw(account, [Output(coin_id(coin.public), 3), free])).body
    assert isinstance(body, Taken)
    assert desk.count("certified") == 1
    assert desk.newest(account).balance == 100


def test_only_the_holder_withdraws(desk: Desk) -> None:
    """A request under another key's signature is refused."""
    account = desk.account(100)
    request = desk.withdraw(account, [fresh(3)[1]])
    forged = Withdraw(dataclasses.replace(request.signed, signature=SigningKey.generate().sign("x")))  # type: ignore[arg-type]
    assert desk.ask(forged).body == Refused(Refusal.SIGNATURE)


def test_a_deposited_coin_is_spent(desk: Desk) -> None:
    """A second account that deposits it gets the proof, and no credit."""
    account, other, coin = desk.account(0), desk.account(0), desk.coin(3)
    first = desk.deposit(account, [coin])
    desk.ask(first)
    body = desk.ask(desk.deposit(other, [coin])).body
    assert type(body) is Spent
    assert body.seal == first.order.seal
    assert desk.newest(other).balance == 0


def test_a_deposit_signed_anew_for_the_same_order_is_not_booked_twice(desk: Desk) -> None:
    """*spent*, with the order's own seal."""
    account = desk.account(0)
    first = desk.deposit(account, [desk.coin(3)])
    desk.ask(first)
    newest = desk.newest(account)
    again = dataclasses.replace(
        first.signed.request, sequence=newest.sequence + 1, head=newest.head(), request_id=bytes(16)
    )
    body = desk.ask(dataclasses.replace(first, signed=sign_request(account, again))).body
    assert type(body) is Spent
    assert body.seal == first.order.seal
    assert desk.newest(account).balance == 8


def test_a_coin_in_its_grace_can_not_be_deposited(desk: Desk) -> None:
    """It can only be exchanged."""
    account, coin = desk.account(0), desk.coin(3, epoch=0)
    desk.epoch = desk.terms.life_epochs
    assert desk.ask(desk.deposit(account, [coin])).body == Refused(Refusal.EXPIRED_COIN, 0)
    assert isinstance(desk.ask(desk.order([coin], [fresh(3)[1]])).body, Certificates)


def test_account_requests_after_their_last_round_are_refused(desk: Desk) -> None:
    """Both kinds."""
    account = desk.account(100)
    assert desk.ask(desk.withdraw(account, [fresh(3)[1]], last_round=desk.closed)).body == Refused(
        Refusal.TOO_LATE
    )
    assert desk.ask(desk.deposit(account, [desk.coin(3)], last_round=desk.closed)).body == Refused(
        Refusal.TOO_LATE
    )


def test_an_unknown_account_is_refused(desk: Desk) -> None:
    """Withdrawals, and reading."""
    stranger = SigningKey.generate()
    request = AccountRequest(
        desk.bank, stranger.public, 2, bytes(32), Operation.WITHDRAW, bytes(16), 99, outputs=(fresh(3)[1],)
    )
    assert desk.ask(Withdraw(sign_request(stranger, request))).body == Refused(Refusal.NO_ACCOUNT)
    assert desk.ask(sign_read(stranger, desk.bank, 1)).body == Refused(Refusal.NO_ACCOUNT)


def test_statements_come_in_sixes_and_chain(desk: Desk) -> None:
    """Read from the first to the newest, each follows the one before and is signed."""
    account = desk.account(100)
    for _ in range(7):
        desk.ask(desk.withdraw(account, [fresh(0)[1]]))
    chain = []
    while True:
        body = desk.ask(sign_read(account, desk.bank, len(chain) + 1)).body
        assert isinstance(body, Statements)
        if not body.statements:
            break
        chain += body.statements
    assert len(chain) == 9
    previous = None
    for signed in chain:
        assert signed.holds(desk.key.public)
        assert signed.statement.follows(previous)
        previous = signed.statement
    assert previous is not None
    assert previous.balance == 93


def test_statements_are_for_the_holder_only(desk: Desk) -> None:
    """A reading signed by another key is refused."""
    account = desk.account(100)
    request = sign_read(account, desk.bank, 1)
    assert desk.ask(dataclasses.replace(request, signature=bytes(64))).body == Refused(Refusal.SIGNATURE)
    assert desk.ask(dataclasses.replace(request, sequence=2)).body == Refused(Refusal.SIGNATURE)


def test_the_operators_amounts_are_bounded(desk: Desk) -> None:
    """Not zero, not negative, not beyond what every sum on file can hold; and an account opens once."""
    account = desk.account(5)
    for units in (0, -1, MOST_BALANCE - 4, 2**70):
        with pytest.raises(UserError, match="between 1 and"):
            desk.run(lambda book, units=units: credit(desk.bank, account.public, units, book))
    with pytest.raises(UserError, match="open already"):
        desk.run(lambda book: open_account(desk.bank, account.public, book))
    with pytest.raises(UserError, match="no account"):
        desk.run(lambda book: credit(desk.bank, bytes(32), 1, book))
    assert desk.newest(account).balance == 5


def test_a_deposit_can_not_overflow_a_balance(desk: Desk) -> None:
    """The coin stays unspent."""
    account = desk.account(MOST_BALANCE)
    assert desk.ask(desk.deposit(account, [desk.coin(0)])).body == Refused(Refusal.BALANCE)
    assert desk.count("spent") == 0


def test_the_holder_s_newest_word_stays_on_file(desk: Desk) -> None:
    """One request for each account, the newest booked: not refused ones, nor older ones that are repeated."""
    account = desk.account(100)
    assert desk.run(lambda book: book.accepted(account.public)) == b""
    first, refused = desk.withdraw(account, [fresh(3)[1]]), desk.withdraw(account, [fresh(20)[1]])
    assert isinstance(desk.ask(refused).body, Refused)
    assert desk.run(lambda book: book.accepted(account.public)) == b""
    desk.ask(first)
    assert desk.run(lambda book: book.accepted(account.public)) == first.signed.encode()
    second = desk.deposit(account, [desk.coin(2)])
    desk.ask(second)
    desk.ask(first)
    desk.reopen()
    assert desk.run(lambda book: book.accepted(account.public)) == second.signed.encode()


def test_many_readings_in_a_batch_ask_the_store_a_few_times(desk: Desk) -> None:
    """From a different statement each: row by row each of them would make all others begin again."""
    account = desk.account(8)
    asked = [
        encode_request(sign_read(account, desk.bank, sequence)) for sequence in (0, 1, 2, 3, 9, 2**64 - 1)
    ]
    prepared = [prepare(data, desk.signer, desk.moment) for data in asked]
    runs: list[int] = []

    def work(book: Books) -> list[bytes]:
        runs.append(1)
        book.expect(prepared)
        return [settle(one, desk.signer, book, desk.moment) for one in prepared]

    bodies = [Answer.decode(data).body for data in desk.run(work)]
    assert [len(body.statements) for body in bodies if isinstance(body, Statements)] == [2, 2, 1, 0, 0, 0]
    assert len(runs) <= 2

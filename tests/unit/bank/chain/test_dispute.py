"""Chains of statements: checked alone, and each way in which two sides can dispute."""

import dataclasses
import os

import pytest

from bank.chain.check import Checked, check
from bank.chain.dispute import Verdict, decide
from bank.chain.file import Chain
from bank.formats.account import (
    NO_HEAD,
    AccountRequest,
    Operation,
    SignedAccountRequest,
    SignedStatement,
    Statement,
    sign_request,
    sign_statement,
)
from bank.formats.coin import CoinId, bank_id
from bank.formats.order import NOTHING, Output
from bank.formats.succession import BankKeys, Cut, KeyChange
from mixmint.errors import UserError
from mixmint.keys import SigningKey

BANK, NEXT, HOLDER, OTHER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3, 4))
AUTHORITY = SigningKey(b"\5" * 32)
ID = bank_id(BANK.public)
KEYS = BankKeys(BANK.public)


class Ledger:
    """Both sides' hands: the bank's statements, the holder's requests."""

    def __init__(self) -> None:
        self.key = BANK
        self.statements: list[SignedStatement] = []
        self.requests: list[SignedAccountRequest] = []
        self.book(Operation.OPENED, 0, NOTHING)

    @property
    def newest(self) -> Statement:
        return self.statements[-1].statement

    def book(self, operation: Operation, amount: int, digest: bytes, balance: int | None = None) -> None:
        """The bank writes a statement, whoever asked."""
        before = self.newest if self.statements else None
        change = -amount if operation is Operation.WITHDRAW else amount
        number, head = (before.sequence + 1, before.head()) if before else (1, NO_HEAD)
        after = (before.balance if before else 0) + change if balance is None else balance
        made = Statement(ID, HOLDER.public, number, operation, amount, after, digest, head, 0)
        self.statements.append(sign_statement(self.key, made))

    def ask(self, operation: Operation, amount: int = 0) -> SignedAccountRequest:
        """The holder signs a request for the next statement."""
        outputs = tuple(
            Output(CoinId(os.urandom(32)), exponent) for exponent in range(10) if amount >> exponent & 1
        )
        seal = NOTHING if operation is Operation.WITHDRAW else b"s" * 32
        asked = AccountRequest(
            ID,
            HOLDER.public,
            self.newest.sequence + 1,
            self.newest.head(),
            operation,
            os.urandom(16),
            9,
            seal,
            tuple(sorted(outputs, key=lambda output: output.coin)) if seal == NOTHING else (),
        )
        signed = sign_request(HOLDER, asked)
        self.requests.append(signed)
        return signed

    def credit(self, amount: int) -> None:
        self.book(Operation.CREDIT, amount, NOTHING)

    def withdraw(self, amount: int) -> None:
        self.book(Operation.WITHDRAW, amount, self.ask(Operation.WITHDRAW, amount).request.digest())

    def deposit(self, amount: int) -> None:
        self.book(Operation.DEPOSIT, amount, self.ask(Operation.DEPOSIT).request.digest())

    def copy(self) -> "Ledger":
        made = Ledger()
        made.statements, made.requests = list(self.statements), list(self.requests)
        return made

    def chain(self, upto: int | None = None, requests: int | None = None) -> Chain:
        """What one side shows: its first statements, and its newest requests."""
        kept = self.requests if requests is None else self.requests[len(self.requests) - requests :]
        return Chain(BANK.public, (), HOLDER.public, tuple(self.statements[:upto]), tuple(kept))

    def checked(self, upto: int | None = None, requests: int | None = None) -> Checked:
        return check(self.chain(upto, requests), KEYS)


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    made.credit(100)
    made.withdraw(13)
    made.deposit(4)
    made.withdraw(1)
    return made


def test_an_honest_chain_holds_with_all_requests_or_the_newest_alone(ledger: Ledger) -> None:
    """The newest request names the head before it, and so accepts everything up to there."""
    for requests in (3, 1):
        found = ledger.checked(requests=requests)
        assert found.fault is None
        assert (found.accepted, found.balance, found.unbooked) == (5, 90, ())
        assert found.unaccepted() is None
    bare = ledger.checked(requests=0)
    assert bare.accepted == 0
    assert bare.unaccepted() == ledger.statements[2].statement


def test_a_file_reads_back_as_it_was_written(ledger: Ledger) -> None:
    """And anything else is one clear line."""
    chain = ledger.chain()
    data = chain.encode()
    assert Chain.decode(data) == chain
    for bad in (b"", b"{}", data[:-9], data.replace(b"chain/v1", b"chain/v2"), data.replace(b'"00', b'"zz')):
        if bad != data:
            with pytest.raises(UserError, match="no account's chain"):
                Chain.decode(bad)


def test_each_link_counts(ledger: Ledger) -> None:
    """A statement left out, changed, signed by another, of another account; a balance that doesn't add up."""
    whole = ledger.statements
    changed = SignedStatement(dataclasses.replace(whole[4].statement, amount=2), bytes(64))
    for statements, what in (
        ([*whole[:2], *whole[3:]], "doesn't follow"),
        ([*whole[:4], changed], "signed"),
        ([*whole[:4], sign_statement(OTHER, whole[4].statement)], "signed"),
        (
            [sign_statement(BANK, dataclasses.replace(whole[0].statement, account=OTHER.public))],
            "another bank or account",
        ),
    ):
        fault = check(dataclasses.replace(ledger.chain(), statements=tuple(statements)), KEYS).fault
        assert fault is not None
        assert fault.who == "file"
        assert what in fault.what
    ledger.book(Operation.CREDIT, 5, NOTHING, balance=7)
    fault = ledger.checked().fault
    assert fault is not None
    assert (fault.who, fault.sequence) == ("bank", 6)


def test_a_booking_says_what_the_holder_asked_for(ledger: Ledger) -> None:
    """One unit more than that is the bank's to explain; a request that he never signed proves nothing."""
    asked = ledger.ask(Operation.WITHDRAW, 4)
    ledger.book(Operation.WITHDRAW, 5, asked.request.digest())
    fault = ledger.checked().fault
    assert fault is not None
    assert (fault.who, fault.sequence) == ("bank", 6)
    forged = sign_request(OTHER, ledger.requests[0].request)
    fault = check(dataclasses.replace(ledger.chain(5), requests=(forged,)), KEYS).fault
    assert fault is not None
    assert fault.who == "file"


def test_chains_that_agree(ledger: Ledger) -> None:
    """Whatever requests each side kept."""
    assert decide(ledger.checked(), ledger.checked(requests=1)) == Verdict(
        5, 0, "nobody", "the chains are one"
    )


def test_an_invented_booking_is_the_bank_s_to_explain(ledger: Ledger) -> None:
    """The bank shows a withdrawal that the holder's chain doesn't have, and no word of his for it."""
    holder = ledger.copy()
    ledger.book(Operation.WITHDRAW, 50, os.urandom(32))
    verdict = decide(holder.checked(), ledger.checked(requests=1))
    assert (verdict.agreed, verdict.parted, verdict.explains) == (5, 6, "bank")
    assert "request that the holder signed for statement 6 (withdraw of 50 units)" in verdict.sentence


def test_a_denied_withdrawal_stands_by_the_holder_s_own_word(ledger: Ledger) -> None:
    """His file leaves it out; the bank has his request, or any later one."""
    holder = ledger.copy()
    ledger.withdraw(50)
    for later in (False, True):
        if later:
            ledger.deposit(2)
        verdict = decide(ledger.checked(requests=1), holder.checked())
        assert (verdict.parted, verdict.explains) == (6, "shorter")
        assert "both sides signed" in verdict.sentence


def test_a_forked_chain_convicts_the_bank(ledger: Ledger) -> None:
    """Two statements with one number; whichever the holder accepted, and in one file or in two."""
    other = ledger.copy()
    ledger.credit(7)
    ledger.withdraw(1)
    other.credit(6)
    for one, two in ((ledger, other), (other, ledger)):
        verdict = decide(one.checked(), two.checked())
        assert (verdict.agreed, verdict.parted, verdict.explains) == (5, 6, "bank")
        assert "two different statements 6" in verdict.sentence
    both = dataclasses.replace(
        ledger.chain(), statements=(*ledger.statements[:6], other.statements[5], *ledger.statements[6:])
    )
    verdict = decide(check(both, KEYS), ledger.checked())
    assert (verdict.parted, verdict.explains) == (6, "bank")


def test_a_cut_off_tail_changes_nothing(ledger: Ledger) -> None:
    """Who leaves out credits, or deposits that the holder asked for, is held to them all the same."""
    cut = ledger.copy()
    ledger.credit(20)
    verdict = decide(ledger.checked(), cut.checked())
    assert (verdict.parted, verdict.explains) == (6, "shorter")
    assert "which the bank signed" in verdict.sentence
    ledger.deposit(3)
    verdict = decide(cut.checked(), ledger.checked())
    assert (verdict.parted, verdict.explains) == (6, "shorter")


def test_the_holder_s_word_counts_in_whose_file_it_is(ledger: Ledger) -> None:
    """The bank lost the request, and the holder's own file has it."""
    cut = ledger.copy()
    ledger.withdraw(2)
    cut.requests = list(ledger.requests)
    verdict = decide(cut.checked(), ledger.checked(requests=0))
    assert verdict.explains == "shorter"
    assert cut.checked().unbooked == (ledger.requests[-1],)


def test_what_proves_nothing_decides_nothing(ledger: Ledger) -> None:
    """A damaged file, another account's."""
    bad = check(dataclasses.replace(ledger.chain(), statements=tuple(ledger.statements[2:])), KEYS)
    with pytest.raises(UserError, match="proves nothing"):
        decide(ledger.checked(), bad)
    foreign = check(dataclasses.replace(ledger.chain(0), account=OTHER.public), KEYS)
    with pytest.raises(UserError, match="two accounts"):
        decide(ledger.checked(), foreign)


def test_a_successor_goes_on_with_the_chain(ledger: Ledger) -> None:
    """By a key that the authorities let follow; the old one signs nothing after it; the balance must fit."""
    change = KeyChange(ID, 1, BANK.public, NEXT.public, Cut(10, bytes(32)), 5).signed_by(AUTHORITY)
    ledger.key = NEXT
    ledger.book(Operation.RECOVERED, 0, NOTHING)
    ledger.withdraw(3)
    chain = dataclasses.replace(ledger.chain(), changes=(change,))
    with pytest.raises(UserError, match="--network"):
        chain.keys(None, 1)
    with pytest.raises(UserError, match="authorities"):
        chain.keys([OTHER.public], 1)
    keys = chain.keys([AUTHORITY.public], 1)
    assert check(chain, keys).fault is None
    assert Chain.decode(chain.encode()) == chain
    ledger.key = BANK
    ledger.credit(1)
    fault = check(dataclasses.replace(chain, statements=tuple(ledger.statements)), keys).fault
    assert fault is not None
    assert fault.who == "file"
    wrong = Ledger()
    wrong.credit(9)
    wrong.key = NEXT
    wrong.book(Operation.RECOVERED, 0, NOTHING, balance=8)
    fault = check(dataclasses.replace(wrong.chain(), changes=(change,)), keys).fault
    assert fault is not None
    assert fault.who == "bank"

"""Claims through the ledger: what the bank puts on the board; and no honest answer can be called a lie."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bank.board.accusation.lies import AnswerFalse, Named
from bank.claims.truth import Shown, falsehood
from bank.formats.account import (
    NO_HEAD,
    AccountRequest,
    Operation,
    Statement,
    sign_request,
    sign_statement,
)
from bank.formats.answer import (
    NO_SUCH_HOLD,
    Answer,
    Certificates,
    Credited,
    Hold,
    Refusal,
    Refused,
    Spent,
    Statements,
)
from bank.formats.claim import Claim
from bank.formats.coin import coin_id
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import NOTHING
from bank.formats.request import Execute, Withdraw
from bank.ledger import Signer
from bank.ledger.accounts import open_account
from bank.ledger.book import SpentCoin, Value
from bank.ledger.successor import FROM_THE_BOARD
from mixmint.keys import SigningKey
from tests.unit.bank.claims.scenes import SCENES, answer, show
from tests.unit.bank.desk import Desk, fresh


@pytest.mark.parametrize("name", SCENES)
def test_claims_are_answered_like_requests(desk: Desk, name: str) -> None:
    """Certificates by the order's own entries; everything else by an answer that names the claim."""
    scene = SCENES[name]
    claim = scene.make(desk)
    assert claim.objection(desk.key.public, desk.bank) is None
    before = len(desk.groups())
    said = answer(desk, claim)
    if not scene.says:
        assert said is None
        (group,) = desk.groups()[before:]
        assert [entry.coin for entry in group if isinstance(entry, CertifiedEntry)] == [
            output.coin for output in claim.order.order.outputs
        ]
        assert len([entry for entry in group if isinstance(entry, SpentEntry)]) == len(
            claim.order.order.inputs
        )
        return
    assert type(said.body).__name__ == scene.says
    if scene.reason:
        assert said.body.reason is Refusal[scene.reason]


@pytest.mark.parametrize("name", SCENES)
def test_the_same_claim_again_changes_nothing(desk: Desk, name: str) -> None:
    """After a crash between commit and feeding, or in a bank that reads its board once more."""
    claim = SCENES[name].make(desk)
    answer(desk, claim)
    units, spent = desk.units("certified"), desk.units("spent")
    again = answer(desk, claim)
    assert (desk.units("certified"), desk.units("spent")) == (units, spent)
    assert again is not None


@pytest.mark.parametrize("name", SCENES)
def test_no_honest_answer_is_a_lie(desk: Desk, name: str) -> None:
    """Neither the one to the claim, nor the one that the bank gave when it was asked directly."""
    claim = SCENES[name].make(desk)
    head = desk.newest(_account(desk, claim)) if claim.account else None
    named = head if head is not None and head.head() == claim.account.request.head else None
    shown = Shown(claim, desk.key.public, desk.bank, desk.closed, named)
    direct = desk.ask(claim.request)
    assert falsehood(replace(shown, asked=True), direct.body) is None
    for _ in range(2):
        said = answer(desk, claim)
        assert said is None or falsehood(shown, said.body) is None
    for evidence in (
        AnswerFalse(desk.key.public, Named.REQUEST, claim, direct),
        AnswerFalse(desk.key.public, Named.CLAIM, claim, said),
        AnswerFalse(desk.key.public, Named.CLAIM, claim, direct),
    ):
        assert evidence.objection() is not None


def _account(desk: Desk, claim) -> SigningKey:
    """Its public half is all that ``newest`` needs."""
    return SimpleNamespace(public=claim.account.request.account)


def test_a_successor_answers_what_was_certified_before_one_input_was_spent(desk: Desk) -> None:
    """His predecessor's cheat: nothing is left to publish, so the answer itself must stand on the board."""
    desk.signer = Signer(desk.key, desk.terms, desk.bank, 100)
    order = desk.order([desk.coin(), desk.coin()], [fresh(4)[1]])
    (output,) = order.order.outputs
    key, signature = order.order.inputs[1], order.signatures[1]
    spent = SpentCoin(order.seal, signature, 5, FROM_THE_BOARD)
    assert desk.run(lambda book: book.spend(key, coin_id(key), spent, 0))
    assert desk.run(lambda book: book.certify(output.coin, Value(4, 1), NOTHING, 0))
    said = answer(desk, show(desk, order))
    assert said is not None
    assert isinstance(said.body, Certificates)
    assert desk.groups() == []


def test_a_refusal_from_before_the_coin_was_certified_is_no_lie(desk: Desk) -> None:
    """A customer asks too early, is refused, has the coin certified, and shows both."""
    key, output = fresh(3)
    early = desk.order([key], [fresh(3)[1]])
    refused = desk.ask(early)
    assert refused.body == Refused(Refusal.UNKNOWN_CERTIFICATE, 0)
    desk.ask(desk.order([desk.coin(3)], [output]))
    claim = show(desk, early)
    assert claim.objection(desk.key.public, desk.bank) is None
    shown = Shown(claim, desk.key.public, desk.bank, desk.closed, asked=True)
    assert falsehood(shown, refused.body) is None
    assert AnswerFalse(desk.key.public, Named.REQUEST, claim, refused).objection() is not None
    assert AnswerFalse(desk.key.public, Named.CLAIM, claim, refused).objection() is not None
    assert falsehood(replace(shown, asked=False), refused.body) is not None


def test_a_seal_that_somebody_made_up_names_nothing(desk: Desk) -> None:
    """
    Whoever executes takes what he likes for a seal: the name of a claim, or of an account's request. That the
    bank knows of no such hold is no answer to those.
    """
    for name in ("new", "withdrawal", "execution"):
        claim = SCENES[name].make(desk)
        for subject, named in ((claim.answer_subject, Named.CLAIM), (claim.subject, Named.REQUEST)):
            said = desk.ask(Execute(subject, bytes(32)))
            if said.body == NO_SUCH_HOLD:
                assert said.subject not in (claim.subject, claim.answer_subject)
            assert AnswerFalse(desk.key.public, named, claim, said).objection() is not None


def test_a_refusal_of_a_false_signature_is_no_lie_about_the_true_order(desk: Desk) -> None:
    """The seal leaves the signatures out: an order and its forgery have one subject."""
    true = desk.order([desk.coin()], [fresh(3)[1]])
    forged = replace(true, signatures=(bytes(64),))
    refused = desk.ask(forged)
    assert refused.body == Refused(Refusal.SIGNATURE, 0)
    claim = show(desk, true)
    assert AnswerFalse(desk.key.public, Named.REQUEST, claim, refused).objection() is not None
    assert falsehood(Shown(claim, desk.key.public, desk.bank, 7), refused.body) is not None


def test_lateness_is_judged_by_the_claims_own_round(desk: Desk) -> None:
    """A bank that keeps silent until everything is too late gains nothing by it."""
    order = desk.order([desk.coin()], [fresh(3)[1]], last_round=9)
    claim = show(desk, order)
    desk.closed = 40
    assert answer(desk, claim, round_=9) is None
    late = show(desk, desk.order([desk.coin()], [fresh(3)[1]], last_round=9))
    assert answer(desk, late, round_=10).body == Refused(Refusal.TOO_LATE)
    shown = Shown(late, desk.key.public, desk.bank, 10)
    assert falsehood(shown, Refused(Refusal.TOO_LATE)) is None
    assert falsehood(replace(shown, round=9), Refused(Refusal.TOO_LATE)) is not None


def test_the_age_of_coins_is_judged_by_the_claims_own_round(desk: Desk) -> None:
    """Twelve epochs of life, three of grace: a bank that lets a claim wait lets none of its coins expire."""
    claim = show(desk, desk.order([desk.coin()], [fresh(3)[1]]))
    claimed = desk.epoch + 14
    desk.epoch += 15
    late = show(desk, desk.order([desk.coin(epoch=desk.epoch - 15)], [fresh(3)[1]]), desk.epoch - 15)
    assert answer(desk, late, epoch=desk.epoch).body == Refused(Refusal.EXPIRED_COIN, 0)
    assert answer(desk, claim, epoch=claimed) is None
    (made,) = [entry for entry in desk.groups()[-1] if isinstance(entry, CertifiedEntry)]
    assert made.epoch == desk.epoch


def test_no_claim_brings_a_retired_coin_to_life(desk: Desk) -> None:
    """Whatever its board says of the time: how it was spent may be forgotten already."""
    claim = show(desk, desk.order([desk.coin()], [fresh(3)[1]]))
    desk.epoch += 20
    desk.retire(desk.epoch - 10)
    assert answer(desk, claim, epoch=3).body == Refused(Refusal.EXPIRED_COIN, 0)


def test_no_coin_is_too_old_under_its_hold(desk: Desk) -> None:
    """A board that stands still for long: coins go by the clock, and the hold by rounds."""
    for late, says in ((0, None), (1, Refused(Refusal.EXPIRED_COIN, 0))):
        claim = SCENES["execution by the hold"].make(desk)
        assert claim.hold is not None
        assert isinstance(claim.hold.body, Hold)
        desk.closed = claim.hold.body.to_round + late
        desk.epoch += 20
        said = answer(desk, claim, epoch=desk.epoch)
        assert (said and said.body) == says
        assert (
            said is None
            or falsehood(Shown(claim, desk.key.public, desk.bank, desk.closed), said.body) is None
        )


def test_a_deposit_is_as_old_as_its_claim(desk: Desk) -> None:
    """In its grace a coin can't be deposited; it wasn't in it when it was claimed."""
    claim = show(desk, desk.deposit(desk.account(0), [desk.coin()]))
    claimed, desk.epoch = desk.epoch + 11, desk.epoch + 12
    assert isinstance(answer(desk, claim, epoch=claimed).body, Credited)


def test_an_execution_that_is_claimed_is_never_spent_by_itself(desk: Desk) -> None:
    """*Execute* may say so of what was settled. The claim shows the order, and so all its certificates."""
    claim = SCENES["execution, settled"].make(desk)
    itself = desk.ask(Execute(claim.order.seal, claim.h))
    assert type(itself.body) is Spent
    shown = Shown(claim, desk.key.public, desk.bank, desk.closed)
    assert falsehood(replace(shown, asked=True), itself.body) is None
    assert falsehood(shown, itself.body) is not None


@pytest.mark.parametrize("reason", [Refusal.NO_HOLD, Refusal.WRONG_H, Refusal.SUMS, Refusal.BUSY])
def test_no_execution_is_refused_for_what_its_claim_contradicts(desk: Desk, reason: Refusal) -> None:
    """Its h opens the order, and the bank held it."""
    claim = SCENES["execution by the hold"].make(desk)
    assert falsehood(Shown(claim, desk.key.public, desk.bank, 7), Refused(reason)) is not None


def test_a_coin_can_not_expire_under_its_hold(desk: Desk) -> None:
    """No hold outlives its coins, so no terms are needed to see it."""
    claim = SCENES["execution by the hold"].make(desk)
    shown, expired = Shown(claim, desk.key.public, desk.bank, desk.closed), Refused(Refusal.EXPIRED_COIN, 0)
    assert falsehood(shown, expired) is not None
    assert falsehood(replace(shown, round=desk.closed + desk.terms.hold_rounds + 1), expired) is None


def test_a_false_execution_is_nobodys_debt(desk: Desk) -> None:
    """Another h, a hold of another order, a refusal instead of a hold."""
    true, other = (SCENES["execution by the hold"].make(desk) for _ in range(2))
    key, bank = desk.key.public, desk.bank
    assert true.objection(key, bank) is None
    assert replace(true, h=bytes(32)).objection(key, bank) is not None
    assert replace(true, hold=other.hold).objection(key, bank) is not None
    refused = Answer.decode(desk.signer.answer(true.order.seal, Refused(Refusal.BUSY)))
    assert replace(true, hold=refused).objection(key, bank) is not None
    forged = Answer.decode(
        Signer(SigningKey.generate(), desk.terms, bank).answer(true.order.seal, true.hold.body)
    )
    assert replace(true, hold=forged).objection(key, bank) is not None
    assert Claim.decode(true.encode()) == true


def test_a_replacement_shows_what_both_have_signed(desk: Desk) -> None:
    """A receipt that the bank didn't sign makes no debt; *unknown certificate* contradicts the other."""
    claim = SCENES["replacement"].make(desk)
    request = claim.request
    assert Claim.decode(claim.encode()) == claim
    stranger = SigningKey.generate()
    for false in (
        replace(request, withdrawal=sign_request(stranger, request.withdrawal.request)),
        replace(request, statement=sign_statement(stranger, request.statement.statement)),
    ):
        assert Claim(false).objection(desk.key.public, desk.bank) is not None
    shown = Shown(claim, desk.key.public, desk.bank, 7)
    for reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.SIGNATURE, Refusal.EXPIRED_COIN):
        assert falsehood(shown, Refused(reason)) is not None
    assert falsehood(shown, Refused(Refusal.ENDED_COIN, 9)) is not None


def test_balance_is_judged_by_the_statement_that_the_request_names(desk: Desk) -> None:
    """It says what the balance was when the request was the chain's next: only then is it refused so."""
    account = desk.account(8)
    claim = show(desk, desk.withdraw(account, [fresh(3)[1]]))
    head = desk.newest(account)
    shown = Shown(claim, desk.key.public, desk.bank, 7, head)
    for reason in (Refusal.BALANCE, Refusal.SEQUENCE):
        assert falsehood(shown, Refused(reason)) is not None
    signed = sign_statement(desk.key, head)
    lie = desk.signer.answer(claim.subject, Refused(Refusal.BALANCE))
    evidence = AnswerFalse(desk.key.public, Named.REQUEST, claim, Answer.decode(lie), signed)
    assert evidence.objection() is None
    other = sign_statement(desk.key, desk.newest(desk.account(8)))
    assert replace(evidence, head=other).objection() is not None
    assert replace(evidence, head=None).objection() is not None
    poor = show(desk, desk.withdraw(account, [fresh(4)[1]]))
    assert falsehood(replace(shown, claim=poor), Refused(Refusal.BALANCE)) is None


def test_an_opening_that_was_foretold_makes_no_lie_of_no_account(desk: Desk) -> None:
    """An account's first statement is known before there is one: its hash can be named too early."""
    account = SigningKey.generate()
    bank = desk.bank
    opened = Statement(bank, account.public, 1, Operation.OPENED, 0, 0, NOTHING, NO_HEAD, 0)
    asked = AccountRequest(
        *(bank, account.public, 2, opened.head(), Operation.WITHDRAW, bytes(16), 99),
        outputs=(fresh(3)[1],),
    )
    request = Withdraw(sign_request(account, asked))
    said = desk.ask(request)
    assert said.body == Refused(Refusal.NO_ACCOUNT)
    assert desk.run(lambda book: open_account(bank, account.public, book)) == opened
    head = sign_statement(desk.key, opened)
    evidence = AnswerFalse(desk.key.public, Named.REQUEST, show(desk, request), said, head)
    assert evidence.objection() is not None


def test_statements_that_were_foretold_were_not_left_out(desk: Desk) -> None:
    """
    A holder claims with the head of a statement that the bank will only sign a round later; it shows his
    newest one, truly, and then signs that very statement.
    """
    account = desk.account(16)
    first = desk.withdraw(account, [fresh(3)[1]])
    newest, asked = desk.newest(account), first.signed.request
    coming = Statement(
        *(desk.bank, account.public, 3, Operation.WITHDRAW, 8, 8, asked.digest(), newest.head()),
        round=desk.closed + 1 + desk.terms.promise_rounds,
    )
    ahead = replace(asked, sequence=4, head=coming.head())
    claim = show(desk, Withdraw(sign_request(account, ahead)))
    said = answer(desk, claim)
    assert said is not None
    assert isinstance(said.body, Statements)
    claimed = desk.closed
    desk.closed += 1
    desk.ask(first)
    assert desk.newest(account) == coming
    shown = Shown(claim, desk.key.public, desk.bank, claimed, coming)
    assert falsehood(shown, said.body) is None
    evidence = AnswerFalse(desk.key.public, Named.CLAIM, claim, said, sign_statement(desk.key, coming))
    assert evidence.objection() is not None
    # In a claim of the promised round, it would have been the bank's word of before.
    assert falsehood(replace(shown, round=coming.round), said.body) is not None
    assert falsehood(replace(shown, round=coming.round), Refused(Refusal.NO_ACCOUNT)) is not None
    assert falsehood(replace(shown, own=True), said.body) is not None

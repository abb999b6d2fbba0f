"""Claims at a bank's desk: each scene is an honest customer's, or somebody's who wants to frame the bank."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bank.board.reading.cursor import Cursor
from bank.claims.answering import Posted, answer_claim
from bank.comparison import Compared
from bank.confirmer import confirm
from bank.formats.account import sign_request
from bank.formats.answer import Answer, Hold, Withdrawn
from bank.formats.claim import Claim, ClaimRequest, ShownCertificate
from bank.formats.coin import coin_id, sign_certificate
from bank.formats.entry import AnswerEntry, decode_entry
from bank.formats.order import SignedOrder, tau_of
from bank.formats.request import Deposit, Execute, Withdraw
from tests.unit.bank.desk import Desk, fresh


def show(desk: Desk, request: ClaimRequest, *epochs: int, h: bytes = b"") -> Claim:
    """
    The request as a claim, with its coins' true certificates (8 units each, of this epoch or of these); with
    ``h``, that it be executed.
    """
    order = request if isinstance(request, SignedOrder) else getattr(request, "order", None)
    keys = () if order is None else order.order.inputs
    shown = []
    for place, key in enumerate(keys):
        epoch = epochs[place] if epochs else desk.epoch
        signed = sign_certificate(desk.key, desk.bank, 3, epoch, coin_id(key))
        shown.append(ShownCertificate(3, epoch, signed))
    return Claim(request, tuple(shown), h)


def answer(desk: Desk, claim: Claim, round_: int | None = None, epoch: int | None = None) -> Answer | None:
    """
    What the bank puts on the board for a claim of this round (the newest closed one, if not said), which
    closed in this coin epoch (now, if not said).
    """
    posted = Posted(desk.closed if round_ is None else round_, epoch)
    entry = desk.store.run(lambda book: answer_claim(claim, posted, desk.signer, book, desk.moment))
    if entry is None:
        return None
    found = decode_entry(entry)
    assert isinstance(found, AnswerEntry)
    said = Answer.decode(found.body)
    assert said.holds(desk.key.public, desk.bank)
    assert said.subject == claim.answer_subject
    return said


@dataclass(frozen=True)
class Scene:
    """``make``: the claim, after whatever happened at the desk before. ``round``: the claim's, from now."""

    make: Callable[[Desk], Claim]
    says: str
    reason: str = ""


def new_order(desk: Desk) -> Claim:
    return show(desk, desk.order([desk.coin(), desk.coin()], [fresh(4)[1]]))


def executed_before(desk: Desk) -> Claim:
    order = desk.order([desk.coin()], [fresh(3)[1]])
    desk.ask(order)
    desk.closed += 50
    return show(desk, order)


def spent_by_another(desk: Desk) -> Claim:
    """The thief of a bearer coin was faster."""
    key = desk.coin()
    desk.ask(desk.order([key], [fresh(3)[1]]))
    return show(desk, desk.order([key], [fresh(3)[1]]))


def deposited_by_another(desk: Desk) -> Claim:
    key = desk.coin()
    desk.ask(desk.deposit(desk.account(0), [key]))
    return show(desk, desk.order([key], [fresh(3)[1]]))


def held_by_another(desk: Desk) -> Claim:
    key = desk.coin()
    desk.ask(desk.order([key], [fresh(3)[1]], tau=tau_of(bytes(32))))
    return show(desk, desk.order([key], [fresh(3)[1]]))


def hold_that_ends_now(desk: Desk) -> Claim:
    """Live until the very round that the claim comes in."""
    claim = held_by_another(desk)
    desk.closed += desk.terms.hold_rounds - 1
    return claim


def lapsed_hold(desk: Desk) -> Claim:
    claim = held_by_another(desk)
    desk.closed += desk.terms.hold_rounds
    return claim


def id_taken(desk: Desk) -> Claim:
    """Somebody who saw the request had its id certified with a coin of his own."""
    _, output = fresh(3)
    desk.ask(desk.order([desk.coin()], [output]))
    return show(desk, desk.order([desk.coin()], [output]))


def id_promised(desk: Desk) -> Claim:
    _, output = fresh(3)
    desk.ask(desk.order([desk.coin()], [output], tau=tau_of(bytes(32))))
    return show(desk, desk.order([desk.coin()], [output]))


def sums_differ(desk: Desk) -> Claim:
    return show(desk, desk.order([desk.coin()], [fresh(5)[1]]))


def asks_for_a_hold(desk: Desk) -> Claim:
    return show(desk, desk.order([desk.coin()], [fresh(3)[1]], tau=tau_of(bytes(32))))


def late_hold(desk: Desk) -> Claim:
    order = desk.order([desk.coin()], [fresh(3)[1]], tau=tau_of(bytes(32)), last_round=desk.closed)
    return show(desk, order)


def too_late(desk: Desk) -> Claim:
    return show(desk, desk.order([desk.coin()], [fresh(3)[1]], last_round=desk.closed - 1))


def in_the_last_round(desk: Desk) -> Claim:
    """The claim is in its order's last round, which is closed when the bank reads it."""
    return show(desk, desk.order([desk.coin()], [fresh(3)[1]], last_round=desk.closed))


def too_old(desk: Desk) -> Claim:
    """The bank's terms in these tests: 12 epochs of life, 3 of grace."""
    claim = show(desk, desk.order([desk.coin()], [fresh(3)[1]]))
    desk.epoch += 15
    return claim


def withdrawal(desk: Desk) -> Claim:
    return show(desk, desk.withdraw(desk.account(8), [fresh(3)[1]]))


def withdrawn_before(desk: Desk) -> Claim:
    asked = desk.withdraw(desk.account(8), [fresh(3)[1]])
    desk.ask(asked)
    return show(desk, asked)


def overdrawn(desk: Desk) -> Claim:
    return show(desk, desk.withdraw(desk.account(7), [fresh(3)[1]]))


def another_was_first(desk: Desk) -> Claim:
    """A second device of the holder's used the sequence."""
    account = desk.account(16)
    mine = desk.withdraw(account, [fresh(3)[1]])
    desk.ask(desk.withdraw(account, [fresh(3)[1]]))
    return show(desk, mine)


def far_ahead(desk: Desk) -> Claim:
    """Sequence and head of nothing that the bank ever said."""
    account = desk.account(16)
    asked = desk.withdraw(account, [fresh(3)[1]]).signed.request
    return show(desk, Withdraw(sign_request(account, replace(asked, sequence=9, head=bytes(range(32))))))


def invented_head(desk: Desk) -> Claim:
    account = desk.account(16)
    asked = desk.withdraw(account, [fresh(3)[1]]).signed.request
    return show(desk, Withdraw(sign_request(account, replace(asked, head=bytes(range(32))))))


def before_the_first(desk: Desk) -> Claim:
    """No chain has a statement 0, so none stands there."""
    account = desk.account(16)
    asked = desk.withdraw(account, [fresh(3)[1]]).signed.request
    return show(desk, Withdraw(sign_request(account, replace(asked, sequence=0))))


def withdrawal_of_a_taken_id(desk: Desk) -> Claim:
    _, output = fresh(3)
    desk.ask(desk.order([desk.coin()], [output]))
    return show(desk, desk.withdraw(desk.account(8), [output]))


def deposit(desk: Desk) -> Claim:
    return show(desk, desk.deposit(desk.account(0), [desk.coin(), desk.coin()]))


def deposited_before(desk: Desk) -> Claim:
    asked = desk.deposit(desk.account(0), [desk.coin()])
    desk.ask(asked)
    return show(desk, asked)


def deposited_under_another_request(desk: Desk) -> Claim:
    """The same order, brought by two requests of the account."""
    account = desk.account(0)
    first = desk.deposit(account, [desk.coin()])
    desk.ask(first)
    newest = desk.newest(account)
    again = replace(first.signed.request, sequence=newest.sequence + 1, head=newest.head())
    return show(desk, Deposit(sign_request(account, again), first.order))


def deposit_of_a_spent_coin(desk: Desk) -> Claim:
    key = desk.coin()
    desk.ask(desk.order([key], [fresh(3)[1]]))
    return show(desk, desk.deposit(desk.account(0), [key]))


def deposit_in_grace(desk: Desk) -> Claim:
    claim = show(desk, desk.deposit(desk.account(0), [desk.coin()]))
    desk.epoch += 12
    return claim


H = bytes(range(32))


def held_for_us(desk: Desk) -> SignedOrder:
    """A hold, on file at the bank; the payee has h."""
    order = desk.order([desk.coin()], [fresh(3)[1]], tau=tau_of(H))
    assert isinstance(desk.ask(order).body, Hold)
    return order


def execution(desk: Desk) -> Claim:
    return show(desk, held_for_us(desk), h=H)


def execution_by_the_hold(desk: Desk) -> Claim:
    """The payee has no certificates; the bank's hold says that they are good."""
    order = desk.order([desk.coin()], [fresh(3)[1]], tau=tau_of(H))
    return Claim(order, (), H, desk.ask(order))


def late_execution(desk: Desk) -> Claim:
    """The hold is over, the coins are free."""
    claim = execution(desk)
    desk.closed += desk.terms.hold_rounds
    return claim


def execution_never_held(desk: Desk) -> Claim:
    return show(desk, desk.order([desk.coin()], [fresh(3)[1]], tau=tau_of(H)), h=H)


def executed_hold(desk: Desk) -> Claim:
    order = held_for_us(desk)
    desk.ask(Execute(order.seal, H))
    return show(desk, order, h=H)


def settled_hold(desk: Desk) -> Claim:
    """The books have forgotten the order, whose entries are on the board; to *execute* they say *spent*."""
    claim = executed_hold(desk)
    group = desk.run(lambda book: book.state().next_group)
    desk.run(lambda book: confirm(book, Compared(Cursor(1), group, True, None)))
    return claim


def hold_that_was_executed(desk: Desk) -> Claim:
    """Its payer doesn't know the h that his payee has shown."""
    order = settled_hold(desk).order
    assert order is not None
    return show(desk, order)


def taken_back(desk: Desk) -> Claim:
    """The payer was first, after the hold."""
    key = desk.coin()
    order = desk.order([key], [fresh(3)[1]], tau=tau_of(H))
    desk.ask(order)
    desk.closed += desk.terms.hold_rounds
    desk.ask(desk.order([key], [fresh(3)[1]]))
    return show(desk, order, h=H)


def replacement(desk: Desk) -> Claim:
    """A withdrawn coin whose epoch is swept, back to its account."""
    account, (_, output) = desk.account(8), fresh(3)
    asked = desk.withdraw(account, [output])
    receipt = desk.ask(asked).body
    assert isinstance(receipt, Withdrawn)
    desk.epoch += 20
    desk.retire(desk.epoch - 1)
    return show(desk, desk.replace(account, asked, receipt, [output]))


def replaced_before(desk: Desk) -> Claim:
    claim = replacement(desk)
    desk.ask(claim.request)
    return claim


def replacement_too_early(desk: Desk) -> Claim:
    account, (_, output) = desk.account(8), fresh(3)
    asked = desk.withdraw(account, [output])
    receipt = desk.ask(asked).body
    assert isinstance(receipt, Withdrawn)
    return show(desk, desk.replace(account, asked, receipt, [output]))


def replacement_of_a_spent_coin(desk: Desk) -> Claim:
    account, (key, output) = desk.account(8), fresh(3)
    asked = desk.withdraw(account, [output])
    receipt = desk.ask(asked).body
    assert isinstance(receipt, Withdrawn)
    desk.ask(desk.order([key], [fresh(3)[1]]))
    desk.epoch += 20
    desk.retire(desk.epoch - 1)
    return show(desk, desk.replace(account, asked, receipt, [output]))


SCENES = {
    "new": Scene(new_order, ""),
    "executed before": Scene(executed_before, "Certificates"),
    "spent": Scene(spent_by_another, "Spent"),
    "deposited": Scene(deposited_by_another, "Spent"),
    "held": Scene(held_by_another, "Held"),
    "held until now": Scene(hold_that_ends_now, "Held"),
    "hold lapsed": Scene(lapsed_hold, ""),
    "taken": Scene(id_taken, "Taken"),
    "promised": Scene(id_promised, "Taken"),
    "sums": Scene(sums_differ, "Refused", "SUMS"),
    "hold": Scene(asks_for_a_hold, "Hold"),
    "late hold": Scene(late_hold, "Refused", "TOO_LATE"),
    "too late": Scene(too_late, "Refused", "TOO_LATE"),
    "last round": Scene(in_the_last_round, ""),
    "expired": Scene(too_old, "Refused", "EXPIRED_COIN"),
    "withdrawal": Scene(withdrawal, "Withdrawn"),
    "withdrawn before": Scene(withdrawn_before, "Withdrawn"),
    "overdrawn": Scene(overdrawn, "Refused", "BALANCE"),
    "another device": Scene(another_was_first, "Statements"),
    "far ahead": Scene(far_ahead, "Statements"),
    "invented head": Scene(invented_head, "Statements"),
    "before the first": Scene(before_the_first, "Statements"),
    "withdrawal, taken": Scene(withdrawal_of_a_taken_id, "Taken"),
    "deposit": Scene(deposit, "Credited"),
    "deposited before": Scene(deposited_before, "Credited"),
    "deposited by another request": Scene(deposited_under_another_request, "Spent"),
    "deposit, spent": Scene(deposit_of_a_spent_coin, "Spent"),
    "deposit in grace": Scene(deposit_in_grace, "Refused", "EXPIRED_COIN"),
    "execution": Scene(execution, ""),
    "execution by the hold": Scene(execution_by_the_hold, ""),
    "execution, late": Scene(late_execution, ""),
    "execution, never held": Scene(execution_never_held, ""),
    "execution, executed": Scene(executed_hold, "Certificates"),
    "execution, settled": Scene(settled_hold, "Certificates"),
    "hold, executed": Scene(hold_that_was_executed, "Certificates"),
    "execution, taken back": Scene(taken_back, "Spent"),
    "replacement": Scene(replacement, "Credited"),
    "replaced before": Scene(replaced_before, "Credited"),
    "replacement, too early": Scene(replacement_too_early, "Refused", "NOT_YET"),
    "replacement, spent": Scene(replacement_of_a_spent_coin, "Refused", "ENDED_COIN"),
}

"""
What an answer may say of a request that a claim shows. Pure: bank, wallets and judges all look here.

``falsehood`` says why an answer can't be an honest bank's, whatever the bank's books say and whoever works
against it. What may have been true at the time is left alone: an answer to the request alone bears no time,
so *unknown certificate* may have come before the coin was certified. An answer to the claim itself names all
that the claim shows, so there it is false beside the certificate.

Source: docs/spec/claim.md, section 7; the answers: docs/spec/order.md, docs/spec/account.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bank.formats.account import Operation, SignedStatement, Statement
from bank.formats.answer import (
    Body,
    Certificates,
    Credited,
    Held,
    Hold,
    Promise,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    Withdrawn,
)
from bank.formats.claim import Claim
from bank.formats.coin import certificate_holds
from bank.formats.order import NOTHING, Output, SignedOrder
from bank.formats.request import Deposit, Replace, Withdraw

MOST_BALANCE = 1 << 62
"""Units of an account, as docs/spec/account.md has it."""
_NEVER = "it refuses for a reason that the request contradicts"
_KIND = "it is no answer to such a request"
_PROOF = "the proof that it carries doesn't hold"
_CERTIFICATE = "a certificate in it doesn't hold"
_STATEMENT = "the statement in it doesn't book the request"


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A true claim (``claim.objection`` is None) and what is known beside it. ``round``: the board's round that
    has it; 0 when that isn't known. ``named``: the statement that the account's request names as the chain's
    head, if it is at hand; its signature and hash were checked.

    ``asked``: the answer is one to the request itself, not to the claim on the board. ``own``: whoever looks
    made the request himself, and had the named statement by then.
    """

    claim: Claim
    bank_key: bytes
    bank: bytes
    round: int = 0
    named: Statement | None = None
    asked: bool = False
    own: bool = False

    @property
    def names_older(self) -> bool:
        """
        Whether the named statement is older than the answer.

        That the request names it doesn't show that: all of a statement can be foretold by who has it booked,
        so its hash can be named first, and the bank's signature be had later. But what promises a round was
        signed before that closed, and a claim is answered when its own has.
        """
        if self.named is None or self.own:
            return self.named is not None
        return not self.asked and 0 < self.named.round <= self.round

    @property
    def units(self) -> int:
        """What the coins that go in are worth."""
        return sum(1 << shown.exponent for shown in self.claim.certificates)


def falsehood(shown: Shown, body: Body) -> str | None:
    """Why the bank can't have said this in good faith; None when it may have."""
    request = shown.claim.request
    if isinstance(request, Replace) and isinstance(body, Credited):
        return _booked(shown, body.statement, _units_asked(shown))
    if isinstance(request, SignedOrder):
        return _of_order(shown, request, body)
    if isinstance(body, Statements):
        return _KIND if shown.asked else _instead(shown, body)
    if isinstance(body, Refused):
        return _account_refusal(shown, body)
    if isinstance(request, Withdraw):
        return _of_withdrawal(shown, request, body)
    return _of_deposit(shown, request, body) if isinstance(request, Deposit) else _KIND


def _of_order(shown: Shown, request: SignedOrder, body: Body) -> str | None:
    order, two_steps = request.order, request.order.tau != NOTHING
    # Hold and execution have one name, so a direct answer may have been either's.
    may_hold = shown.claim.asks_for_hold or (two_steps and shown.asked)
    match body:
        case Certificates():
            return _certificates(shown, order.outputs, body)
        case Hold():
            return None if may_hold else _KIND
        case Spent():  # Held too
            # Of what was settled long ago *execute* says no more. A claim brings the order, and with it all
            # that its certificates need.
            own = two_steps and shown.asked and type(body) is Spent
            return _spent(shown, request, body, own=own)
        case Taken():
            return _taken(shown, order.outputs, body, request.seal)
        case Refused():
            return _order_refusal(shown, request, body)
    return _KIND


def _of_withdrawal(shown: Shown, request: Withdraw, body: Body) -> str | None:
    outputs = request.signed.request.outputs
    if isinstance(body, Taken):
        return _taken(shown, outputs, body, b"")
    if not isinstance(body, Withdrawn):
        return _KIND
    units = sum(1 << output.exponent for output in outputs)
    return _booked(shown, body.statement, units) or _certificates(shown, outputs, body.certificates)


def _of_deposit(shown: Shown, request: Deposit, body: Body) -> str | None:
    if isinstance(body, Credited):
        return _booked(shown, body.statement, shown.units)
    if isinstance(body, Spent):
        # Spent by its own order: another request of the account's may have brought that.
        return _spent(shown, request.order, body, own=type(body) is Spent)
    return _KIND


def _certificates(shown: Shown, outputs: Sequence[Output], body: Certificates) -> str | None:
    if len(body.certificates) != len(outputs):
        return _CERTIFICATE
    for output, certificate in zip(outputs, body.certificates, strict=True):
        signed = (certificate, shown.bank, output.exponent, body.epoch, output.coin)
        if not certificate_holds(shown.bank_key, *signed):
            return _CERTIFICATE
    return None


def _spent(shown: Shown, order: SignedOrder, body: Spent, *, own: bool) -> str | None:
    """*Spent* and *held*. ``own``: whether it may name this very order."""
    inputs = order.order.inputs
    if body.index >= len(inputs) or inputs[body.index] != body.coin_key or not body.proves():
        return _PROOF
    if body.seal == order.seal and not own:
        return "it names the very order as the one in its way"
    if isinstance(body, Held):
        return _lapsed(shown, body.last_round)
    return None


def _taken(shown: Shown, outputs: Sequence[Output], body: Taken, seal: bytes) -> str | None:
    proof = body.proof
    if body.index >= len(outputs) or outputs[body.index].coin != proof.coin:
        return _PROOF
    if not proof.holds(shown.bank_key, shown.bank):
        return _PROOF
    if isinstance(proof, Promise):
        if proof.seal == seal:
            return "it names the very order as the one in its way"
        return _lapsed(shown, proof.last_round)
    return None


def _lapsed(shown: Shown, last_round: int) -> str | None:
    """An honest bank answers once the claim's round is closed, and names what is live then."""
    if not shown.asked and shown.round and last_round <= shown.round:
        return "what it names had lapsed before the claim"
    return None


def _order_refusal(shown: Shown, request: SignedOrder, body: Refused) -> str | None:
    order, reason = request.order, body.reason
    match reason:
        case Refusal.SUMS:
            equal = shown.units == sum(1 << output.exponent for output in order.outputs)
            return _NEVER if equal or shown.claim.hold is not None else None
        case Refusal.SIGNATURE | Refusal.NO_HOLD | Refusal.WRONG_H:
            # A seal leaves the signatures out, and who shows an h names the seal too.
            return None if shown.asked else _NEVER
        case Refusal.BUSY:
            may_hold = shown.claim.asks_for_hold or (order.tau != NOTHING and shown.asked)
            return None if may_hold else _NEVER
        case Refusal.TOO_LATE:
            return _in_time(shown, 0 if shown.claim.asks_for_hold else order.last_round)
        case Refusal.UNKNOWN_CERTIFICATE | Refusal.EXPIRED_COIN:
            return _coin_refusal(shown, body, len(order.inputs))
    return _NEVER


def _account_refusal(shown: Shown, body: Refused) -> str | None:
    claim, reason = shown.claim, body.reason
    account, order = claim.account, claim.order
    if account is None:
        return _NEVER
    asked = account.request
    match reason:
        case Refusal.SIGNATURE:
            return None if shown.asked or _is_of_earlier_key(shown) else _NEVER
        case Refusal.NOT_YET | Refusal.ENDED_COIN:
            # Whether an epoch is swept the bank's books say alone, and how a coin ended the whole log.
            known = isinstance(claim.request, Replace) and body.index < len(asked.outputs)
            return None if known else _NEVER
        case Refusal.SEQUENCE:
            return None if shown.asked else "it must show the statement that stands in the way"
        case Refusal.NO_ACCOUNT:
            return _NEVER if shown.names_older else None
        case Refusal.BALANCE:
            return _balance(shown, asked.operation)
        case Refusal.TOO_LATE:
            last = asked.last_round if order is None else min(asked.last_round, order.order.last_round)
            return _in_time(shown, last)
        case Refusal.UNKNOWN_CERTIFICATE | Refusal.EXPIRED_COIN:
            return _coin_refusal(shown, body, 0 if order is None else len(order.order.inputs))
    return _NEVER


def _is_of_earlier_key(shown: Shown) -> bool:
    """Of a replacement: whether another key booked the withdrawal, whose word a successor doesn't take."""
    request = shown.claim.request
    return isinstance(request, Replace) and not request.statement.holds(shown.bank_key)


def _coin_refusal(shown: Shown, body: Refused, inputs: int) -> str | None:
    """
    *Expired* needs the terms in force, which the whole log shows (the audit judges it); but no hold outlives
    its coins, and in its time what it holds can be exchanged.
    """
    if body.index >= inputs:
        return _NEVER
    hold = None if shown.claim.hold is None else shown.claim.hold.body
    if isinstance(hold, Hold) and not shown.asked and 0 < shown.round <= hold.to_round:
        return "it held the coin at that time"
    if body.reason is Refusal.UNKNOWN_CERTIFICATE and not shown.asked:
        return "it denies a coin whose certificate the claim shows"
    return None


def _in_time(shown: Shown, last_round: int) -> str | None:
    """A claim is judged by its own round: else the bank could wait until everything is too late."""
    if not shown.asked and 0 < shown.round <= last_round:
        return "the claim was on the board in time"
    return None


def _balance(shown: Shown, operation: Operation) -> str | None:
    if shown.named is None:
        return None
    units, balance = _units_asked(shown), shown.named.balance
    enough = balance >= units if operation is Operation.WITHDRAW else balance + units <= MOST_BALANCE
    return "the account's balance suffices, as the statement says that the request names" if enough else None


def _units_asked(shown: Shown) -> int:
    account = shown.claim.account
    if account is None or account.request.operation is Operation.DEPOSIT:
        return shown.units
    return sum(1 << output.exponent for output in account.request.outputs)


def _booked(shown: Shown, signed: SignedStatement, units: int) -> str | None:
    account = shown.claim.account
    statement = signed.statement
    if account is None or not signed.holds(shown.bank_key) or statement.bank != shown.bank:
        return _STATEMENT
    asked = account.request
    booked = (statement.account, statement.digest, statement.sequence, statement.operation)
    if booked != (asked.account, asked.digest(), asked.sequence, asked.operation):
        return _STATEMENT
    if statement.amount != units or statement.previous != asked.head:
        return _STATEMENT
    return _STATEMENT if shown.named is not None and not statement.follows(shown.named) else None


def _instead(shown: Shown, body: Statements) -> str | None:
    """Statements, in answer to a claim: the first stands where the request's was to stand, or before it."""
    account = shown.claim.account
    if account is None or not body.statements:
        return _KIND
    signed, asked = body.statements[0], account.request
    statement = signed.statement
    if not signed.holds(shown.bank_key) or (statement.bank, statement.account) != (shown.bank, asked.account):
        return _STATEMENT
    if statement.sequence == asked.sequence:
        return "the request was booked, and that isn't said" if statement.digest == asked.digest() else None
    if not asked.sequence:
        # Before the chain's beginning nothing can stand: that beginning is all that an honest bank can show.
        return None if statement.sequence == 1 else _STATEMENT
    if statement.sequence > asked.sequence:
        return _STATEMENT
    if statement.sequence == asked.sequence - 1:
        next_one = statement.head() == asked.head
        return "the request is the chain's next, and nothing stands in its way" if next_one else None
    hidden = "statements are left out that the bank signed before"
    return hidden if shown.names_older else None

"""
Whether an answer is the bank's, and answers what was asked. Only then is it believed.

1. It reads as an answer, and names this request (its subject).
2. The bank signed it.
3. Its kind fits the request: no statement of an account answers an order.
4. What it carries holds by itself: each certificate for its output, each proof by the coin's own key, each
   statement as the next link of the chain.

A refusal for a reason that the wallet's own bytes contradict fails step 4: the order was well-formed, its
signatures hold, its sums are equal, it is for this bank; the account exists and its balance suffices, as the
statement says that the request itself names. So does a booking that the holder never signed for: the next
request names the chain's head, and would accept it.

Source: docs/spec/order.md, docs/spec/account.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bank.formats.account import Operation, SignedStatement, Statement
from bank.formats.answer import (
    NO_SUCH_HOLD,
    Answer,
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
from bank.formats.coin import BankId, certificate_holds
from bank.formats.order import NOTHING, Order, Output, SignedOrder
from bank.formats.request import (
    BankRequest,
    Deposit,
    Execute,
    ReadAccount,
    Replace,
    Withdraw,
    decode_request,
    subject_of,
)
from bank.formats.succession import BankKeys
from mix.directory import Authorities
from mixmint.errors import MalformedMessage
from wallet.machines.steps import Answered, Head, Wrong

_NEVER_TRUE = frozenset(
    (
        Refusal.MALFORMED,
        Refusal.WRONG_BANK,
        Refusal.SIGNATURE,
        Refusal.SUMS,
        Refusal.NO_HOLD,
        Refusal.WRONG_H,
    )
)
"""Reasons that a request made by this wallet can't give."""
_TRUE_OF_OTHERS = frozenset((Refusal.SUMS, Refusal.NO_HOLD))
"""Of an order that its payer made: he may have put in too little; a bank forgets what is long over."""

LATE_ROUNDS = 2
"""So long after an order's last round the bank may still name a hold that is in its way."""

NOBODY = Authorities((), 1)


@dataclass(frozen=True, slots=True)
class Bank:
    """
    Whose answers are believed: the bank with these keys, by the newest of them; and the network's
    authorities, who may change them.
    """

    keys: BankKeys
    authorities: Authorities = NOBODY

    @property
    def key(self) -> bytes:
        """The key that it signs with now, 32 bytes."""
        return self.keys.current

    @property
    def id(self) -> BankId:
        """The bank's id, 32 bytes; the same whatever its key is."""
        return self.keys.id


@dataclass(frozen=True, slots=True)
class Booking:
    """What a request that the holder signed lets the bank book: its statement's number, kind and amount."""

    sequence: int
    operation: Operation
    units: int


@dataclass(frozen=True, slots=True)
class Known:
    """
    What the wallet knows besides the request: the account chain's last verified statement (``head``), the
    newest round that the board shows (``closed``), what a deposit's coins are worth (``units``), the seals of
    the operation's own orders, and what the bank may book, by the digest of the request. ``foreign``: the
    order that the wallet didn't sign and only submits, or executes by its h. ``shared``: other copies of
    the wallet use the account as well, so it has bookings that this one never signed for.
    """

    head: Head
    closed: int
    units: int = 0
    seals: frozenset[bytes] = frozenset()
    bookings: Mapping[bytes, Booking] = field(default_factory=dict)
    foreign: SignedOrder | None = None
    shared: bool = False


def check(bank: Bank, request: bytes, data: bytes, known: Known) -> Answered | Wrong:
    """The answer as an event: Answered when the four steps hold, else Wrong with answer and request."""
    asked = decode_request(request)
    try:
        answer = Answer.decode(data)
    except MalformedMessage as error:
        return Wrong(data + request, f"unreadable-{error.reason}")
    if answer.subject != subject_of(asked, unknown=answer.body == NO_SUCH_HOLD):
        return Wrong(data + request, "another-subject")
    if not answer.holds(bank.key, bank.id):
        return Wrong(data + request, "not-signed")
    objection = _objection(bank, asked, answer.body, known)
    return Wrong(data + request, objection, len(data)) if objection else Answered(answer)


def objection_to(bank: Bank, asked: BankRequest, body: Body, known: Known) -> str:
    """Why a body that the bank signed doesn't answer this; empty when it does."""
    return _objection(bank, asked, body, known)


def chain_objection(bank: Bank, claim: Claim, body: Statements, known: Known) -> str:
    """
    Why statements that the bank shows on the board, in place of an answer to an account's claim, don't go on
    from the chain's head; empty when they do.
    """
    if claim.account is None:
        return "another-kind"
    account, first = claim.account.request.account, body.statements[0].statement.sequence
    return _statements(bank, ReadAccount(bank.id, account, first, bytes(64)), body, known)


def _objection(bank: Bank, asked: BankRequest, body: Body, known: Known) -> str:
    """Why a signed answer is wrong; empty when it isn't."""
    if isinstance(body, Refused):
        return _refusal(bank, asked, body, known)
    if isinstance(asked, ReadAccount):
        return _statements(bank, asked, body, known)
    if isinstance(asked, Withdraw):
        outputs = asked.signed.request.outputs
        if isinstance(body, Withdrawn):
            units = sum(1 << output.exponent for output in outputs)
            return _statement(bank, asked, body.statement, known.head, units) or _certificates(
                bank, outputs, body.certificates
            )
        return _taken(bank, outputs, body)
    if isinstance(asked, Deposit):
        if isinstance(body, Credited):
            return _statement(bank, asked, body.statement, known.head, known.units)
        if type(body) is Spent and body.seal in known.seals:
            # Whoever executed this deposit has a statement to show; its proof says nothing about a stranger.
            return "deposit-without-statement"
        return _proof(asked.order.order, body, known)
    if isinstance(asked, Replace):
        if isinstance(body, Credited):
            units = sum(1 << output.exponent for output in asked.signed.request.outputs)
            return _statement(bank, asked, body.statement, known.head, units)
        return "another-kind"
    if isinstance(asked, Execute):
        opened = known.foreign
        if opened is None or opened.seal != asked.seal:
            return "another-kind"
        return _order(bank, opened.order, body, known)
    if isinstance(body, Hold) and asked.order.tau != NOTHING:
        # Asked again, the bank says the same of a hold that is over.
        return "" if body.from_round <= body.to_round <= asked.order.last_round else "hold-out-of-range"
    return _order(bank, asked.order, body, known)


def late_objection(order: Order, body: Body, closed: int) -> str:
    """
    Why no hold and no promise can be in an order's way any more; empty when one can. After the last round an
    honest bank says "too late". Else, by naming a hold again and again, it would keep the coins for good.
    """
    is_waiting = isinstance(body, Held) or (isinstance(body, Taken) and isinstance(body.proof, Promise))
    return "held-past-its-end" if is_waiting and closed > order.last_round + LATE_ROUNDS else ""


def _order(bank: Bank, order: Order, body: Body, known: Known) -> str:
    late = late_objection(order, body, known.closed)
    if late:
        return late
    if isinstance(body, Certificates):
        return _certificates(bank, order.outputs, body)
    if isinstance(body, Spent):
        return _proof(order, body, known)
    return _taken(bank, order.outputs, body)


def _refusal(bank: Bank, asked: BankRequest, body: Refused, known: Known) -> str:
    closed, head = known.closed, known.head
    if isinstance(asked, Replace):
        return _replacement_refusal(bank, asked, body, known)
    if body.reason in (Refusal.NOT_YET, Refusal.ENDED_COIN):
        return "false-refusal"
    if body.reason in _NEVER_TRUE and not (known.foreign and body.reason in _TRUE_OF_OTHERS):
        return "false-refusal"
    if body.reason is Refusal.BUSY and not (isinstance(asked, SignedOrder) and asked.order.tau != NOTHING):
        return "false-refusal"
    if body.reason is Refusal.NO_ACCOUNT and head is not None:
        return "false-refusal"
    if isinstance(asked, ReadAccount):
        return "" if body.reason is Refusal.NO_ACCOUNT else "false-refusal"
    if isinstance(asked, Withdraw) and body.reason is Refusal.BALANCE and head is not None:
        units = sum(1 << output.exponent for output in asked.signed.request.outputs)
        if asked.signed.request.head == head.head() and units <= head.balance:
            return "false-refusal"
    order = _order_of(asked) or (known.foreign.order if known.foreign else None)
    last_round = order.last_round if order else 0
    if isinstance(asked, Withdraw):
        last_round = asked.signed.request.last_round
    if body.reason is Refusal.TOO_LATE and closed < last_round:
        return "too-late-too-early"
    if body.reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN) and (
        order is None or body.index >= len(order.inputs)
    ):
        return "false-refusal"
    of_account = body.reason in (Refusal.NO_ACCOUNT, Refusal.SEQUENCE, Refusal.BALANCE)
    return "false-refusal" if of_account and isinstance(asked, SignedOrder) else ""


def _replacement_refusal(bank: Bank, asked: Replace, body: Refused, known: Known) -> str:
    if body.reason is Refusal.SIGNATURE:
        # A successor doesn't take what its predecessor signed, or whoever had that key.
        return "false-refusal" if asked.statement.holds(bank.key) else ""
    if body.reason is Refusal.TOO_LATE and known.closed < asked.signed.request.last_round:
        return "too-late-too-early"
    of_coins = body.reason in (Refusal.NOT_YET, Refusal.ENDED_COIN)
    if of_coins and body.index < len(asked.signed.request.outputs):
        return ""
    return "" if body.reason in (Refusal.SEQUENCE, Refusal.BALANCE, Refusal.TOO_LATE) else "false-refusal"


def _order_of(asked: BankRequest) -> Order | None:
    if isinstance(asked, SignedOrder):
        return asked.order
    return asked.order.order if isinstance(asked, Deposit) else None


def _certificates(bank: Bank, outputs: tuple[Output, ...], body: Certificates) -> str:
    if len(body.certificates) != len(outputs):
        return "count-of-certificates"
    for output, certificate in zip(outputs, body.certificates, strict=True):
        if not certificate_holds(bank.key, certificate, bank.id, output.exponent, body.epoch, output.coin):
            return "false-certificate"
    return ""


def _proof(order: Order, body: Body, known: Known) -> str:
    """*Spent* and *held*: only a holder of that coin's secret can have signed."""
    if not isinstance(body, Spent | Held):
        return "another-kind"
    if isinstance(body, Held) and body.seal in known.seals:
        # The bank has this signature from us; but an order without tau holds nothing.
        return "held-by-itself"
    if body.index >= len(order.inputs) or order.inputs[body.index] != body.coin_key:
        return "proof-of-another-coin"
    return "" if body.proves() else "false-proof"


def _taken(bank: Bank, outputs: tuple[Output, ...], body: Body) -> str:
    if not isinstance(body, Taken):
        return "another-kind"
    if body.index >= len(outputs) or outputs[body.index].coin != body.proof.coin:
        return "proof-of-another-coin"
    return "" if body.proof.holds(bank.key, bank.id) else "false-proof"


def _statement(
    bank: Bank, asked: Withdraw | Deposit | Replace, signed: SignedStatement, head: Head, units: int
) -> str:
    """The statement that books the request: signed, about it, and the next link if it is new."""
    statement, request = signed.statement, asked.signed.request
    if not signed.holds(bank.key) or statement.bank != bank.id or statement.account != request.account:
        return "false-statement"
    if statement.digest != request.digest() or statement.sequence != request.sequence:
        return "statement-of-another-request"
    if statement.operation is not request.operation:
        return "statement-of-another-request"
    if statement.amount != units:
        return "wrong-amount"
    if head is not None and statement.sequence <= head.sequence:
        return "" if statement.sequence < head.sequence or statement == head else "forked-chain"
    return "" if statement.follows(head) else "broken-chain"


def _statements(bank: Bank, asked: ReadAccount, body: Body, known: Known) -> str:
    if not isinstance(body, Statements):
        return "another-kind"
    # The head may have moved on since it was asked (two operations at once, an answer that lay in the post):
    # then the first ones are known already, and the rest must go on from the head.
    earlier: Head = None
    for signed in body.statements:
        statement = signed.statement
        if not signed.holds(bank.key) or statement.bank != bank.id or statement.account != asked.account:
            return "false-statement"
        begins = statement.sequence == asked.sequence or _begins_later(bank, asked, statement)
        if not begins if earlier is None else not statement.follows(earlier):
            return "broken-chain"
        if not _agrees(statement, known.head):
            return "forked-chain"
        if statement.operation is Operation.RECOVERED:
            # A successor's first word of the account, and no other.
            if not bank.keys.changes or (known.head and statement.sequence > known.head.sequence):
                return "invented-booking"
        elif not known.shared and not _was_asked_for(statement, known.bookings):
            return "invented-booking"
        earlier = statement
    return ""


def _begins_later(bank: Bank, asked: ReadAccount, statement: Statement) -> bool:
    """A successor has an account's statements from the newest on that was listed to him."""
    return bool(bank.keys.changes) and statement.sequence > asked.sequence == 1


def _was_asked_for(statement: Statement, bookings: Mapping[bytes, Booking]) -> bool:
    """Whether the holder signed for it, at this place in the chain; the operator's statements need nobody."""
    if statement.operation in (Operation.OPENED, Operation.CREDIT):
        return True
    booked = Booking(statement.sequence, statement.operation, statement.amount)
    return bookings.get(statement.digest) == booked


def _agrees(statement: Statement, head: Head) -> bool:
    """Whether a statement and the chain that is known so far can be one chain."""
    if head is None:
        return statement.sequence > 1 or statement.follows(None)
    if statement.sequence == head.sequence + 1:
        return statement.follows(head)
    return statement.sequence != head.sequence or statement == head

"""
Claims and accusations of a wallet's: from what is in the purse to bytes for the board, or for anyone. Pure
but for reading the purse.

Source: docs/spec/claim.md, docs/spec/accusation.md.
"""

from bank.board.accusation.file import Evidence, check, encode_accusation
from bank.board.accusation.lies import AccountForked, AnswerFalse, Named
from bank.board.accusation.successor import OfBank, OfSuccessor, signers_of
from bank.claims.truth import Shown, falsehood
from bank.formats.account import SignedStatement
from bank.formats.answer import Answer, Credited, Spent, Statements, Withdrawn
from bank.formats.claim import Claim, ClaimRequest, ShownCertificate
from bank.formats.coin import Coin, coin_id
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from bank.formats.request import Deposit, Replace, Withdraw, decode_request
from mixmint.errors import MalformedMessage
from wallet.answers import Bank, Known, chain_objection, late_objection, objection_to
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.machines.steps import Told, Wrong
from wallet.operations import PlanState
from wallet.purse import Purse


def claim_of(purse: Purse, state: OrderState | AccountState) -> Claim | None:
    """What the board is shown of an operation; None when a coin's certificate isn't at hand."""
    if isinstance(state, ForeignState):
        return _of_payer(state)
    if isinstance(state, OrderState):
        request: ClaimRequest = state.opened
    elif state.is_replacement:
        request = Replace(state.signed(), *state.withdrawal)
    else:
        signed = state.signed()
        request = Deposit(signed, state.opened) if state.is_deposit else Withdraw(signed)
    return _shown(purse, request, state.parent)


def _of_payer(state: ForeignState) -> Claim | None:
    """What its payer has shown: the bank's hold, whose h is ours; or the certificates of his coins."""
    if state.h and state.hold:
        return Claim(state.opened, (), state.h, Answer.decode(state.hold))
    shown = tuple(ShownCertificate.read(Reader(data)) for data in state.certificates)
    return Claim(state.opened, shown) if len(shown) == len(state.order.inputs) else None


def _shown(purse: Purse, request: ClaimRequest, parent: int) -> Claim | None:
    order = request if isinstance(request, SignedOrder) else getattr(request, "order", None)
    if order is None:
        return Claim(request)
    bearer = _bearer(purse, parent)
    shown = []
    for key in order.order.inputs:
        found = purse.coin(coin_id(key))
        if found is not None:
            certificate, exponent, epoch = found[1].certificate, found[1].exponent, found[1].epoch
        elif key in bearer:
            coin = bearer[key]
            certificate, exponent, epoch = coin.certificate, coin.exponent, coin.epoch
        else:
            return None
        if not certificate:
            return None
        shown.append(ShownCertificate(exponent, epoch, certificate))
    return Claim(request, tuple(shown))


def _bearer(purse: Purse, parent: int) -> dict[bytes, Coin]:
    """The coins that somebody handed over for this plan, by coin key."""
    plan = purse.operation(parent) if parent else None
    coins = plan.coins if isinstance(plan, PlanState) else ()
    found = [Coin.read(Reader(data)) for data in coins if len(data) > 32]
    return {coin.key().public: coin for coin in found}


def check_told(bank: Bank, claim: Claim, round_: int, answer: Answer, known: Known) -> Told | Wrong:
    """
    The bank's answer to a claim of ours, which the board shows; signed, and naming the claim. ``round_``: the
    claim's, 0 if the board hasn't shown it.
    """
    body = answer.body
    account, head = claim.account, known.head
    named = head if account is not None and head is not None and head.head() == account.request.head else None
    shown = Shown(claim, bank.key, bank.id, round_, named, own=True)
    lie = falsehood(shown, body)
    if type(body) is Spent and body.seal in known.seals:
        # Executed, then: what it asked for is looked for on the board. A bank's successor may know no more.
        lie = None
    if lie is None and isinstance(body, Statements):
        lie = chain_objection(bank, claim, body, known)
    elif lie is None and isinstance(body, Withdrawn | Credited):
        lie = objection_to(bank, claim.request, body, known)
    elif lie is None and isinstance(claim.request, SignedOrder):
        lie = late_objection(claim.request.order, body, known.closed)
    if not lie:
        return Told(answer)
    data = answer.encode()
    return Wrong(data + claim.encode(), "false-answer", len(data))


def accusation_of(purse: Purse, bank: Bank, wrong: Wrong, parent: int) -> bytes | None:
    """
    A file that proves to anyone that an answer was false, when it does: else the bytes are kept as they are,
    and show what happened to whoever believes the wallet.
    """
    if not wrong.signed:
        return None
    try:
        answer = Answer.decode(wrong.data[: wrong.signed])
    except MalformedMessage:
        return None
    rest = wrong.data[wrong.signed :]
    candidates: list[tuple[int, OfBank]] = []
    head = purse.fact("chain")
    named = None if head is None else SignedStatement.read(Reader(head))
    claims = _claims(purse, rest, parent)
    for count, key in enumerate(bank.keys.all):
        candidates += [(count, each) for each in _forks(purse, key, answer)]
        candidates += [
            (count, AnswerFalse(key, which, claim, answer, statement))
            for claim, which in claims
            for statement in (named, None)
            if statement is None or claim.account is not None
        ]
    who = signers_of(bank.keys.changes)
    shown = [_shown_against(bank, count, each) for count, each in candidates]
    return next((encode_accusation(each) for each in shown if check(each, who).holds), None)


def _shown_against(bank: Bank, changes: int, evidence: OfBank) -> Evidence:
    """With what shows whose key it accuses, where so many changes made it the bank's."""
    if not changes:
        return evidence
    return OfSuccessor(bank.keys.founding, bank.keys.changes[:changes], None, evidence)


def _claims(purse: Purse, rest: bytes, parent: int) -> list[tuple[Claim, Named]]:
    try:
        return [(Claim.decode(rest), Named.CLAIM)]
    except MalformedMessage:
        pass
    try:
        request = decode_request(rest)
    except MalformedMessage:
        return []
    if not isinstance(request, ClaimRequest):
        return []
    claim = _shown(purse, request, parent)
    return [] if claim is None else [(claim, Named.REQUEST)]


def _forks(purse: Purse, key: bytes, answer: Answer) -> list[AccountForked]:
    """Statements in an answer that can't stand beside the chain's head, or beside each other."""
    body, head = answer.body, purse.fact("chain")
    signed: list[SignedStatement] = [] if head is None else [SignedStatement.read(Reader(head))]
    if isinstance(body, Statements):
        signed += body.statements
    elif isinstance(body, Withdrawn | Credited):
        signed.append(body.statement)
    return [
        AccountForked.of(key, one, other) for place, one in enumerate(signed) for other in signed[place + 1 :]
    ]

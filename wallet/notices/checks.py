"""
Whether a notice is what it says, for this request of ours. Pure.

Of a hold: 1. the order pays every output of the request; 2. its tau is the one whose h we have; 3. the coins'
keys signed it; 4. the bank signed the hold, for this order.

Of a sealed payment: 1. and 3., it is a whole order without tau; 5. its mark opens to what is told, and names
the request. So whoever took the statement away, or changed it, has an order that nobody signed.

Of a refund that is wanted: 6. it names the request that was paid; 7. each of its orders pays an id of that
request, and its coins' keys signed the wish; 8. it asks for no more than these orders paid. That the orders
were executed, the board shows (wallet/refunds.py).
"""

from bank.formats.coin import certificate_holds, coin_id
from bank.formats.order import NOTHING, SignedOrder, tau_of
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash
from wallet.answers import Bank
from wallet.marks.mark import Part
from wallet.notices.notice import HoldNotice, SealedNotice
from wallet.notices.refund import RefundTo
from wallet.payment_request import PaymentRequest

HOLD_H_LABEL = Label("mixmint/hold-h/v1")


def h_of(secret: bytes) -> bytes:
    """
    The h (32 bytes) of a request that asks for a hold, from the secret (32 bytes) of its first output's coin.

    Whoever has the seed has it, and showing it tells nothing about the coin.
    """
    return labelled_hash(HOLD_H_LABEL, secret)


def check_hold(notice: HoldNotice, request: PaymentRequest, h: bytes, bank: Bank) -> None:
    """Raises UserError: what is wrong with it."""
    _check_order(notice.order, request)
    if notice.order.order.tau != tau_of(h):
        raise UserError("this hold is for another request: our h doesn't open it")
    answer = notice.answer
    # What an earlier key of the bank's held is held no more. But it shows that the order was good, and the
    # bank may hold it anew.
    signed = any(answer.holds(key, bank.id) for key in bank.keys.all)
    if answer.subject != notice.order.seal or not signed:
        raise UserError("this hold isn't signed by the bank for this order; ask the payer for the right one")


def check_sealed(notice: SealedNotice, request: PaymentRequest) -> str:
    """The statement that is relayed with it. Raises UserError: what is wrong with it."""
    _check_order(notice.order, request)
    if notice.order.order.tau != NOTHING or notice.opening.commitment() != notice.order.order.note:
        raise UserError("what this payment says isn't what its payer signed; ask him for the whole of it")
    if notice.opening.content(Part.REQUEST) != request.digest():
        raise UserError("this payment is bound to another request")
    try:
        return notice.opening.text(Part.STATEMENT) or ""
    except MalformedMessage:
        raise UserError("the statement of this payment can't be read") from None


def check_refund(notice: RefundTo, request: PaymentRequest) -> None:
    """Raises UserError: what is wrong with it."""
    if notice.paid != request.digest():
        raise UserError("this asks for a refund of another payment")
    if notice.request.bank != request.bank:
        raise UserError("the refund is wanted at another bank than this wallet's")
    wanted = {output.coin for output in request.outputs}
    for order in notice.orders:
        if wanted.isdisjoint(output.coin for output in order.order.outputs):
            raise UserError("whoever asks for this refund shows an order that paid you nothing")
        if not order.holds(notice.paid, notice.request):
            raise UserError("whoever asks for this refund has no coin that paid you: it isn't signed by one")
    if len({order.seal for order in notice.orders}) != len(notice.orders):
        raise UserError("whoever asks for this refund shows one order twice")
    if notice.request.units > notice.units(request):
        raise UserError("whoever asks for this refund paid less than he wants back")


def certificates_of(notice: SealedNotice, bank: Bank) -> tuple[bytes, ...]:
    """
    What its payer shows of his coins, 69 bytes each, if all of it holds: with that its payee can have the
    bank answer in public. Without, or with false ones, the payment is what it is.
    """
    shown = zip(notice.order.order.inputs, notice.certificates, strict=False)
    for public, each in shown:
        signed = each.signature, bank.id, each.exponent, each.epoch, coin_id(public)
        if not any(certificate_holds(key, *signed) for key in bank.keys.all):
            return ()
    return tuple(each.encode() for each in notice.certificates)


def _check_order(order: SignedOrder, request: PaymentRequest) -> None:
    if order.order.bank != request.bank:
        raise UserError("this payment is at another bank than this wallet's")
    if not set(request.outputs) <= set(order.order.outputs):
        raise UserError("this payment doesn't pay what the request asks for")
    if order.false_signature() is not None:
        raise UserError("this payment isn't signed by its coins: it was changed, or is none")

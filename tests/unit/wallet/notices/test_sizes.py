"""How many of a request's two reply blocks each notice takes: docs/spec/notice.md, section 3, says it."""

from dataclasses import replace

import pytest

from bank.formats.answer import Answer, Hold, sign_answer
from bank.formats.claim import ShownCertificate
from bank.formats.coin import CoinId, CoinKey, bank_id
from bank.formats.fields import Reader
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS, NOTHING, Order, Output, SignedOrder, sign_order
from mixmint.keys import SigningKey
from replyblocks.envelope import parts_for
from wallet.marks.mark import MOST_TEXT_BYTES, Mark, Part
from wallet.notices.notice import HoldNotice, Notice, SealedNotice, notice_text, parse_notice
from wallet.notices.refund import PaidBy, RefundTo
from wallet.notices.ways import text_for
from wallet.payment_request import PaymentRequest

BANK = SigningKey(b"b" * 32)
BANK_ID = bank_id(BANK.public)


def order(inputs: int, outputs: int, note: bytes = b"\x01" * 32, tau: bytes = NOTHING) -> SignedOrder:
    keys = [SigningKey(bytes([number]) * 32) for number in range(1, inputs + 1)]
    public = tuple(sorted(CoinKey(key.public) for key in keys))
    ids = tuple(Output(CoinId(bytes([number]) * 32), 0) for number in range(outputs))
    return sign_order(Order(BANK_ID, bytes(16), 9, public, ids, tau=tau, note=note), keys, bytes(16))


def held(inputs: int, outputs: int) -> HoldNotice:
    signed = order(inputs, outputs, tau=b"\x02" * 32)
    return HoldNotice(signed, Answer.decode(sign_answer(BANK, BANK_ID, signed.seal, Hold(1, 60))))


def sealed(coins: int, statement: int, outputs: int = 0) -> SealedNotice:
    mark = Mark.make(bytes(32), "", "x" * statement)
    signed = order(coins, outputs or coins, mark.commitment())
    shown = tuple(ShownCertificate.read(Reader(bytes(69))) for _ in range(coins))
    return SealedNotice(signed, mark.open((Part.REQUEST, Part.STATEMENT)), shown)


def refund(orders: int) -> RefundTo:
    """Of a payment coin by coin; the money comes back in as many."""
    ids = tuple(Output(CoinId(bytes([number]) * 32), 0) for number in range(orders))
    wanted, signed = PaymentRequest(BANK_ID, 9, ids), order(1, 1)
    keys = {key: SigningKey(b"\x01" * 32) for key in signed.order.inputs}
    shown = (ShownCertificate(0, 0, bytes(64)),)
    one = PaidBy.make(signed.salt, signed.order, keys, bytes(32), wanted, shown, 9)
    return RefundTo(bytes(32), wanted, (one,) * orders)


@pytest.mark.parametrize(
    ("notice", "blocks"),
    [
        (held(8, 8), 1),
        (held(MOST_INPUTS, MOST_OUTPUTS), 2),
        (sealed(3, 450), 1),
        (sealed(MOST_INPUTS, 300), 2),
        (refund(4), 1),
        (refund(9), 2),
        (refund(10), 3),
    ],
)
def test_notice_takes_so_many_blocks(notice: Notice, blocks: int) -> None:
    """One, where it is usual: so a hold or a sealed payment leaves one for a refund."""
    assert parts_for(len(notice_text(notice).encode()), 0) == blocks


def test_the_largest_sealed_payment_fits_without_its_certificates() -> None:
    """Whoever pays it has given the order away already: it must not wait for ever to be told."""
    largest = sealed(MOST_INPUTS, MOST_TEXT_BYTES, MOST_OUTPUTS)
    assert parts_for(len(notice_text(largest).encode()), 0) == 3
    text = text_for(largest, 2)
    assert parts_for(len(text.encode()), 0) == 2
    assert parse_notice(text) == replace(largest, certificates=())
    small = sealed(3, 450)
    assert parse_notice(text_for(small, 1)) == small

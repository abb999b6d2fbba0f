"""
Make the payments' test vectors: ``python -m tests.vectors.make_payment`` writes ``payment.json`` beside it.

A request of version 2, a mark and its openings, notices, and a receipt over a log of three rounds. Secrets
and salts are repeated bytes, so the file is the same whoever makes it.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bank.board.log.proof import LogProof
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.formats.answer import Answer, Hold, sign_answer
from bank.formats.claim import ShownCertificate
from bank.formats.coin import CoinId, CoinKey, bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, SpentEntry, make_key_entry
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order, tau_of
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker
from wallet.marks.mark import Mark, Opened, Part
from wallet.notices.checks import h_of
from wallet.notices.notice import HoldNotice, Notice, SealedNotice, notice_text
from wallet.notices.refund import PaidBy, RefundTo
from wallet.payment_request import PaymentRequest, ReplyTo
from wallet.receipts.receipt import RECEIPT_LABEL, Receipt, ShownOrder

FILE = Path(__file__).with_name("payment.json")
EPOCH, LAST_ROUND = 687, 1000
BANK, BOARD, ONE, OTHER = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
BANK_ID = bank_id(BANK.public)
SECRET = b"\x0a" * 32
"""Of the coin that the request asks for."""
TO = "the reader's question"


def output(secret: bytes, exponent: int) -> Output:
    return Output(coin_id(SigningKey(secret).public), exponent)


PAID, CHANGE = output(SECRET, 3), output(b"\x0b" * 32, 2)
VERSION_2 = PaymentRequest(
    b"\x01" * 32,
    LAST_ROUND,
    tuple(Output(CoinId(bytes([n]) * 32), exponent) for n, exponent in ((2, 0), (3, 2), (4, 3))),
    "two books",
    b"\x05" * 32,
    ReplyTo(b"\x06" * 32, (b"\x07" * 258, b"\x08" * 258)),
)
REQUEST = PaymentRequest(BANK_ID, LAST_ROUND, (PAID,), "two books")
ALSO_PAID = output(b"\x0e" * 32, 2)
REQUEST_APART = PaymentRequest(
    BANK_ID, LAST_ROUND, tuple(sorted((PAID, ALSO_PAID), key=lambda each: each.coin)), "two books"
)
BACK = PaymentRequest(BANK_ID, LAST_ROUND, (output(b"\x0d" * 32, 3),))
"""Where the 8 units should go back to."""
HELD = PaymentRequest(BANK_ID, LAST_ROUND, (PAID,), "two books", tau=tau_of(h_of(SECRET)))
MARK = Mark(
    {
        Part.REQUEST: Opened(b"\x11" * 16, REQUEST.digest()),
        Part.NOTE: Opened(b"\x12" * 16, b"for the roof"),
        Part.STATEMENT: Opened(b"\x13" * 16, "Miete für November".encode()),
    }
)


def order(tau: bytes = NOTHING) -> SignedOrder:
    """8 + 4 units in, 8 for the payee, 4 of change."""
    inputs = tuple(sorted(CoinKey(key.public) for key in (ONE, OTHER)))
    outputs = tuple(sorted((PAID, CHANGE), key=lambda each: each.coin))
    asked = Order(BANK_ID, b"\x14" * 16, LAST_ROUND, inputs, outputs, tau=tau, note=MARK.commitment())
    return sign_order(asked, [ONE, OTHER], b"\x15" * 16)


def notices() -> dict[str, Notice]:
    held, plain = order(HELD.tau), order()
    keys = {key.public: key for key in (ONE, OTHER)}
    worth = {ONE.public: 3, OTHER.public: 2}
    shown = tuple(certificate_of(key, worth[key]) for key in plain.order.inputs)
    answer = Answer.decode(sign_answer(BANK, BANK_ID, held.seal, Hold(8, 67)))
    return {
        "hold": HoldNotice(held, answer),
        "sealed": SealedNotice(order(), MARK.open((Part.REQUEST, Part.STATEMENT))),
        "refund": RefundTo(
            REQUEST.digest(),
            BACK,
            (PaidBy.make(plain.salt, plain.order, keys, REQUEST.digest(), BACK, shown, 2),),
        ),
    }


def certificate_of(key: CoinKey, exponent: int) -> ShownCertificate:
    signature = sign_certificate(BANK, BANK_ID, exponent, EPOCH, coin_id(key))
    return ShownCertificate(exponent, EPOCH, signature)


def certified(each: Output) -> bytes:
    certificate = sign_certificate(BANK, BANK_ID, each.exponent, EPOCH, each.coin)
    return CertifiedEntry(each.coin, each.exponent, EPOCH, certificate).encode()


def entries(signed: SignedOrder) -> list[bytes]:
    spent = zip(signed.order.inputs, signed.signatures, strict=True)
    return [certified(each) for each in signed.order.outputs] + [
        SpentEntry(key, signed.seal, signature).encode() for key, signature in spent
    ]


async def proofs(folder: Path, orders: Sequence[SignedOrder]) -> tuple[list[tuple[LogProof, ...]], str]:
    """
    Of each order's entries, with the mark of their round: the second round has the first order's, and so on;
    and the log's key as text.
    """
    maker = LogMaker(folder, BOARD)
    inputs = [output(bytes([3]) * 32, 3), output(bytes([4]) * 32, 2)]
    maker.close([make_key_entry(BANK, BANK_ID).encode(), *(certified(each) for each in inputs)])
    beside = [certified(output(b"\x0c" * 32, 0))]
    marks = []
    for signed in orders:
        marks.append(maker.close([*entries(signed), *beside]).encode())
        beside = []
    maker.close([])
    note = maker.publish()
    log, size = LogReader(FolderSource(folder), maker.verifier), len(maker.leaves)
    made = []
    for signed, mark in zip(orders, marks, strict=True):
        wanted = {*entries(signed), mark}
        found = [(index, leaf) for index, leaf in enumerate(maker.leaves) if leaf in wanted]
        proved = [LogProof(at, tuple(await log.inclusion(at, size)), note, leaf) for at, leaf in found]
        made.append(tuple(proved))
    return made, maker.verifier.text()


def receipt(orders: Sequence[tuple[SignedOrder, Mark]], request: PaymentRequest) -> tuple[Receipt, str]:
    keys = {key.public: key for key in (ONE, OTHER)}
    with tempfile.TemporaryDirectory() as folder:
        proved, log = asyncio.run(proofs(Path(folder), [signed for signed, _ in orders]))
    shown = tuple(
        ShownOrder(
            signed,
            tuple(
                keys[public].sign(RECEIPT_LABEL, signed.seal, TO.encode()) for public in signed.order.inputs
            ),
            mark.open((Part.REQUEST, Part.NOTE)),
            entries_,
        )
        for (signed, mark), entries_ in zip(orders, proved, strict=True)
    )
    return Receipt(TO, shown, request, BANK.public, ()), log


def apart() -> list[tuple[SignedOrder, Mark]]:
    """8 units for 8, and 4 for 4: an order for each coin of the request."""
    made = []
    for number, (key, paid) in enumerate(((ONE, PAID), (OTHER, ALSO_PAID))):
        contents = {part: MARK.parts[part].content for part in Part}
        contents[Part.REQUEST] = REQUEST_APART.digest()
        mark = Mark({part: Opened(bytes([0x20 + 4 * number + part]) * 16, contents[part]) for part in Part})
        salt, request_id = bytes([0x30 + number]) * 16, bytes([0x32 + number]) * 16
        inputs = (CoinKey(key.public),)
        asked = Order(BANK_ID, request_id, LAST_ROUND, inputs, (paid,), note=mark.commitment())
        made.append((sign_order(asked, [key], salt), mark))
    return made


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    made, log = receipt([(order(), MARK)], REQUEST)
    made_apart, log_apart = receipt(apart(), REQUEST_APART)
    return {
        "about": "made by tests/vectors/make_payment.py; see docs/spec/payment-request.md, mark.md,"
        " notice.md, receipt.md; hex",
        "request": {"uri": VERSION_2.uri(), "digest": VERSION_2.digest().hex()},
        "mark": {
            "parts": {part.name.lower(): MARK.parts[part].encode().hex() for part in Part},
            "mark": MARK.commitment().hex(),
            "all": MARK.open(tuple(Part)).encode().hex(),
            "note": MARK.open((Part.NOTE,)).encode().hex(),
            "none": MARK.open(()).encode().hex(),
        },
        "hold": {"secret": SECRET.hex(), "h": h_of(SECRET).hex(), "uri": HELD.uri()},
        "notices": {
            name: {"bytes": notice.encode().hex(), "text": notice_text(notice)}
            for name, notice in notices().items()
        },
        "receipt": {"log": log, "bank": BANK.public.hex(), "file": made.encode().decode()},
        "receipt-v2": {"log": log_apart, "bank": BANK.public.hex(), "file": made_apart.encode().decode()},
    }


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

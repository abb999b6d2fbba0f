"""
Make the claims' test vectors: ``python -m tests.vectors.make_claim`` writes ``tests/vectors/claim.json``.
"""

import json
from pathlib import Path

from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.file import encode_accusation
from bank.board.claims.parts import cut
from bank.board.claims.rules import read_submission
from bank.board.log.tree import leaf_hash
from bank.board.receipts import sign_entry_receipt
from bank.formats.account import (
    NO_HEAD,
    AccountRequest,
    Operation,
    Statement,
    sign_request,
    sign_statement,
)
from bank.formats.answer import Answer, CertifiedBefore, Hold, Refusal, Refused, sign_answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, bank_id, coin_id, sign_certificate
from bank.formats.entry import AccusationEntry, AnswerEntry, PostedEntry
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order, tau_of
from bank.formats.request import Deposit, Replace, Withdraw
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "claim.json"
EPOCH, ROUND, PART_BYTES = 687, 7, 600
BANK, BOARD, COIN, SECOND, ACCOUNT = (SigningKey(bytes([number]) * 32) for number in range(1, 6))
BANK_ID = bank_id(BANK.public)


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    claimed = _claim(_order(COIN, SECOND, outputs=True))
    submissions = {
        "claim of an order": claimed.entry().encode(),
        "claim of a withdrawal": _withdrawal().entry().encode(),
        "claim of a deposit": _deposit().entry().encode(),
        "answer": _answer(claimed.subject),
        "posted": _posted(),
        "accusation": _accusation(),
        "claim of an execution": _execution(held=False).entry().encode(),
        "claim of an execution that was held": _execution(held=True).entry().encode(),
        "claim of a replacement": _replacement().entry().encode(),
    }
    return {
        "about": "made by tests/vectors/make_claim.py; see docs/spec/claim.md; hex",
        "bank": {"public": BANK.public.hex(), "id": BANK_ID.hex()},
        "board": {"public": BOARD.public.hex()},
        "submissions": {
            name: {
                "bytes": data.hex(),
                "leaf": leaf_hash(data).hex(),
                "subject": read_submission(data).subject.hex(),
                "receipt": sign_entry_receipt(BOARD, leaf_hash(data), ROUND, ROUND - 1).encode().hex(),
            }
            for name, data in submissions.items()
        },
        "parts": [part.hex() for part in cut(submissions["claim of an order"], PART_BYTES)],
    }


def _order(*coins: SigningKey, outputs: bool, account: bytes = NOTHING, tau: bytes = NOTHING) -> SignedOrder:
    inputs = tuple(sorted(CoinKey(each.public) for each in coins))
    wanted = (Output(CoinId(b"\x06" * 32), 5), Output(CoinId(b"\x07" * 32), 4)) if outputs else ()
    return sign_order(
        Order(BANK_ID, b"\x08" * 16, 1_000_000, inputs, wanted, account, tau), list(coins), b"\x09" * 16
    )


def _certificates(order: SignedOrder) -> tuple[ShownCertificate, ...]:
    ids = [coin_id(key) for key in order.order.inputs]
    return tuple(ShownCertificate(5, EPOCH, sign_certificate(BANK, BANK_ID, 5, EPOCH, coin)) for coin in ids)


def _claim(order: SignedOrder) -> Claim:
    return Claim(order, _certificates(order))


def _withdrawal() -> Claim:
    request = AccountRequest(
        BANK_ID,
        ACCOUNT.public,
        2,
        NO_HEAD,
        Operation.WITHDRAW,
        b"\x0a" * 16,
        1_000_000,
        outputs=(Output(CoinId(b"\x06" * 32), 5),),
    )
    return Claim(Withdraw(sign_request(ACCOUNT, request)))


def _deposit() -> Claim:
    order = _order(COIN, outputs=False, account=ACCOUNT.public)
    request = AccountRequest(
        BANK_ID, ACCOUNT.public, 2, NO_HEAD, Operation.DEPOSIT, b"\x0b" * 16, 1_000_000, seal=order.seal
    )
    return Claim(Deposit(sign_request(ACCOUNT, request), order), _certificates(order))


def _execution(*, held: bool) -> Claim:
    h = b"\x0c" * 32
    order = _order(COIN, SECOND, outputs=True, tau=tau_of(h))
    hold = Answer.decode(sign_answer(BANK, BANK_ID, order.seal, Hold(5, 9)))
    return Claim(order, (), h, hold) if held else Claim(order, _certificates(order), h)


def _replacement() -> Claim:
    """Of the withdrawal's one coin; the bank booked it in round 3."""
    withdrawn = _withdrawal().account
    assert withdrawn is not None
    digest, outputs = withdrawn.request.digest(), withdrawn.request.outputs
    booked = Statement(BANK_ID, ACCOUNT.public, 2, Operation.WITHDRAW, 32, 8, digest, NO_HEAD, 3)
    request = AccountRequest(
        BANK_ID,
        ACCOUNT.public,
        3,
        booked.head(),
        Operation.REPLACE,
        b"\x0d" * 16,
        1_000_000,
        digest,
        outputs,
    )
    return Claim(Replace(sign_request(ACCOUNT, request), withdrawn, sign_statement(BANK, booked)))


def _answer(subject: bytes) -> bytes:
    return AnswerEntry(sign_answer(BANK, BANK_ID, subject, Refused(Refusal.TOO_LATE))).encode()


def _posted() -> bytes:
    coin = coin_id(COIN.public)
    return PostedEntry(coin, 5, EPOCH, sign_certificate(BANK, BANK_ID, 5, EPOCH, coin)).encode()


def _accusation() -> bytes:
    coin = coin_id(COIN.public)
    two = [
        CertifiedBefore(coin, exponent, EPOCH, sign_certificate(BANK, BANK_ID, exponent, EPOCH, coin))
        for exponent in (5, 6)
    ]
    return AccusationEntry(encode_accusation(CertifiedTwice(BANK.public, *two))).encode()


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

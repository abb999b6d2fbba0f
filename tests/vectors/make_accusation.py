"""
Make the vectors of accusations: ``python -m tests.vectors.make_accusation``, to ``accusation.json``.

Deterministic: seeds, seals and names are fixed.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import (
    CertifiedTwice,
    EntryFalse,
    SpentTwice,
    StatementsContradict,
    ValueCreated,
)
from bank.board.accusation.file import Evidence, check, encode_accusation
from bank.board.accusation.lies import AccountForked, Named
from bank.board.accusation.log import BoardEquivocation, LogInvalid, TwoViews, WholeLog
from bank.board.accusation.receipts import FeedReceiptBroken, ReceiptBroken, Waited
from bank.board.feed import Batch, batch_digest, sign_receipt
from bank.board.log.tree import leaf_hash
from bank.board.receipts import sign_entry_receipt
from bank.formats.answer import (
    Answer,
    Certificates,
    CertifiedBefore,
    Hold,
    Refusal,
    Refused,
    Spent,
    sign_answer,
)
from bank.formats.coin import CoinId, CoinKey, coin_id, sign_certificate
from bank.formats.entry import AccountEntry, CertifiedEntry
from bank.formats.order import Order, Output, sign_order, tau_of
from bank.formats.statement import Tally
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, BOARD, Shown, certified, spent
from tests.unit.bank.board.accusation.claimed import ClaimedLog, answered, claim, executed, forked

FILE = Path(__file__).parent / "accusation.json"
COIN = SigningKey(b"\3" * 32)
NAME = bytes(range(32))


def make() -> dict[str, object]:
    """All vectors; each is the whole text of a file."""
    with tempfile.TemporaryDirectory() as folder:
        vectors = [
            {
                "kind": evidence.kind.word,
                "holds": check(evidence).holds,
                "against": evidence.accused().text(),
                "text": encode_accusation(evidence).decode(),
            }
            for evidence in (
                *_against_the_bank(Path(folder)),
                *_against_the_board(Path(folder)),
                *_about_claims(Path(folder)),
            )
        ]
    return {
        "about": "made by tests/vectors/make_accusation.py; see docs/spec/accusation.md",
        "bank_key": BANK.public.hex(),
        "board_key": BOARD.public.hex(),
        "accusations": vectors,
    }


def _about_claims(folder: Path) -> Iterator[Evidence]:
    log = ClaimedLog(folder / "claimed")
    yield log.unanswered()
    yield log.unanswered(log.edge.size - 1, confirmed=True)
    yield log.unanswered(log.due() - 1)
    yield log.lie(Refused(Refusal.UNKNOWN_CERTIFICATE))
    yield log.lie(Refused(Refusal.UNKNOWN_CERTIFICATE), Named.REQUEST)
    yield log.lie(Refused(Refusal.TOO_LATE), log=True)
    yield forked()
    two = forked()
    yield AccountForked(two.bank_key, two.one, two.one)
    yield from _denied(folder)


def _denied(folder: Path) -> Iterator[Evidence]:
    mine = claim()
    first, late = executed(mine), answered(mine, Refused(Refusal.TOO_LATE))
    other = answered(mine, Spent(0, CoinKey(COIN.public), bytes(32), bytes(64)))
    log = ClaimedLog(folder / "denied", mine, late, other, before=[first])
    for last in (late, other):
        yield log.denied(first, last)
        yield log.denied(first, last, confirmed=True)


def _shown(entry: CertifiedEntry) -> CertifiedBefore:
    return CertifiedBefore(entry.coin, entry.exponent, entry.epoch, entry.certificate)


def _account(number: int) -> bytes:
    return AccountEntry(bytes([number]) * 32).encode()


def _against_the_bank(folder: Path) -> Iterator[Evidence]:
    yield CertifiedTwice(BANK.public, _shown(certified(NAME, 3, 1)), _shown(certified(NAME, 4, 1)))
    yield CertifiedTwice(BANK.public, _shown(certified(NAME, 3, 1)), _shown(certified(NAME, 3, 1)))
    log = Shown(folder / "spent")
    twice = [spent(COIN, bytes([seal]) * 32).encode() for seal in (1, 2)]
    for entry in (certified(coin_id(COIN.public)).encode(), *twice):
        log.close([entry])
    totals = Tally(withdrawn=8, exchanged=8, spent=8)
    yield SpentTwice(log.confirmed(totals=totals), log.find(*twice))
    yield SpentTwice(log.signed(), log.find(*twice))
    yield ValueCreated(log.confirmed(totals=Tally(withdrawn=7)), log.proof(0))
    yield StatementsContradict(BANK.public, (log.confirmed(totals=Tally(exchanged=8)).statement,))
    false = certified(NAME).encode()[:-1] + b"\0"
    log.close([false])
    yield EntryFalse(log.confirmed(), log.find(false))
    yield OverlappingHolds.of(BANK.public, _word(1, Hold(8, 17)), _word(2, Hold(17, 20)))
    yield OverlappingHolds.of(BANK.public, _word(1, Hold(8, 17)), _word(2, Hold(18, 27)))
    certificate = sign_certificate(BANK, BANK_ID, 3, 1, bytes([2]) * 32)
    yield OverlappingHolds.of(
        BANK.public, _word(1, Hold(8, 17)), _word(2, Certificates(17, 1, (certificate,)))
    )


def _word(number: int, body: Hold | Certificates) -> Word:
    """An order of one coin, and the bank's answer to it."""
    tau = tau_of(bytes(32)) if isinstance(body, Hold) else bytes(32)
    outputs = (Output(CoinId(bytes([number]) * 32), 3),)
    order = Order(BANK_ID, bytes([number]) * 16, 100, (CoinKey(COIN.public),), outputs, tau=tau)
    signed = sign_order(order, [COIN], salt=bytes([number]) * 16)
    return Word(signed, Answer.decode(sign_answer(BANK, BANK_ID, signed.seal, body)))


def _against_the_board(folder: Path) -> Iterator[Evidence]:
    small, large = Shown(folder / "small"), Shown(folder / "large")
    for log, first in ((small, 1), (large, 2)):
        log.close([_account(first)])
        log.close([_account(3), _account(4)])
    large.close([])
    yield BoardEquivocation(small.signed(), large.signed(), large.difference(5))
    yield TwoViews(large.signed(), small.confirmed(), large.difference(5))
    receipt = sign_entry_receipt(BOARD, leaf_hash(_account(9)), 2, 1)
    yield ReceiptBroken(large.signed(), receipt, large.stretch(2, 4))
    kept = sign_entry_receipt(BOARD, leaf_hash(_account(3)), 2, 1)
    yield ReceiptBroken(large.signed(), kept, large.stretch(2, 4))
    batch = Batch(7, [[_account(9)]]).encode()
    earlier = Batch(7, ()).encode()
    waited = Waited(True, batch_digest(earlier), sign_receipt(BOARD, earlier, 7, 1, 1))
    taken = sign_receipt(BOARD, batch, 8, 2, 1)
    yield FeedReceiptBroken(large.signed(), taken, batch, 0, 0, waited, large.stretch(2, 4))
    unsorted = Shown(folder / "unsorted")
    unsorted.append([_account(2), _account(1)])
    yield LogInvalid(unsorted.signed(), unsorted.proof(0, 1))
    yield WholeLog(large.signed(), "the map of entry 5 is not that of the first 4 entries.")


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

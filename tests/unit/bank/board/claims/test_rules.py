"""Which submissions verify, and which are the same."""

from collections.abc import Callable

import pytest

from bank.board.accusation.file import MOST_LOGGED_BYTES
from bank.board.claims.rules import Parties, read_submission
from bank.formats.claim import Claim
from bank.formats.coin import bank_id
from bank.formats.entry import (
    MOST_ENTRY_BYTES,
    AccountEntry,
    AccusationEntry,
    ClaimEntry,
    RoundEntry,
    make_key_entry,
)
from bank.formats.order import SignedOrder
from bank.formats.request import Withdraw
from bank.formats.succession import BankKeys
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey
from tests.unit.bank.board.claims.claimants import (
    BANK,
    BANK_ID,
    BOARD,
    answer,
    certificate,
    claim,
    deposit,
    double_certificate,
    entry,
    key,
    order,
    posted,
    two_logs,
    two_views,
    withdrawal,
)

PARTIES = Parties(BOARD.public, BankKeys(BANK.public))
OTHER = SigningKey(b"o" * 32)

TRUE = {
    "claim": entry(claim(1)),
    "claim of eight": entry(claim(*range(1, 9))),
    "withdrawal": entry(withdrawal(1)),
    "deposit": entry(deposit(1, 2, 3)),
    "answer": answer(b"s" * 32),
    "posted": posted(1),
    "of the bank": double_certificate(1),
    "of the board": two_logs(5),
    "of one of them": two_views(),
}


@pytest.mark.parametrize("name", TRUE)
def test_what_is_true_verifies(name: str) -> None:
    """And is logged as it came."""
    submission = read_submission(TRUE[name])
    assert submission.entry == TRUE[name]
    assert submission.objection(PARTIES) is None


@pytest.mark.parametrize("name", TRUE)
def test_no_byte_of_it_can_be_changed(name: str) -> None:
    """It is refused, or it is a text of which every byte is compared."""
    good = TRUE[name]
    for at in range(1, len(good), 1 if len(good) < 700 else 7):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        try:
            submission = read_submission(bad)
        except MalformedMessage:
            continue
        assert submission.objection(PARTIES) is not None, at


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (entry(Claim(order(1, bank=bytes(32)), (certificate(1),))), "another bank"),
        (entry(withdrawal(1, bank=bytes(32))), "another bank"),
        (entry(Claim(order(1), (certificate(1, bank=OTHER),))), "not certified"),
        (entry(Claim(order(1), (certificate(2),))), "not certified"),
        (answer(b"s" * 32, bank=OTHER), "did not sign"),
        (posted(1, bank=OTHER), "did not sign"),
        (double_certificate(1, bank=OTHER), "neither this board nor its bank"),
        (two_logs(5, board=OTHER), "neither this board nor its bank"),
        (two_views(board=OTHER), "somebody else"),
        (two_views(bank=OTHER), "somebody else"),
        (double_certificate(1, exponent=3), "both certificates say the same"),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    """Other banks, coins that nobody certified, accusations of keys that the accuser made himself."""
    objection = read_submission(data).objection(PARTIES)
    assert objection is not None
    assert why in objection


def test_somebody_elses_order_or_request_is_no_claim() -> None:
    """Signed by others than the coins or the account."""
    signed = order(1)
    false = SignedOrder(signed.salt, signed.order, signed.order_bytes, order(2).signatures, signed.seal)
    assert "not signed by its coins" in str(Claim(false, (certificate(1),)).objection(BANK.public, BANK_ID))
    mine = withdrawal(1)
    assert isinstance(mine.request, Withdraw)
    forged = Withdraw(type(mine.request.signed)(mine.request.signed.request, bytes(64)))
    assert "not signed by its account" in str(Claim(forged).objection(BANK.public, BANK_ID))
    parties = Parties(BOARD.public, BankKeys(OTHER.public))
    assert parties.bank == bank_id(OTHER.public)
    assert read_submission(entry(claim(1))).objection(parties) == "it is for another bank"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x09",
        b"\x7e" + bytes(100),
        AccountEntry(bytes(32)).encode(),
        make_key_entry(BANK, BANK_ID).encode(),
        RoundEntry(1, 2, 3).encode(),
        AccusationEntry(b"x").encode(),
        AccusationEntry(b"x" * (MOST_LOGGED_BYTES + 1)).encode(),
        ClaimEntry(bytes(5000)).encode(),
        entry(claim(1)) + b"\0",
        entry(claim(1))[:-1],
        posted(1) + b"\0",
        answer(bytes(32))[:-1],
        b"\x0b" + bytes(MOST_ENTRY_BYTES),
    ],
)
def test_what_is_no_submission(data: bytes) -> None:
    """Other kinds are the bank's or the board's own; lengths come first."""
    with pytest.raises(MalformedMessage):
        read_submission(data)


Make = Callable[[], bytes]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (lambda: entry(claim(1)), lambda: entry(claim(1)), True),
        (lambda: entry(claim(1)), lambda: entry(claim(1, request=1)), False),
        (lambda: answer(b"s" * 32), lambda: answer(b"s" * 32), True),
        (lambda: answer(b"s" * 32), lambda: answer(b"s" * 32, 1), False),
        (lambda: posted(1), lambda: posted(1, 4), False),
        (lambda: double_certificate(1), lambda: double_certificate(1), True),
        (lambda: double_certificate(1), lambda: double_certificate(1, 5), False),
        (lambda: two_logs(5), lambda: two_logs(6), False),
    ],
)
def test_what_is_the_same(one: Make, other: Make, same: bool) -> None:
    """One order, one answer, one certificate, one deed."""
    assert (read_submission(one()).subject == read_submission(other()).subject) is same


def test_the_same_deed_proved_by_other_evidence_is_the_same() -> None:
    """Other pairs of checkpoints of the same two sizes say the same of the board."""
    one, other = read_submission(two_logs(5)), read_submission(two_logs(5, roots=(3, 4)))
    assert one.entry != other.entry
    assert one.subject == other.subject
    assert one.subject != read_submission(two_logs(6)).subject


def test_grounds() -> None:
    """Coins, accounts, claims; none for what anyone can have for nothing."""
    grounds = {name: len(list(read_submission(data).grounds())) for name, data in TRUE.items()}
    assert grounds == {
        "claim": 1,
        "claim of eight": 8,
        "withdrawal": 1,
        "deposit": 2,
        "answer": 1,
        "posted": 1,
        "of the bank": 1,
        "of the board": 0,
        "of one of them": 0,
    }
    assert read_submission(TRUE["withdrawal"]).account == key(1).public
    assert read_submission(TRUE["deposit"]).account == key(1).public
    assert read_submission(TRUE["claim"]).account is None

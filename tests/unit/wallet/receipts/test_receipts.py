"""Receipts: what a payer proves, and what nobody else can: payee, bank, reader."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bank.board.log.note import VerifierKey
from bank.board.log.proof import LogProof
from bank.formats.coin import CoinId
from bank.formats.entry import RoundEntry
from bank.formats.order import Output, SignedOrder
from mixmint.errors import PeerError, UserError
from mixmint.keys import SigningKey
from tests.unit.wallet.town import Town, Wallet
from wallet.marks.mark import Opened, Part
from wallet.receipts import making
from wallet.receipts.checking import Trusted, check_receipt
from wallet.receipts.making import find_round, make_receipt
from wallet.receipts.receipt import RECEIPT_LABEL, Receipt, ShownOrder, is_receipt, read_receipt

TO = "the tax office, 3 December, question 17"
NOTE = "for the roof"


class Case:
    """A payment of 13 of 25 units with a note, and what its reader believes."""

    def __init__(self, town: Town, ann: Wallet, row: int) -> None:
        self.town, self.ann, self.row = town, ann, row
        self.trusted = Trusted(town.board.maker.verifier)
        self.log = ann.log

    async def receipt(self, to: str = TO, show: tuple[Part, ...] = tuple(Part)) -> Receipt:
        return await make_receipt(self.ann.books, self.log, self.row, to, show)

    def why(self, receipt: Receipt) -> str:
        return "; ".join(check_receipt(receipt, self.trusted).problems)


@pytest.fixture
async def case(town: Town) -> Case:
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 25)
    await ann.cashier.withdraw(25)
    _, request = await bob.cashier.request(13, "two books")
    outcome = await ann.cashier.pay(request, now=True, note=NOTE)
    for _ in range(5):
        await town.tick()
    return Case(town, ann, outcome.row)


async def test_receipt_shows_what_when_and_for_whom(case: Case) -> None:
    """Through its file, offline."""
    receipt = await case.receipt()
    data = receipt.encode()
    assert is_receipt(data)
    assert read_receipt(data) == receipt
    found = check_receipt(receipt, case.trusted)
    assert (found.problems, found.unchecked, found.note, found.statement) == ((), (), NOTE, "")
    assert sorted(1 << output.exponent for output in found.paid) == [1, 4, 8]
    assert receipt.request is not None
    assert (receipt.request.note, receipt.to) == ("two books", TO)
    payment = case.ann.purse.operation(case.row + 1)
    assert found.round == payment.round > 0


async def test_parts_that_are_hidden_stay_hidden(case: Case) -> None:
    """The note alone, the request alone, nothing."""
    for show in ((Part.NOTE,), (Part.REQUEST,), ()):
        receipt = await case.receipt(show=show)
        found = check_receipt(receipt, case.trusted)
        assert found.holds
        assert found.note == (NOTE if Part.NOTE in show else None)
        assert (receipt.request is not None) is (Part.REQUEST in show)
        assert (NOTE.encode().hex() in receipt.encode().decode()) is (Part.NOTE in show)


def shown(receipt: Receipt) -> ShownOrder:
    """Its one order."""
    (one,) = receipt.orders
    return one


def with_order(receipt: Receipt, **changes: Any) -> Receipt:
    """The receipt with something of its order changed."""
    return replace(receipt, orders=(replace(shown(receipt), **changes),))


def false_signatures(receipt: Receipt) -> Receipt:
    """The bank has the opening and signs with a key of its own."""
    key, one = SigningKey.generate(), shown(receipt)
    made = key.sign(RECEIPT_LABEL, one.order.seal, receipt.to.encode())
    return with_order(receipt, signatures=tuple(made for _ in one.signatures))


def another_note(receipt: Receipt) -> Receipt:
    opening = shown(receipt).opening
    assert opening is not None
    parts = {**opening.parts, Part.NOTE: Opened(bytes(16), b"for the cellar")}
    return with_order(receipt, opening=replace(opening, parts=parts))


def another_request(receipt: Receipt) -> Receipt:
    assert receipt.request is not None
    return replace(receipt, request=replace(receipt.request, note="three books"))


def another_payee(receipt: Receipt) -> Receipt:
    assert receipt.request is not None
    changed = replace(receipt.request, outputs=receipt.request.outputs[:1])
    return with_order(replace(receipt, request=changed), opening=None)


def a_request_of_others(receipt: Receipt) -> Receipt:
    assert receipt.request is not None
    output = Output(CoinId(bytes(32)), 3)
    return replace(receipt, request=replace(receipt.request, outputs=(output,)))


def changed_order(receipt: Receipt) -> Receipt:
    data = bytearray(shown(receipt).order.encode())
    data[16 + 1 + 32] ^= 1
    return with_order(receipt, order=SignedOrder.decode(bytes(data)))


def without(index: int) -> Callable[[Receipt], Receipt]:
    return lambda receipt: with_order(
        receipt, entries=tuple(each for at, each in enumerate(shown(receipt).entries) if at != index)
    )


def bent_entry(receipt: Receipt) -> Receipt:
    first, *rest = shown(receipt).entries
    bent = LogProof(first.index, first.hashes, first.note, first.extra[:-1] + bytes([first.extra[-1] ^ 1]))
    return with_order(receipt, entries=(bent, *rest))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda receipt: replace(receipt, to="somebody else"), "signature for the reader"),
        (false_signatures, "signature for the reader"),
        (another_note, "isn't what the order binds"),
        (another_request, "another request"),
        (another_payee, "isn't bound"),
        (a_request_of_others, "doesn't pay the request"),
        (changed_order, "isn't signed by its coins"),
        (without(0), "doesn't show"),
        (without(1), "doesn't show"),
        (lambda receipt: with_order(receipt, entries=shown(receipt).entries[:-1]), "mark of their round"),
        (bent_entry, "isn't under the checkpoint"),
        (lambda receipt: replace(receipt, founding=bytes(32)), "isn't the one that the order names"),
    ],
)
async def test_what_was_changed_proves_nothing(
    case: Case, change: Callable[[Receipt], Receipt], why: str
) -> None:
    """By the reader who shows it on, by the bank, by a payer who exaggerates."""
    assert why in case.why(change(await case.receipt()))


async def test_another_log_or_none_proves_nothing(case: Case) -> None:
    """Who doesn't know the log's key can't be shown its entries."""
    receipt = await case.receipt()
    stranger = Trusted(VerifierKey(case.trusted.log.name, SigningKey.generate().public))
    assert not check_receipt(receipt, stranger).holds
    assert "name the log's policy" in "; ".join(check_receipt(receipt, None).problems)


async def test_what_is_no_payment_of_ours_is_not_proved(case: Case) -> None:
    """A withdrawal, a row that isn't there; a payment that isn't settled."""
    for row in (1, 99):
        with pytest.raises(UserError, match="no payment of yours"):
            await make_receipt(case.ann.books, case.log, row, TO)
    bob = case.town.wallet("carl")
    _, request = await bob.cashier.request(1, "", hold=True, reply=True)
    held = await case.ann.cashier.pay(request, now=True)
    with pytest.raises(UserError, match="isn't settled"):
        await make_receipt(case.ann.books, case.log, held.row, TO)


async def test_rounds_are_found_by_halving(case: Case) -> None:
    """Each one, its first leaf and its mark; and none that isn't there."""
    published = await case.log.checkpoint()
    leaves = case.town.board.maker.leaves
    for number in range(1, case.town.board.closed + 1):
        first, end = await find_round(case.log, published, number)
        assert leaves[end][:1] == b"\x7f"
        assert first == 0 or leaves[first - 1][:1] == b"\x7f"
        assert all(leaf[:1] != b"\x7f" for leaf in leaves[first:end])
    with pytest.raises(Exception, match="no round"):
        await find_round(case.log, published, case.town.board.closed + 1)


async def test_false_marks_do_not_hold_the_search_up(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever serves the log has signed nothing of what the search reads: it ends all the same."""
    published = await case.log.checkpoint()

    async def false(*_: object) -> tuple[int, RoundEntry]:
        await asyncio.sleep(0)
        return 0, RoundEntry(99, 0, published.checkpoint.size)

    monkeypatch.setattr(making, "_next_mark", false)
    with pytest.raises(PeerError, match="no round"):
        async with asyncio.timeout(10):
            await find_round(case.log, published, 1)


FORMLESS = [
    b'{"what": "mixmint payment receipt v1"}',
    b'{"what": "mixmint payment receipt v2"}',
    b'{"what": "mixmint payment receipt v2", "to": "", "request": "", "founding_key": "", "key_changes": [],'
    b' "orders": []}',
]


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 5000, *FORMLESS])
def test_bytes_that_are_no_receipt_are_refused_in_one_line(data: bytes) -> None:
    """Whatever a stranger sends."""
    with pytest.raises(UserError, match="no payment receipt"):
        read_receipt(data)


async def test_any_byte_of_the_file_matters(case: Case) -> None:
    """Changed anywhere, it is refused, or proves nothing."""
    data = (await case.receipt()).encode()
    for at in range(0, len(data), 97):
        bent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            receipt = read_receipt(bent)
        except UserError:
            continue
        assert receipt == read_receipt(data) or not check_receipt(receipt, case.trusted).holds, at

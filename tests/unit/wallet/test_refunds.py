"""Money back to who paid: he shows the order and signs with its coins; nobody else can."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bank.formats.claim import ShownCertificate
from bank.formats.coin import coin_id, sign_certificate
from bank.formats.entry import Kind, SpentEntry
from bank.formats.order import Order, Output, SignedOrder, input_ids, sign_order
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey
from tests.unit.wallet import second_payment
from tests.unit.wallet.test_holding import lapse, patient, payer
from tests.unit.wallet.town import Town, Wallet
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.notices.notice import decode_notice, notice_text, parse_notice
from wallet.notices.refund import PaidBy, RefundTo
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState
from wallet.receipts.checking import Trusted, check_receipt


async def paid(town: Town, units: int = 9) -> tuple[Wallet, Wallet, int, PaymentRequest, int]:
    """Ann has paid Bob's request, which has reply blocks; its row, the request, and the payment's row."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(units, "", reply=True)
    outcome = await ann.cashier.pay(request, now=True)
    return ann, bob, row, request, outcome.row


def payments(wallet: Wallet) -> list[OrderState]:
    """The wallet's orders that paid somebody."""
    states = [stored.state for stored in wallet.purse.operations().values()]
    return [state for state in states if isinstance(state, OrderState) and state.purpose == "payment"]


def wish(
    keys: list[SigningKey],
    signed: SignedOrder,
    request: PaymentRequest,
    to: PaymentRequest,
    shown: Sequence[ShownCertificate] = (),
    round_: int = 0,
) -> RefundTo:
    """What a wallet writes that has these coins' keys; certificates that aren't named are false."""
    by_public = {key.public: key for key in keys}
    shown = tuple(shown) or (ShownCertificate(4, 0, bytes(64)),) * len(keys)
    made = PaidBy.make(signed.salt, signed.order, by_public, request.digest(), to, shown, round_)
    return RefundTo(request.digest(), to, (made,))


async def test_payer_asks_for_a_refund_by_the_reply_blocks(town: Town) -> None:
    """Neither learns who the other is."""
    ann, bob, row, _, payment = await paid(town)
    await ann.cashier.ask_refund(payment)
    await bob.cashier.resume()
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (25, 0)
    with pytest.raises(UserError, match="is paid already"):
        await bob.cashier.refund(row, None, now=True)


async def test_stranger_who_saw_the_request_gets_nothing(town: Town) -> None:
    """An order that the bank never executed, signed by coins of her own: the board doesn't show it."""
    ann, bob, row, request, payment = await paid(town)
    eve = patient(town, "eve")
    _, stolen = await eve.cashier.request(9, "")
    key = SigningKey.generate()
    order = Order(request.bank, os.urandom(16), 900, (key.public,), request.outputs)
    false = wish([key], sign_order(order, [key]), request, stolen)
    bob.slips.boxes[1].append(notice_text(false))
    await bob.cashier.resume()
    with pytest.raises(UserError, match="didn't pay"):
        await bob.cashier.refund(row, None, now=True)
    assert bob.units() == 9
    await ann.cashier.ask_refund(payment)
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED
    await ann.teller.sync()
    assert (ann.units(), bob.units(), eve.units()) == (25, 0, 0)


@pytest.mark.parametrize("lie", ["unsigned", "uncertified", "forged", "too-small", None])
async def test_board_that_lists_a_false_spending_helps_nobody(town: Town, lie: str | None) -> None:
    """
    An entry under the seal of a stranger's order, in the very round: that no coin signed; or signed by a key
    that the bank never certified, or certified for less than it is said to have paid. A coin of hers that is
    worth it is money, and the board shows to everyone that it is gone.
    """
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "", reply=True)
    _, stolen = await patient(town, "eve").cashier.request(9, "")
    key = SigningKey.generate()
    signed = sign_order(Order(request.bank, os.urandom(16), 900, (key.public,), request.outputs), [key])
    signature = bytes(64) if lie == "unsigned" else signed.signatures[0]
    entry = SpentEntry(key.public, signed.seal, signature).encode()
    signer = key if lie == "forged" else town.key
    exponent = 3 if lie == "too-small" else 4
    made = sign_certificate(signer, request.bank, exponent, 0, coin_id(key.public))
    shown = [ShownCertificate(exponent, 0, bytes(64) if lie == "uncertified" else made)]
    town.board.bends = lambda entries: sorted([*entries, entry]) if entries else entries
    await ann.cashier.pay(request, now=True)
    town.board.bends = lambda entries: entries
    (state,) = payments(ann)
    bob.slips.boxes[1].append(notice_text(wish([key], signed, request, stolen, shown, state.round)))
    with suppress(UserError) if lie is None else pytest.raises(UserError, match="didn't pay"):
        await bob.cashier.refund(row, None, now=True)
    assert bob.units() == (0 if lie is None else 9)


@pytest.mark.parametrize("now", [True, False])
async def test_what_the_bank_withheld_and_its_payer_posted_is_paid_back(town: Town, now: bool) -> None:
    """Its certificates stand in later rounds than what they cost; the payer proves it all the same."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "", reply=True)
    wanted = {output.coin for output in request.outputs}

    def bends(entries: list[bytes]) -> list[bytes]:
        return [entry for entry in entries if not (entry[0] == Kind.CERTIFIED and entry[1:33] in wanted)]

    town.board.bends = bends
    payment = (await ann.cashier.pay(request, now=now)).row
    assert all(0 < state.spent_in < state.round for state in payments(ann))
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    await town.tick()
    receipt = await ann.cashier.prove(payment, "")
    found = check_receipt(receipt, Trusted(town.board.maker.verifier))
    assert (found.problems, found.units) == ((), 9)
    log = town.board.maker.verifier
    rounds = second_payment.check_receipt(receipt.encode().decode(), log.name, log.public)["rounds"]
    assert rounds == [state.round for state in payments(ann)]
    await ann.cashier.ask_refund(payment)
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (25, 0)


async def test_order_that_is_seen_is_signed_by_its_coins_alone(town: Town) -> None:
    """The bank knows the opening of the order that paid; without the coins' keys that is no wish."""
    ann, bob, row, request, _ = await paid(town)
    _, stolen = await patient(town, "eve").cashier.request(9, "")
    (state,) = payments(ann)
    false = SigningKey.generate()
    keys = dict.fromkeys(state.order.inputs, false)
    shown = tuple(certificates(ann, state))
    made = PaidBy.make(state.opened.salt, state.order, keys, request.digest(), stolen, shown, state.round)
    with pytest.raises(UserError, match="isn't signed"):
        bob.cashier.payee.keep(row, notice_text(RefundTo(request.digest(), stolen, (made,))))


async def test_what_the_payer_signed_serves_no_other_refund(town: Town) -> None:
    """His wish, turned to another's ids, to another request, or to more than he paid."""
    ann, bob, row, request, payment = await paid(town)
    other, second = await bob.cashier.request(9, "", reply=True)
    await ann.cashier.ask_refund(payment)
    (text,) = bob.slips.boxes[1]
    mine = parse_notice(text)
    assert isinstance(mine, RefundTo)
    # The salts open what the bank and the two of them alone know; no traceback tells.
    assert repr(mine.orders[0].salt) not in repr(mine)
    _, stolen = await patient(town, "eve").cashier.request(9, "")
    turned = replace(mine, request=stolen)
    with pytest.raises(UserError, match="isn't signed"):
        bob.cashier.payee.keep(row, notice_text(turned))
    with pytest.raises(UserError, match="another payment"):
        bob.cashier.payee.keep(other, text)
    with pytest.raises(UserError, match="paid you nothing"):
        bob.cashier.payee.keep(other, notice_text(replace(mine, paid=second.digest())))
    (state,) = payments(ann)
    keys = [found[1].key() for found in map(ann.purse.coin, coins_of(state)) if found is not None]
    _, more = await ann.cashier.request(10, "")
    with pytest.raises(UserError, match="paid less"):
        bob.cashier.payee.keep(row, notice_text(wish(keys, state.opened, request, more)))
    twice = replace(mine, orders=mine.orders * 2)
    with pytest.raises(UserError, match="twice"):
        bob.cashier.payee.keep(row, notice_text(twice))


def certificates(wallet: Wallet, state: OrderState) -> list[ShownCertificate]:
    """The bank's, of the coins that went in."""
    found = [each[1] for each in map(wallet.purse.coin, coins_of(state)) if each is not None]
    return [ShownCertificate(coin.exponent, coin.epoch, coin.certificate) for coin in found]


def coins_of(state: OrderState) -> list[bytes]:
    return [bytes(coin) for coin in input_ids(state.order)]


async def test_one_order_is_paid_back_once(town: Town) -> None:
    """A changed wallet signs two wishes for one payment: the first counts, whoever else paid a part."""
    ann, bob, row, request, payment = await paid(town)
    await ann.cashier.ask_refund(payment)
    (state,) = payments(ann)
    keys = [found[1].key() for found in map(ann.purse.coin, coins_of(state)) if found is not None]
    _, again = await ann.cashier.request(1, "")
    bob.slips.boxes[1].append(notice_text(wish(keys, state.opened, request, again)))
    assert (await bob.cashier.refund(row, None, now=True)).state.units == 9
    with pytest.raises(UserError, match="is paid already"):
        await bob.cashier.refund(row, None, now=True)


async def test_asked_anew_after_the_first_wish_is_over(town: Town, folder: Path) -> None:
    """The payee was away until the request for the refund had ended: the next one counts, once."""
    ann, bob, row, _, payment = await paid(town)
    first = await ann.cashier.ask_refund(payment)
    while town.board.closed <= first.last_round + ann.settings.grace_rounds:
        town.board.close_round()
    await town.tick()
    with pytest.raises(UserError, match="is over; ask him for another"):
        await bob.cashier.refund(row, None, now=True)
    await ann.cashier.ask_refund(payment, folder / "wish")
    text = (folder / "wish").read_text()
    assert (await bob.cashier.refund(row, None, now=True, text=text)).state.units == 9
    with pytest.raises(UserError, match="is paid already"):
        await bob.cashier.refund(row, None, now=True)
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (25, 0)


async def test_a_wish_whose_payment_came_back_is_open_again(town: Town) -> None:
    """The payer wants it by a hold, and lets that lapse."""
    ann, bob, row, request, _ = await paid(town)
    _, to = await ann.cashier.request(9, "", hold=True, reply=True)
    (state,) = payments(ann)
    keys = [found[1].key() for found in map(ann.purse.coin, coins_of(state)) if found is not None]
    shown = certificates(ann, state)
    bob.cashier.payee.keep(row, notice_text(wish(keys, state.opened, request, to, shown, state.round)))
    await bob.cashier.refund(row, None, now=True)
    with pytest.raises(UserError, match="paid already, or under way"):
        await bob.cashier.refund(row, None, now=True)
    await lapse(town, bob)
    await bob.cashier.resume()
    assert bob.units() == 9
    await bob.cashier.refund(row, None, now=True)
    assert bob.units() == 0


async def test_a_refund_that_came_back_was_none(town: Town) -> None:
    """Paid back by a hold that its payee let lapse: the coins are here again, and can be paid back again."""
    ann, bob, row, _, _ = await paid(town)
    _, to = await ann.cashier.request(9, "", hold=True, reply=True)
    await bob.cashier.refund(row, to, now=True)
    with pytest.raises(UserError, match="9 were paid back before"):
        await bob.cashier.refund(row, (await ann.cashier.request(9, ""))[1], now=True)
    await lapse(town, bob)
    await bob.cashier.resume()
    assert bob.units() == 9
    outcome = await bob.cashier.refund(row, (await ann.cashier.request(9, ""))[1], now=True)
    assert outcome.state.units == 9
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (25, 0)


async def test_asked_again_it_is_the_same_request(town: Town) -> None:
    """The post was away, or the process ended in between: one request of ours, sent until it arrives."""
    ann, bob, row, _, payment = await paid(town)
    first = await ann.cashier.ask_refund(payment)
    assert await ann.cashier.ask_refund(payment) == first
    assert len(bob.slips.boxes[1]) == 1
    asked = [each.state for each in ann.purse.operations().values() if isinstance(each.state, InvoiceState)]
    assert len(asked) == 1
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED


async def test_asked_in_a_file_where_there_is_no_way_back(town: Town, tmp_path: Path) -> None:
    """A request without reply blocks: the file shows by itself who paid."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "")
    payment = (await ann.cashier.pay(request, now=False)).row
    with pytest.raises(UserError, match="use --out FILE"):
        await ann.cashier.ask_refund(payment)
    file = tmp_path / "refund"
    await ann.cashier.ask_refund(payment, file)
    await bob.teller.sync()
    outcome = await bob.cashier.refund(row, None, now=True, text=file.read_text())
    assert outcome.state.phase is Phase.SETTLED
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (25, 0)


async def test_nothing_is_asked_back_that_was_not_taken(town: Town) -> None:
    """A hold that its payee hasn't captured comes back by itself."""
    ann, bob = await payer(town), patient(town, "bob")
    _, request = await bob.cashier.request(9, "", hold=True, reply=True)
    payment = (await ann.cashier.pay(request, now=False)).row
    count = len(ann.purse.operations())
    with pytest.raises(UserError, match="isn't settled"):
        await ann.cashier.ask_refund(payment)
    assert len(ann.purse.operations()) == count


async def test_captured_hold_is_asked_back_by_the_block_that_is_left(town: Town) -> None:
    """The notice took the first block."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "", hold=True, reply=True)
    payment = (await ann.cashier.pay(request, now=False)).row
    await bob.cashier.capture(row)
    await ann.cashier.resume()
    await ann.cashier.ask_refund(payment)
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED


async def test_no_block_is_left_behind_a_long_notice(town: Town, tmp_path: Path) -> None:
    """A sealed payment with much to say takes both; that is said before anything is made, and a file goes."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(13, "", reply=True)
    payment = (await ann.cashier.pay(request, now=False, statement="x" * 1000, is_sealed=True)).row
    await bob.cashier.resume()
    await ann.cashier.resume()
    count = len(ann.purse.operations())
    with pytest.raises(UserError, match=r"0 are left.*--out FILE"):
        await ann.cashier.ask_refund(payment)
    assert len(ann.purse.operations()) == count
    file = tmp_path / "refund"
    await ann.cashier.ask_refund(payment, file)
    assert file.read_text().startswith("mixmint closed")
    outcome = await bob.cashier.refund(row, None, now=True, text=file.read_text())
    assert outcome.state.phase is Phase.SETTLED


async def test_second_hold_for_a_request_goes_by_the_second_block(town: Town) -> None:
    """The first one lapsed; its block is used, and a notice through it again would be lost."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "", hold=True, reply=True)
    await ann.cashier.pay(request, now=False)
    await lapse(town, ann)
    await ann.cashier.resume()
    await ann.cashier.pay(request, now=False)
    assert (await bob.cashier.capture(row)).state.phase is Phase.SETTLED
    _, third = await bob.cashier.request(1, "", hold=True, reply=True)
    for _ in range(2):
        await ann.cashier.pay(third, now=False)
        last = max(each.state.round for each in ann.purse.operations().values() if is_held(each.state))
        while town.board.closed < last:
            await town.tick()
        await ann.cashier.resume()
    with pytest.raises(UserError, match="0 are left"):
        await ann.cashier.pay(third, now=False)
    assert ann.units(CoinState.RESERVED) == 0


def is_held(state: object) -> bool:
    return isinstance(state, OrderState) and state.phase is Phase.KEPT


async def test_wishes_of_an_earlier_version_are_passed_over(town: Town) -> None:
    """A purse on disk may have one that proves nothing; it hides nothing else."""
    ann, bob, row, request, payment = await paid(town)
    _, old = await ann.cashier.request(9, "")
    kept = b"\x03" + request.digest() + old.encode()
    with bob.purse.transaction():
        changed = msgspec.structs.replace(bob.cashier.payee.invoice(row), notices=(kept,))
        bob.purse.set_operation(row, changed)
    with pytest.raises(UserError, match="hasn't said where"):
        await bob.cashier.refund(row, None, now=True)
    await ann.cashier.ask_refund(payment)
    assert (await bob.cashier.refund(row, None, now=True)).state.phase is Phase.SETTLED


async def test_hostile_bytes_are_no_wish(town: Town) -> None:
    """Cut short, longer, or with counts that no order has."""
    ann, bob, _, _, payment = await paid(town)
    await ann.cashier.ask_refund(payment)
    data = parse_notice(bob.slips.boxes[1][0]).encode()
    assert decode_notice(data).encode() == data
    for bad in (
        data[:-1],
        data + b"\x00",
        data[:40],
        *(data[:at] + b"\xff" + data[at + 1 :] for at in (0, 65)),
    ):
        with pytest.raises(MalformedMessage):
            decode_notice(bad)
    largest = Order(
        bytes(32),
        bytes(16),
        1,
        tuple(sorted(SigningKey(bytes([n]) * 32).public for n in range(1, 9))),  # type: ignore[arg-type]  # keys of coins
        tuple(Output(bytes([n]) * 32, 0) for n in range(16)),  # type: ignore[arg-type]  # ids of nobody's coins
    )
    keys = {key.public: key for key in (SigningKey(bytes([n]) * 32) for n in range(1, 9))}
    to = PaymentRequest(bytes(32), 1, largest.outputs)
    shown = (ShownCertificate(0, 0, bytes(64)),) * 8
    whole = RefundTo(bytes(32), to, (PaidBy.make(bytes(16), largest, keys, bytes(32), to, shown, 1),))
    assert parse_notice(notice_text(whole)) == whole

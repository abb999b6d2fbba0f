"""A payment sealed with a statement: the payee gets it whole, with the statement, or not at all."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bank.formats.answer import Answer, Held, Refusal, Refused
from bank.formats.coin import CoinId, CoinKey
from bank.formats.order import Order, Output, SignedOrder, seal_of, sign_order, tau_of
from bank.formats.request import encode_request
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from replyblocks.service import Request
from tests.unit.wallet.test_holding import (
    CrashAt,
    patient,
    payer,
    promised,
    resumed,
    whole,
)
from tests.unit.wallet.town import Crash, Town, Wallet
from wallet.machines.foreign import ForeignState, advance
from wallet.machines.steps import Answered, Ask, Clock, Phase
from wallet.marks.mark import Mark, MarkOpening, Opened, Part
from wallet.notices.notice import SealedNotice, notice_text, parse_notice
from wallet.operations import PlanState
from wallet.purse import CoinState

STATEMENT = "rent for November, house 7"


async def sealed(town: Town, file: Path, units: int = 13) -> tuple[Wallet, Wallet, int]:
    """Ann's sealed payment for Bob's request, in a file; the request's row."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(units, "")
    outcome = await ann.cashier.pay(request, now=False, statement=STATEMENT, is_sealed=True, path=file)
    assert outcome.state.phase is Phase.SETTLED
    return ann, bob, row


async def test_payee_takes_it_and_the_statement_is_in_the_order(town: Town, tmp_path: Path) -> None:
    """The payer's wallet asks the bank nothing; both see it on the board."""
    file = tmp_path / "payment"
    ann, bob, row = await sealed(town, file)
    asked = len(ann.wire.asked)
    assert (ann.units(), ann.units(CoinState.RESERVED)) == (12, 13)
    assert (await bob.cashier.take(file.read_text())).state.phase is Phase.SETTLED
    await ann.cashier.resume()
    assert promised(ann).phase is Phase.SETTLED
    assert len(ann.wire.asked) == asked
    mark = Mark.decode(promised(ann).mark)
    assert promised(ann).order.note == mark.commitment()
    assert mark.parts[Part.STATEMENT].content.decode() == STATEMENT
    assert bob.cashier.payee.arrivals(row).word == "paid"
    assert whole(town, ann, bob)


async def test_by_reply_blocks_the_next_command_takes_it(town: Town) -> None:
    """No file: the request has a way back."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(13, "", reply=True)
    await ann.cashier.pay(request, now=False, statement=STATEMENT, is_sealed=True)
    await bob.cashier.resume()
    assert bob.cashier.payee.arrivals(row).word == "paid"
    await ann.cashier.resume()
    assert whole(town, ann, bob)


async def test_what_somebody_else_seals_is_in_nobodys_way(town: Town) -> None:
    """Whoever has the request can sign for it with coins that are none: refused, and the payer's counts."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(13, "", reply=True)
    key, mark = SigningKey.generate(), Mark.make(request.digest(), "", "I owe you nothing")
    order = Order(request.bank, os.urandom(16), 900, (key.public,), request.outputs, note=mark.commitment())
    false = SealedNotice(sign_order(order, [key]), mark.open((Part.REQUEST, Part.STATEMENT)))
    bob.slips.boxes[1].append(notice_text(false))
    await bob.cashier.resume()
    assert bob.cashier.payee.arrivals(row).word == "waiting"
    await ann.cashier.pay(request, now=False, statement=STATEMENT, is_sealed=True)
    bob.slips.boxes[1].append(notice_text(replace(false, order=sign_order(order, [key]))))
    await bob.cashier.resume()
    assert bob.cashier.payee.arrivals(row).word == "paid"
    assert bob.cashier.payee.statement(row) == STATEMENT
    await ann.cashier.resume()
    assert whole(town, ann, bob)


async def test_false_payment_that_waits_for_a_hold_is_in_nobodys_way(town: Town) -> None:
    """
    Sealed with a coin that its sender holds for himself, again and again: the payer's own is submitted
    meanwhile, and the false one waits for one hold and is over then.
    """
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(13, "", reply=True)
    eve = patient(town, "eve")
    await town.fund(eve, 16)
    await eve.cashier.withdraw(16)
    (coin,) = eve.purse.coins(CoinState.FREE).values()
    inputs, mark = (coin.key().public,), Mark.make(request.digest(), "", "much money")
    rest = (Output(eve_id(7), 1), Output(eve_id(8), 0))
    outputs = tuple(sorted((*request.outputs, *rest), key=lambda each: each.coin))
    order = Order(request.bank, os.urandom(16), 2**31, inputs, outputs, note=mark.commitment())
    false = SealedNotice(sign_order(order, [coin.key()]), mark.open((Part.REQUEST, Part.STATEMENT)))
    kept = Order(request.bank, os.urandom(16), 1000, inputs, (Output(eve_id(9), 4),), tau=tau_of(bytes(32)))
    await town.bank.handle([Request(os.urandom(16), encode_request(sign_order(kept, [coin.key()])))])
    (data,) = await town.bank.handle([Request(os.urandom(16), encode_request(false.order))])
    held = Answered(Answer.decode(data))
    assert isinstance(held.answer.body, Held)
    bob.slips.boxes[1].append(notice_text(false))
    await bob.cashier.payee.collect()
    (waiting,) = bob.cashier.payee.sealed()
    bob.books.feed(waiting, held)
    assert foreign(bob, waiting).phase is Phase.HELD
    await ann.cashier.pay(request, now=False, statement=STATEMENT, is_sealed=True)
    await bob.cashier.payee.collect()
    (submitted,) = bob.cashier.payee.sealed()
    assert foreign(bob, submitted).opened.seal == promised(ann).opened.seal
    bob.books.feed(waiting, Clock(foreign(bob, waiting).round))
    bob.books.feed(waiting, held)
    assert (foreign(bob, waiting).phase, foreign(bob, waiting).reason) == (Phase.REFUSED, "held")
    await bob.cashier.resume()
    assert bob.cashier.payee.arrivals(row).word == "paid"
    assert bob.cashier.payee.statement(row) == STATEMENT
    assert not bob.purse.open_operations()


def test_sealed_payment_waits_no_longer_than_its_request() -> None:
    """A hold that never ends, by a bank that says so: over with the request; a capture waits on."""
    order = Order(bytes(32), bytes(16), 2**31, (CoinKey(bytes(32)),), (Output(eve_id(1), 0),))
    signed = SignedOrder(bytes(16), order, order.encode(), (bytes(64),), bytes(32)).encode()
    fields = {"signed": signed, "mine": (), "purpose": "relay", "conversation": bytes(16), "parent": 1}
    state = ForeignState(**fields, phase=Phase.HELD, round=2**30, end=50)
    assert advance(state, Clock(49))[0].phase is Phase.HELD
    over, effects = advance(state, Clock(50))
    assert (over.phase, over.reason) == (Phase.REFUSED, "held")
    assert not any(isinstance(effect, Ask) for effect in effects)
    captured = msgspec.structs.replace(state, h=bytes(range(32)))
    assert advance(captured, Clock(50))[0].phase is Phase.HELD


def eve_id(number: int) -> CoinId:
    return CoinId(bytes([number]) * 32)


def foreign(wallet: Wallet, row: int) -> ForeignState:
    state = wallet.purse.operation(row)
    assert isinstance(state, ForeignState)
    return state


async def test_a_wallet_without_its_old_post_takes_a_sealed_payment(town: Town, tmp_path: Path) -> None:
    """Restored from a backup, it has requests whose keys were in the post of the old home."""
    ann, bob = await payer(town), patient(town, "bob")
    await bob.cashier.request(4, "", reply=True)
    bob.slips.lose_keys()
    row, request = await bob.cashier.request(13, "")
    await ann.cashier.pay(request, now=True, is_sealed=True, path=tmp_path / "payment")
    assert (await bob.cashier.take((tmp_path / "payment").read_text())).state.phase is Phase.SETTLED
    assert bob.cashier.payee.arrivals(row).word == "paid"


def notice_in(file: Path) -> SealedNotice:
    notice = parse_notice(file.read_text())
    assert isinstance(notice, SealedNotice)
    return notice


def with_note(order: SignedOrder, note: bytes) -> SignedOrder:
    """The same order and signatures with another note: what a payee can make."""
    changed = Order(**{name: getattr(order.order, name) for name in order.order.__slots__} | {"note": note})
    data = changed.encode()
    return replace(order, order=changed, order_bytes=data, seal=seal_of(order.salt, data))


@pytest.mark.parametrize("statement", [b"", b"nothing at all"])
async def test_payee_who_strips_or_changes_the_statement_gets_nothing(
    town: Town, tmp_path: Path, statement: bytes
) -> None:
    """His own wallet refuses, and so does the bank: nobody signed that order."""
    file = tmp_path / "payment"
    ann, bob, _ = await sealed(town, file)
    notice = notice_in(file)
    parts: dict[Part, Opened | bytes] = dict(notice.opening.parts)
    parts[Part.STATEMENT] = Opened(os.urandom(16), statement)
    opening = MarkOpening(parts)
    told = SealedNotice(notice.order, opening)
    with pytest.raises(UserError, match="isn't what its payer signed"):
        await bob.cashier.take(notice_text(told))
    changed = with_note(notice.order, opening.commitment())
    with pytest.raises(UserError, match="isn't signed by its coins"):
        await bob.cashier.take(notice_text(SealedNotice(changed, opening)))
    (data,) = await town.bank.handle([Request(os.urandom(16), encode_request(changed))])
    assert Answer.decode(data).body == Refused(Refusal.SIGNATURE, 0)
    await town.tick()
    assert bob.units() == 0
    assert (await bob.cashier.take(file.read_text())).state.phase is Phase.SETTLED
    await ann.cashier.resume()
    assert whole(town, ann, bob)


async def test_sealed_payment_can_be_taken_back_until_it_is_submitted(town: Town, tmp_path: Path) -> None:
    """A race that the bank decides; the payee who comes later has the proof that the payer spent it."""
    file = tmp_path / "payment"
    ann, bob, _ = await sealed(town, file)
    (row,) = [row for row, each in ann.purse.operations().items() if isinstance(each.state, PlanState)]
    assert (await ann.cashier.cancel(row)).state.phase is Phase.SETTLED
    assert promised(ann).phase is Phase.EXPIRED
    outcome = await bob.cashier.take(file.read_text())
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "spent")
    # Bob never had the secret: two signatures by one coin's key, so its holder signed twice.
    proof = outcome.proofs[0]
    assert proof.proves()
    assert proof.coin_key in notice_in(file).order.order.inputs
    assert proof.seal != notice_in(file).order.seal
    assert whole(town, ann, bob)


async def test_forgotten_sealed_payment_comes_back_after_its_last_round(town: Town, tmp_path: Path) -> None:
    """Nobody has to do anything but open the wallet."""
    ann, bob, _ = await sealed(town, tmp_path / "payment")
    for _ in range(promised(ann).order.last_round - town.board.closed):
        town.board.close_round()
    await town.feeder.step()
    await ann.cashier.resume()
    assert promised(ann).phase is Phase.EXPIRED
    assert whole(town, ann, bob)
    outcome = await bob.cashier.take((tmp_path / "payment").read_text())
    assert outcome.state.reason in ("spent", "too-late")


@pytest.mark.parametrize("step", ["plan-written", "order-written", "payee-told"])
async def test_payer_crashes_and_the_file_is_written_once(town: Town, tmp_path: Path, step: str) -> None:
    """Written again, it is the same payment."""
    file, crash, bob = tmp_path / "payment", CrashAt(step, 1), patient(town, "bob")
    _, request = await bob.cashier.request(13, "")
    ann = await payer(town, at=crash)
    crash.armed = True
    with pytest.raises(Crash):
        await ann.cashier.pay(request, now=True, statement=STATEMENT, is_sealed=True, path=file)
    town.close(ann)
    ann = patient(town, "ann")
    await resumed(ann, town)
    assert (await bob.cashier.take(file.read_text())).state.phase is Phase.SETTLED
    await ann.cashier.resume()
    assert whole(town, ann, bob)


@pytest.mark.parametrize(
    "step", ["notice-kept", "order-written", "before-asking", "answered", "answer-booked"]
)
async def test_payee_crashes_and_takes_it_once(town: Town, tmp_path: Path, step: str) -> None:
    """The same file again, or the next command."""
    file = tmp_path / "payment"
    ann, bob, _ = await sealed(town, file)
    town.close(bob)
    crash = CrashAt(step, 1)
    bob = patient(town, "bob", at=crash)
    crash.armed = True
    with pytest.raises(Crash):
        await bob.cashier.take(file.read_text())
    town.close(bob)
    bob = patient(town, "bob")
    await resumed(bob, town)
    assert (await bob.cashier.take(file.read_text())).state.phase is Phase.SETTLED
    await ann.cashier.resume()
    assert whole(town, ann, bob)


async def test_payer_who_puts_in_too_little_pays_nothing(town: Town, tmp_path: Path) -> None:
    """The payee can't see what inputs are worth; the bank refuses, and that is no evidence against it."""
    ann, bob = await payer(town), patient(town, "bob")
    _, request = await bob.cashier.request(13, "")
    (coin,) = [each for each in ann.purse.coins(CoinState.FREE).values() if each.units == 1]
    mark = Mark.make(request.digest(), "", "much money")
    order = Order(
        request.bank, os.urandom(16), 500, (coin.key().public,), request.outputs, note=mark.commitment()
    )
    notice = SealedNotice(sign_order(order, [coin.key()]), mark.open((Part.REQUEST, Part.STATEMENT)))
    outcome = await bob.cashier.take(notice_text(notice))
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "sums")
    assert not bob.books.evidence()


async def test_what_can_not_be_sealed_is_said_before_anything_happens(town: Town, tmp_path: Path) -> None:
    """A hold; a statement that nobody relays; a payment with no way to its payee."""
    ann, bob = await payer(town), patient(town, "bob")
    _, hold = await bob.cashier.request(4, "", hold=True, reply=True)
    _, plain = await bob.cashier.request(4, "")
    with pytest.raises(UserError, match="asks for a hold"):
        await ann.cashier.pay(hold, now=True, is_sealed=True)
    with pytest.raises(UserError, match="seal the payment"):
        await ann.cashier.pay(plain, now=True, statement=STATEMENT)
    with pytest.raises(UserError, match="no way back"):
        await ann.cashier.pay(plain, now=True, is_sealed=True)
    with pytest.raises(UserError, match="needs no file"):
        await ann.cashier.pay(plain, now=True, path=tmp_path / "x")
    assert len(ann.purse.operations()) == 1

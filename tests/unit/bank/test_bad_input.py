"""
Requests that no honest wallet makes: each is refused with a checkable reason, and the books are as before.

The same as claims: the board takes none that can't be read, and what the bank answers to the rest is true.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

import bank.ledger.orders
from bank.claims.truth import Shown, falsehood
from bank.formats.account import sign_request
from bank.formats.answer import Answer, Certificates, Hold, Refusal, Refused, Taken
from bank.formats.claim import Claim
from bank.formats.coin import MOST_EXPONENT, CoinId, CoinKey, coin_id
from bank.formats.order import NOTHING, SPEND_LABEL, Output, SignedOrder, tau_of
from bank.formats.request import Withdraw, encode_request
from bank.ledger.book import Value
from bank.ledger.orders import MOST_HELD_COINS, least_units
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey
from tests.unit.bank.claims.scenes import show
from tests.unit.bank.desk import Desk, fresh

Change = Callable[[SignedOrder], SignedOrder]


def changed(order: SignedOrder, **fields: object) -> SignedOrder:
    """The order with these fields, and a signature for each input: what is wrong with it is its shape."""
    made = replace(order.order, **fields)
    return replace(order, order=made, signatures=(order.signatures * 9)[: len(made.inputs)])


def with_inputs(order: SignedOrder, count: int) -> SignedOrder:
    keys = sorted(CoinKey(SigningKey.generate().public) for _ in range(count))
    return changed(order, inputs=tuple(keys))


def with_outputs(order: SignedOrder, count: int) -> SignedOrder:
    outputs = sorted((fresh(0)[1] for _ in range(count)), key=lambda output: output.coin)
    return changed(order, outputs=tuple(outputs))


SHAPES: dict[str, Change] = {
    "no inputs": lambda order: with_inputs(order, 0),
    "too many inputs": lambda order: with_inputs(order, 9),
    "no outputs": lambda order: with_outputs(order, 0),
    "too many outputs": lambda order: with_outputs(order, 17),
    "an input twice": lambda order: changed(order, inputs=order.order.inputs[:1] * 2),
    "an output twice": lambda order: changed(order, outputs=order.order.outputs[:1] * 2),
    "inputs out of order": lambda order: changed(order, inputs=order.order.inputs[::-1]),
    "a value too large": lambda order: changed(
        order, outputs=(Output(order.order.outputs[0].coin, MOST_EXPONENT + 1),)
    ),
    "a value without end": lambda order: changed(order, outputs=(Output(order.order.outputs[0].coin, 255),)),
    "outputs and an account": lambda order: changed(order, account=b"a" * 32),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_orders_of_a_wrong_shape_are_malformed(desk: Desk, shape: str) -> None:
    """At the bank's door, as a claim, and in a batch beside good ones."""
    good = desk.order([desk.coin(), desk.coin()], [fresh(4)[1]])
    shaped = SHAPES[shape](good)
    bad = b"\x01" + shaped.salt + shaped.order.encode() + b"".join(shaped.signatures)
    before = desk.units("certified")
    answers = [Answer.decode(data) for data in desk.ask_all([bad, encode_request(good), bad])]
    assert answers[0].body == answers[2].body == Refused(Refusal.MALFORMED)
    assert isinstance(answers[1].body, Certificates)
    assert desk.units("certified") == before + 16
    with pytest.raises(MalformedMessage):
        Claim.decode(b"\x01" + len(bad[1:]).to_bytes(2) + bad[1:] + b"\x00")


@pytest.mark.parametrize("exponents", [(2,), (4,), (3, 0), (MOST_EXPONENT,) * 16])
def test_sums_that_differ_are_refused(desk: Desk, exponents: tuple[int, ...]) -> None:
    """Less, more, a little more, and the most that an order can ask for: nothing wraps around."""
    order = desk.order([desk.coin(3)], [fresh(exponent)[1] for exponent in exponents])
    said = desk.ask(order).body
    assert said == Refused(Refusal.SUMS)
    assert falsehood(Shown(show(desk, order), desk.key.public, desk.bank, asked=True), said) is None
    assert desk.count("spent") == 0


def test_another_network_or_bank_is_refused(desk: Desk) -> None:
    """The bank's id is in everything that is signed."""
    order = desk.order([desk.coin()], [fresh(3)[1]], bank=bytes(32))
    assert desk.ask(order).body == Refused(Refusal.WRONG_BANK)
    account = desk.account(8)
    asked = desk.withdraw(account, [fresh(3)[1]]).signed.request
    other = Withdraw(sign_request(account, replace(asked, bank=bytes(32))))
    assert desk.ask(other).body == Refused(Refusal.WRONG_BANK)


def test_another_key_than_the_coins_is_refused(desk: Desk) -> None:
    """Also when its holder knows the coin's public key."""
    coin, thief = desk.coin(), SigningKey.generate()
    order = desk.order([coin], [fresh(3)[1]])
    stolen = replace(order, signatures=(thief.sign(SPEND_LABEL, order.seal),))
    assert desk.ask(stolen).body == Refused(Refusal.SIGNATURE, 0)
    assert desk.count("spent") == 0


def test_a_certificate_of_another_epoch_claims_nothing(desk: Desk) -> None:
    """The bank sets epochs, and knows which it gave; a claim must show that very certificate."""
    order = desk.order([desk.coin()], [fresh(3)[1]])
    shown = show(desk, order)
    wrong = replace(shown.certificates[0], epoch=shown.certificates[0].epoch + 1)
    assert Claim(order, (wrong,)).objection(desk.key.public, desk.bank) is not None
    assert shown.objection(desk.key.public, desk.bank) is None


def test_an_output_id_that_somebody_else_had_certified_first(desk: Desk) -> None:
    """Whoever sees a request can burn its ids, with coins of his own; nothing of the honest payer is lost."""
    key, output = fresh(3)
    desk.ask(desk.order([desk.coin()], [output]))
    mine = desk.coin()
    refused = desk.ask(desk.order([mine], [output])).body
    assert isinstance(refused, Taken)
    assert refused.proof.coin == coin_id(key.public)
    assert refused.proof.holds(desk.key.public, desk.bank)
    assert isinstance(desk.ask(desk.order([mine], [fresh(3)[1]])).body, Certificates)


def small_change(desk: Desk, exponent: int, start: int, count: int) -> list[bytes]:
    """Requests that each hold a coin of a rich member's; he has any number of them."""
    keys = [SigningKey(number.to_bytes(32)) for number in range(start, start + count)]
    value = Value(exponent, desk.epoch)
    desk.run(
        lambda book: [book.certify(coin_id(key.public), value, NOTHING, desk.closed) for key in keys] and None
    )
    tau = tau_of(bytes(32))
    return [
        encode_request(desk.order([key], [Output(CoinId(key.public), exponent)], tau=tau)) for key in keys
    ]


def held_of(desk: Desk, requests: list[bytes]) -> int:
    """How many of them the bank holds."""
    bodies = [Answer.decode(data).body for data in desk.ask_all(requests)]
    assert all(isinstance(body, Hold) or body == Refused(Refusal.BUSY) for body in bodies)
    return sum(isinstance(body, Hold) for body in bodies)


def test_ten_thousand_holds_by_one_client(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the places at the most, with small change; exchanges go on, and rounds make room."""
    desk, many = sqlite_desk, 10_000
    monkeypatch.setattr(bank.ledger.orders, "MOST_HELD_COINS", 2 * many)
    orders = small_change(desk, 0, 1, many + 500)
    assert held_of(desk, orders) == many
    assert desk.ask_bytes(orders[0]) == desk.ask_bytes(orders[0])
    assert isinstance(desk.ask(desk.order([desk.coin()], [fresh(3)[1]])).body, Certificates)
    mine = desk.order([desk.coin(0)], [fresh(0)[1]], tau=tau_of(bytes(32)))
    assert desk.ask(mine).body == Refused(Refusal.BUSY)
    desk.closed += desk.terms.hold_rounds
    assert isinstance(desk.ask(mine).body, Hold)


def test_a_rich_member_who_fills_the_places_pays_twice_as_much_for_each_step(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An honest member is held with a coin of 64 units until the filler has tied up a hundred times that."""
    desk, most = sqlite_desk, 2000
    monkeypatch.setattr(bank.ledger.orders, "MOST_HELD_COINS", most)
    step, tied, start = most // 2 // MOST_EXPONENT, 0, 1
    tau = tau_of(bytes(32))
    for exponent in range(8):
        honest = desk.order([desk.coin(6)], [fresh(6)[1]], tau=tau)
        said = desk.ask(honest).body
        assert isinstance(said, Hold) is (exponent <= 6), exponent
        if exponent > 6:
            break
        tried = step + 5 if exponent else most // 2 + 5
        filled = held_of(desk, small_change(desk, exponent, start, tried))
        start += tried
        tied += filled << exponent
        assert filled <= (most // 2 if exponent == 0 else step)
    assert said == Refused(Refusal.BUSY)
    assert tied > 100 * 64
    # Whoever has a larger coin is held all the same, and pays from it; and small coins in one order don't
    # make a large one.
    assert isinstance(desk.ask(desk.order([desk.coin(7)], [fresh(7)[1]], tau=tau)).body, Hold)
    several = [desk.coin(6) for _ in range(8)]
    assert desk.ask(desk.order(several, [fresh(9)[1]], tau=tau)).body == Refused(Refusal.BUSY)


def test_all_places_together_take_more_money_than_a_member_has() -> None:
    """The least worth grows up to a coin of the highest value, and is never more."""
    worth = [least_units(held) for held in range(MOST_HELD_COINS + 1)]
    assert worth[: MOST_HELD_COINS // 2 + 1] == [1] * (MOST_HELD_COINS // 2 + 1)
    assert worth == sorted(worth)
    assert worth[-1] == 1 << MOST_EXPONENT
    assert sum(worth[1:]) > 2_000_000_000


def test_room_for_holds_is_counted_in_the_transaction(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of holds can't take more together than there is room for; on both engines."""
    monkeypatch.setattr(bank.ledger.orders, "MOST_HELD_COINS", 3)
    tau = tau_of(bytes(32))
    orders = [encode_request(desk.order([desk.coin()], [fresh(3)[1]], tau=tau)) for _ in range(5)]
    said = [type(Answer.decode(data).body) for data in desk.ask_all(orders)]
    assert said == [Hold, Hold, Hold, Refused, Refused]

"""Two-step orders: Simon's yes, no and collision; h executes; nothing is held twice at one time."""

import os
from pathlib import Path

from bank.board.feed import Batch, FeedReceipt
from bank.board.reading.client import Cursor
from bank.comparison import Compared
from bank.confirmer import confirm
from bank.formats.answer import Certificates, Held, Hold, Promise, Refusal, Refused, Spent, Taken
from bank.formats.order import SignedOrder, tau_of
from bank.formats.request import Execute, encode_request
from bank.ledger import Terms
from bank.ledger.orders import KEEP_ROUNDS
from bank.outbox import record
from mixmint.keys import SigningKey
from tests.unit.bank.desk import LATE, Desk, fresh
from tests.unit.bank.engines import Sqlite


def two_step(
    desk: Desk, keys: list[SigningKey], exponent: int = 3, last_round: int = LATE
) -> tuple[SignedOrder, bytes]:
    h = os.urandom(32)
    return desk.order(keys, [fresh(exponent)[1]], tau=tau_of(h), last_round=last_round), h


def hear(desk: Desk, closed: int) -> None:
    """A receipt of the board's."""
    desk.closed = closed
    receipt = FeedReceipt(1, closed + 1, closed, bytes(64))
    desk.run(lambda book: record(book, Batch(1, ()), receipt))


def settle(desk: Desk, group: int) -> None:
    """The bank has read the groups before this one on the board."""
    desk.run(lambda book: confirm(book, Compared(Cursor(1), group, True, None)))


def test_a_hold_then_h_executes(desk: Desk) -> None:
    """The hold names its rounds, spends and shows nothing, but has a number; h gets the certificates."""
    signed, h = two_step(desk, [desk.coin(3)])
    assert desk.ask(signed).body == Hold(8, 17)
    assert desk.count("spent") == 0
    assert desk.groups() == [[]]
    assert isinstance(desk.ask(Execute(signed.seal, h)).body, Certificates)
    assert [len(group) for group in desk.groups()] == [0, 2]
    assert desk.count("held_coin") == desk.count("promised") == 0


def test_both_steps_are_idempotent_across_a_crash(desk: Desk) -> None:
    """Each step, asked again later, gets its first answer."""
    signed, h = two_step(desk, [desk.coin(3)])
    steps = [encode_request(signed), encode_request(Execute(signed.seal, h))]
    first = [desk.ask_bytes(step) for step in steps]
    desk.reopen()
    desk.closed += 3
    desk.epoch += 1
    assert [desk.ask_bytes(step) for step in steps] == first
    assert len(desk.groups()) == 2


def test_a_live_hold_stands_in_the_way_of_everyone_else(desk: Desk) -> None:
    """Another hold and an exchange both get *held*, with the proof of the order that holds the coin."""
    coin = desk.coin(3)
    holder, _ = two_step(desk, [coin])
    desk.ask(holder)
    for rival in (two_step(desk, [coin])[0], desk.order([coin], [fresh(3)[1]])):
        body = desk.ask(rival).body
        assert isinstance(body, Held)
        assert (body.seal, body.last_round) == (holder.seal, 17)
        assert body.proves()
    assert desk.count("spent") == 0


def test_two_holds_on_one_coin_never_share_a_round(desk: Desk) -> None:
    """The second hold begins after the first one's last round."""
    coin = desk.coin(3)
    first = desk.ask(two_step(desk, [coin])[0]).body
    assert isinstance(first, Hold)
    desk.closed = first.to_round - 1
    assert isinstance(desk.ask(two_step(desk, [coin])[0]).body, Held)
    desk.closed = first.to_round
    second = desk.ask(two_step(desk, [coin])[0]).body
    assert isinstance(second, Hold)
    assert second.from_round == first.to_round + 1


def test_a_held_orders_outputs_are_promised(desk: Desk) -> None:
    """Another order for the same output id gets the bank's signed promise."""
    holder, _ = two_step(desk, [desk.coin(3)])
    desk.ask(holder)
    thief = desk.order([desk.coin(3)], holder.order.outputs)
    for rival in (thief, desk.order([desk.coin(3)], holder.order.outputs, tau=tau_of(bytes(32)))):
        body = desk.ask(rival).body
        assert isinstance(body, Taken)
        assert isinstance(body.proof, Promise)
        assert body.proof.holds(desk.key.public, desk.bank)
        assert body.proof.seal == holder.seal
    assert desk.count("spent") == 0
    desk.closed = 17
    assert isinstance(desk.ask(thief).body, Certificates)


def test_a_late_h_is_executed_if_coins_and_outputs_are_still_free(desk: Desk) -> None:
    """A lapsed hold is no refusal."""
    signed, h = two_step(desk, [desk.coin(3)])
    desk.ask(signed)
    hear(desk, 30)
    assert desk.count("held_coin") == 0
    assert isinstance(desk.ask(Execute(signed.seal, h)).body, Certificates)


def test_a_late_h_loses_to_whoever_took_the_coin(desk: Desk) -> None:
    """Spent by another, held by another, or its output certified: each with its proof."""
    coins = [desk.coin(3) for _ in range(3)]
    late = [two_step(desk, [coin]) for coin in coins]
    for signed, _ in late:
        desk.ask(signed)
    desk.closed = 17
    desk.ask(desk.order([coins[0]], [fresh(3)[1]]))
    desk.ask(two_step(desk, [coins[1]])[0])
    desk.ask(desk.order([desk.coin(3)], late[2][0].order.outputs))
    bodies = [desk.ask(Execute(signed.seal, h)).body for signed, h in late]
    assert [type(body) for body in bodies] == [Spent, Held, Taken]


def test_a_wrong_h_or_an_unknown_seal_executes_nothing(desk: Desk) -> None:
    """Only h with f(h) = tau."""
    signed, _ = two_step(desk, [desk.coin(3)])
    desk.ask(signed)
    assert desk.ask(Execute(signed.seal, bytes(32))).body == Refused(Refusal.WRONG_H)
    assert desk.ask(Execute(bytes(32), bytes(32))).body == Refused(Refusal.NO_HOLD)
    assert desk.count("spent") == 0


def test_a_spent_coin_can_not_be_held(desk: Desk) -> None:
    """Simon's "no", with the proof."""
    coin = desk.coin(3)
    desk.ask(desk.order([coin], [fresh(3)[1]]))
    body = desk.ask(two_step(desk, [coin])[0]).body
    assert type(body) is Spent
    assert body.proves()


def test_a_hold_ends_with_the_orders_last_round(desk: Desk) -> None:
    """After it h is too late for good, and the coin is free."""
    coin = desk.coin(3)
    signed, h = two_step(desk, [coin], last_round=10)
    assert desk.ask(signed).body == Hold(8, 10)
    desk.closed = 10
    assert desk.ask(Execute(signed.seal, h)).body == Refused(Refusal.TOO_LATE)
    assert isinstance(desk.ask(desk.order([coin], [fresh(3)[1]])).body, Certificates)


def test_no_hold_in_a_coins_last_epoch(desk: Desk) -> None:
    """No hold outlives its coins."""
    coin = desk.coin(3, epoch=0)
    desk.epoch = desk.terms.life_epochs - 1
    assert desk.ask(two_step(desk, [coin])[0]).body == Refused(Refusal.EXPIRED_COIN, 0)
    assert isinstance(desk.ask(desk.order([coin], [fresh(3)[1]])).body, Certificates)


def test_a_stranger_can_not_reserve_a_coin(desk: Desk) -> None:
    """Knowing the certificate, the id and the key isn't knowing the secret."""
    coin, stranger = desk.coin(3), SigningKey.generate()
    signed, _ = two_step(desk, [coin])
    forged = SignedOrder.decode(signed.encode()[:-64] + stranger.sign("mixmint/spend/v1", signed.seal))  # type: ignore[arg-type]
    assert desk.ask(forged).body == Refused(Refusal.SIGNATURE, 0)
    assert desk.count("held_coin") == 0


def test_an_executed_order_is_forgotten_once_it_is_settled(desk: Desk) -> None:
    """Afterwards its h gets *spent* with its own seal, and its outputs are nowhere beside its inputs."""
    coin = desk.coin(3)
    signed, h = two_step(desk, [coin])
    desk.ask(signed)
    desk.ask(Execute(signed.seal, h))
    settle(desk, 2)
    assert isinstance(desk.ask(Execute(signed.seal, h)).body, Certificates)
    settle(desk, 3)
    body = desk.ask(Execute(signed.seal, h)).body
    assert type(body) is Spent
    assert (body.seal, body.coin_key) == (signed.seal, coin.public)
    assert body.proves()
    output = signed.order.outputs[0].coin
    holding = [
        table
        for table, rows in desk.engine.tables().items()
        for row in rows
        if any(isinstance(value, bytes) and output in value for value in row)
    ]
    assert holding == ["certified"]
    if isinstance(desk.engine, Sqlite):
        desk.engine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert desk.path.read_bytes().count(output) == 1


def test_a_lapsed_order_is_forgotten_whatever_its_last_round(desk: Desk) -> None:
    """As long after the hold as that lasted, or a little longer; and its coins may be held anew."""
    signed, h = two_step(desk, [desk.coin(3)], last_round=2**32 - 1)
    lasted = desk.ask(signed).body
    assert isinstance(lasted, Hold)
    assert lasted == Hold(8, 17)
    hear(desk, 17 + KEEP_ROUNDS - 1)
    assert desk.ask(signed).body == lasted
    assert desk.ask(Execute(signed.seal, bytes(32))).body == Refused(Refusal.WRONG_H)
    hear(desk, 17 + KEEP_ROUNDS)
    assert desk.count("held_order") == 0
    assert desk.ask(Execute(signed.seal, h)).body == Refused(Refusal.NO_HOLD)
    again = desk.ask(signed).body
    assert isinstance(again, Hold)
    assert again.from_round > lasted.to_round
    assert isinstance(desk.ask(Execute(signed.seal, h)).body, Certificates)


def test_a_long_hold_is_kept_as_long_again(tmp_path: Path) -> None:
    """A payee who comes late has as much time as he had."""
    desk = Desk(tmp_path, Terms(epoch_s=1000, hold_rounds=100))
    signed, h = two_step(desk, [desk.coin(3)], last_round=1000)
    assert desk.ask(signed).body == Hold(8, 107)
    hear(desk, 206)
    assert desk.count("held_order") == 1
    assert isinstance(desk.ask(Execute(signed.seal, h)).body, Certificates)
    other, _ = two_step(desk, [desk.coin(3)], last_round=1000)
    desk.ask(other)
    hear(desk, 406)
    assert desk.count("held_order") == 1
    desk.close()


def test_a_lapsed_order_is_too_late_after_its_last_round(desk: Desk) -> None:
    """While it is on file, and when it is asked for anew."""
    signed, h = two_step(desk, [desk.coin(3)], last_round=10)
    desk.ask(signed)
    hear(desk, 10)
    assert desk.ask(Execute(signed.seal, h)).body == Refused(Refusal.TOO_LATE)
    hear(desk, 10 + KEEP_ROUNDS)
    assert desk.count("held_order") == 0
    assert desk.ask(signed).body == Refused(Refusal.TOO_LATE)


def test_what_lapsed_is_found_by_an_index(desk: Desk) -> None:
    """Each closed round asks for it, however many orders are on file."""
    if isinstance(desk.engine, Sqlite):
        (plan,) = desk.engine.sql(
            "EXPLAIN QUERY PLAN DELETE FROM held_order WHERE group_number IS NULL AND keep_round <= ?", 7
        )
        assert "held_order_end" in plan[3]
    else:
        (found,) = desk.engine.sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'held_order_end'")
        assert "(keep_round) WHERE (group_number IS NULL)" in found[0]

"""A payment request that waits: paid by its coins alone, over by the board's clock alone."""

from bank.formats.coin import coin_id
from bank.formats.order import Output
from wallet.machines.invoice import InvoiceState, advance
from wallet.machines.steps import Clock, Phase, Seen
from wallet.payment_request import PaymentRequest

OUTPUTS = tuple(sorted((Output(coin_id(bytes([n]) * 32), n) for n in (0, 2, 3)), key=lambda each: each.coin))
IDS = [output.coin for output in OUTPUTS]


def waiting() -> InvoiceState:
    return InvoiceState(request=PaymentRequest(bytes(32), 50, OUTPUTS).encode(), grace_rounds=5)


def test_paid_when_the_last_coin_is_there() -> None:
    """Also when they come in several rounds."""
    state, _ = advance(waiting(), Seen(7, frozenset(IDS[:2]), frozenset()))
    assert (state.phase, len(state.arrived)) == (Phase.WORKING, 2)
    state, effects = advance(state, Seen(9, frozenset(IDS[2:]), frozenset()))
    assert (state.phase, state.round, effects) == (Phase.SETTLED, 9, [])
    assert state.arrived_units() == state.opened().units == 13


def test_foreign_coins_pay_nothing() -> None:
    """Only ids of the request count."""
    state = waiting()
    assert advance(state, Seen(7, frozenset((b"\x09" * 32,)), frozenset())) == (state, [])


def test_expires_after_last_round_and_grace_and_is_paid_all_the_same_if_the_coins_come() -> None:
    """An order of the last round is on the board some rounds later."""
    state = waiting()
    assert advance(state, Clock(55))[0].phase is Phase.WORKING
    state, _ = advance(state, Clock(56))
    assert state.phase is Phase.EXPIRED
    state, _ = advance(state, Seen(60, frozenset(IDS), frozenset()))
    assert state.phase is Phase.SETTLED

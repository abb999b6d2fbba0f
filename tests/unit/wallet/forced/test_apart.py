"""Claims that are due together, and the exchanges after them, don't show that they are one member's."""

import pytest

from mixmint.errors import PendingError
from tests.unit.wallet.forced.court import SOON, Court
from tests.unit.wallet.town import Wallet
from wallet.machines.order import OrderState
from wallet.machines.steps import Planned
from wallet.operations import PlanState, Want

AFTER = 8
SLOWLY = SOON | {"claim_after_rounds": AFTER}


async def silent(court: Court) -> Wallet:
    """Four orders without an answer, and the wallet has been away until all of them are long due."""
    ann = await court.funded(units=15, **SLOWLY)
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await court.ticks(4 * AFTER)
    await ann.teller.sync()
    return ann


def planned(wallet: Wallet) -> dict[int, int]:
    """For which rounds claims are planned, by row."""
    states = {row: stored.state for row, stored in wallet.purse.open_operations().items()}
    return {row: state.claim.planned for row, state in states.items() if isinstance(state, OrderState)}


async def test_one_claim_leaves_in_a_round_and_the_others_times_are_on_file(court: Court) -> None:
    """Drawn from half of the time to wait; a wallet that starts anew keeps to them."""
    ann = await silent(court)
    closed = ann.books.closed
    first = ann.teller.claims.due()
    assert len(first) <= 1
    waiting = {row: round_ for row, round_ in planned(ann).items() if row not in first}
    assert len(waiting) >= 3
    assert all(closed < round_ <= closed + AFTER // 2 for round_ in waiting.values())
    for row in first:
        ann.teller.make_claim(row)
    assert ann.teller.claims.due() == []
    other = min(waiting)
    ann.books.feed(other, Planned(closed))
    if not first:
        assert ann.teller.claims.due() == [other]
        ann.teller.make_claim(other)
        other = max(waiting)
        ann.books.feed(other, Planned(closed))
    # One has left in this round.
    assert ann.teller.claims.due() == []
    waiting = {row: round_ for row, round_ in planned(ann).items() if row in waiting and row not in first}
    court.close(ann)
    ann = court.wallet("ann", **SLOWLY)
    ann.wire.fate = lambda: "lost"
    assert waiting.items() <= planned(ann).items()
    assert ann.teller.claims.due() == []


async def test_a_wallet_that_was_away_posts_no_burst(court: Court) -> None:
    """All of them are claimed in the end, in rounds of their own."""
    ann = await silent(court)
    left: list[int] = []
    for _ in range(8 * AFTER):
        await ann.teller.sync()
        before = len(court.claims()) + len(court.board.posted)
        await ann.teller.post_claims()
        left.append(len(court.claims()) + len(court.board.posted) - before)
        await court.tick()
    assert max(left) == 1
    assert sum(left) == len(court.claims()) == 4


async def test_what_can_not_wait_leaves_at_once(court: Court) -> None:
    """A claim behind its order's last round would be too late."""
    ann = await court.funded(units=15, **(SLOWLY | {"order_rounds": 20}))
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    (last,) = {
        stored.state.order.last_round
        for stored in ann.purse.open_operations().values()
        if isinstance(stored.state, OrderState)
    }
    while court.board.closed < last - 3:
        await court.tick()
    await ann.teller.sync()
    assert len(ann.teller.claims.due()) == 4


@pytest.mark.parametrize("drawn", [0, 1], ids=["not drawn yet", "ready together"])
async def test_second_exchanges_begin_one_in_a_round(court: Court, drawn: int) -> None:
    """Each draws its round when it is first looked at; of those that are ready together one begins."""
    ann = await court.funded(units=15, **SLOWLY)
    plan = PlanState(want=Want.EXCHANGE, amount=1, opened=True, from_round=drawn)
    with ann.purse.transaction():
        rows = [ann.purse.add_operation(plan, 0) for _ in range(3)]
    begun: list[int] = []
    for _ in range(4 * AFTER):
        ready = [row for row in rows if row not in begun and not ann.teller.claims.rests(row)]
        assert len(ready) <= 1
        begun += ready
        await court.tick()
        await ann.teller.sync()
    assert sorted(begun) == rows

"""What a member does, from the wallet's disk to the bank's real rules and back from the board."""

import stat
from pathlib import Path

import pytest

from bank.formats.order import input_ids
from bank.ledger.accounts import credit
from mixmint.errors import PendingError, Unavailable, UserError
from tests.unit.wallet.town import Town
from wallet.bearer import read_bearer
from wallet.machines.steps import Phase
from wallet.purse import CoinState


async def test_withdrawal_takes_the_fewest_coins_and_settles_on_the_board(town: Town) -> None:
    """25 units are 16 + 8 + 1, free once the board shows them, and gone from the account."""
    ann = town.wallet("ann")
    await town.fund(ann, 100)
    outcome = await ann.cashier.withdraw(25)
    assert outcome.state.phase is Phase.SETTLED
    assert ann.values() == [1, 8, 16]
    assert await town.balance(ann) == 75
    assert town.outstanding() == 25


async def test_payment_at_once_is_one_question_to_the_bank(town: Town) -> None:
    """13 of 25 units, change included: one order; the payee reads the board only."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 25)
    await ann.cashier.withdraw(25)
    row, request = await bob.cashier.request(13, "two books")
    asked = len(ann.wire.asked)
    outcome = await ann.cashier.pay(request, now=True)
    assert outcome.state.phase is Phase.SETTLED
    assert len(ann.wire.asked) == asked + 1
    assert ann.units() == 12
    paid = await bob.cashier.look_for(row)
    assert paid.state.phase is Phase.SETTLED
    assert bob.wire.asked == []
    assert bob.values() == [1, 4, 8]
    assert all(coin.recognisable for coin in bob.purse.coins(CoinState.FREE).values())
    assert town.outstanding() == 25


async def test_payment_from_stock_uses_only_clean_coins_and_no_change(town: Town) -> None:
    """Without --now, standard exchanges come first; the paying orders have no output of the payer's."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 25)
    await ann.cashier.withdraw(25)
    row, request = await bob.cashier.request(13, "")
    outcome = await ann.cashier.pay(request, now=False)
    assert outcome.state.phase is Phase.SETTLED
    paid = set()
    for stored in ann.purse.operations().values():
        if getattr(stored.state, "purpose", "") == "payment":
            assert stored.state.mine == ()
            (spent,) = (ann.purse.coin(coin) for coin in input_ids(stored.state.order))
            assert spent[1].is_clean
            paid.update(stored.state.order.outputs)
    assert paid == set(request.outputs)
    for stored in ann.purse.operations().values():
        if getattr(stored.state, "purpose", "") == "exchange":
            order = stored.state.order
            assert (len(order.inputs), len(order.outputs)) in {(1, 1), (1, 2), (2, 1)}
    assert ann.units() == 12
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_request_is_paid_once(town: Town) -> None:
    """The payer's wallet refuses the second time; another payer's order is refused as taken."""
    ann, bob, eve = town.wallet("ann"), town.wallet("bob"), town.wallet("eve")
    for wallet in (ann, eve):
        await town.fund(wallet, 16)
        await wallet.cashier.withdraw(16)
    _, request = await bob.cashier.request(3, "")
    await ann.cashier.pay(request, now=True)
    with pytest.raises(UserError, match="paid already"):
        await ann.cashier.pay(request, now=True)
    outcome = await eve.cashier.pay(request, now=True)
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "taken")
    assert eve.units() == 16
    await bob.teller.sync()
    assert bob.units() == 3


async def test_bearer_file_is_exchanged_once_and_the_second_time_proves_it(
    town: Town, tmp_path: Path
) -> None:
    """The second receipt of the same file is refused with the coin key's own signature."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 25)
    await ann.cashier.withdraw(25)
    file = tmp_path / "coins"
    assert (await ann.cashier.hand_over(5, file, now=True)).state.phase is Phase.SETTLED
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ann.units() == 20
    bearer = read_bearer(file)
    assert bearer.units == 5
    outcome = await bob.cashier.receive(bearer)
    assert (outcome.state.phase, outcome.state.units) == (Phase.SETTLED, 5)
    assert bob.units() == 5
    again = await bob.cashier.receive(bearer)
    assert (again.state.phase, again.state.reason) == (Phase.REFUSED, "spent")
    assert len(again.proofs) == len(bearer.coins)
    assert all(proof.proves() for proof in again.proofs)
    assert {proof.coin_key for proof in again.proofs} == {coin.key().public for coin in bearer.coins}
    assert bob.units() == 5
    await ann.teller.sync()
    assert ann.units(CoinState.HANDED) == 0


async def test_deposit_spends_only_coins_that_were_exchanged_first(town: Town) -> None:
    """Withdrawn coins are renewed before they go back, in the exact amount."""
    ann = town.wallet("ann")
    await town.fund(ann, 25)
    await ann.cashier.withdraw(25)
    outcome = await ann.cashier.deposit(10)
    assert (outcome.state.phase, outcome.state.units) == (Phase.SETTLED, 10)
    assert await town.balance(ann) == 10
    assert ann.units() == 15
    deposited = ann.purse.operation(outcome.state.last)
    for coin in deposited.inputs():
        _, record = ann.purse.coin(coin)
        assert record.exchanges >= 1
    assert ann.books.head().balance == 10


async def test_exchange_renews_all_coins(town: Town) -> None:
    """Each coin by an order of its own; the count of own exchanges goes up."""
    ann = town.wallet("ann")
    await town.fund(ann, 7)
    await ann.cashier.withdraw(7)
    outcome = await ann.cashier.exchange(None)
    assert outcome.state.units == 7
    assert ann.values() == [1, 2, 4]
    assert all(coin.exchanges == 1 for coin in ann.purse.coins(CoinState.FREE).values())


async def test_chain_is_caught_up_after_a_credit(town: Town) -> None:
    """A credit in between makes the first request's sequence old: read, verified, signed anew, once."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(4)
    await town.store.run(lambda book: credit(town.signer.bank, ann.purse.account().public, 10, book))
    outcome = await ann.cashier.withdraw(8)
    assert outcome.state.phase is Phase.SETTLED
    assert len(outcome.state.requests) == 2
    assert await town.balance(ann) == 6
    assert ann.units() == 12


async def test_too_little_is_said_before_anything_happens(town: Town) -> None:
    """An account without the units refuses; a purse without them doesn't even ask."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 8)
    outcome = await ann.cashier.withdraw(9)
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "balance")
    _, request = await bob.cashier.request(3, "")
    asked = len(ann.wire.asked)
    with pytest.raises(UserError, match="withdraw more"):
        await ann.cashier.pay(request, now=True)
    assert len(ann.wire.asked) == asked


async def test_no_network_means_nothing_happened(town: Town) -> None:
    """When the gateway can't be reached no operation is written."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    ann.wire.is_down = True
    with pytest.raises(Unavailable):
        await ann.cashier.withdraw(4)
    assert ann.purse.operations() == {}


async def test_lost_answer_is_made_up_for_by_the_board(town: Town) -> None:
    """The bank executed and no answer came: the certificates are picked up from the board."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(8)
    ann.wire.fate = lambda: "no answer"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert ann.units() == 0
    await town.tick()
    over = await ann.cashier.resume()
    assert [outcome.state.phase for outcome in over] == [Phase.SETTLED]
    assert ann.values() == [8]


async def test_timeout_is_unknown_until_the_bank_answers(town: Town) -> None:
    """A question that never arrived keeps the coin reserved; resuming asks the very same again."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(8)
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert ann.units(CoinState.RESERVED) == 8
    assert ann.cashier.undecided()
    first = ann.wire.asked[-1]
    ann.wire.fate = lambda: "twice"
    await ann.cashier.resume()
    assert ann.wire.asked[-1] == first
    assert ann.values() == [8]
    await ann.cashier.request(3, "")
    assert not ann.cashier.undecided()


async def test_file_in_the_way_of_a_hand_over_is_pending_and_blocks_nothing_else(
    town: Town, tmp_path: Path
) -> None:
    """The coins are set aside by then, so it isn't "nothing happened"; moved away, it is written."""
    file = tmp_path / "coins"

    def put_in_the_way(step: str) -> None:
        if step == "coins-chosen":
            file.write_text("something else")

    ann = town.wallet("ann", at=put_in_the_way)
    await town.fund(ann, 9)
    await ann.cashier.withdraw(9)
    with pytest.raises(PendingError, match="move it away"):
        await ann.cashier.hand_over(1, file, now=False)
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert (await ann.cashier.exchange(8)).state.phase is Phase.SETTLED
    file.unlink()
    await ann.cashier.resume()
    assert read_bearer(file).units == 1


@pytest.mark.parametrize("now", [True, False])
async def test_small_coins_are_merged_until_one_order_can_pay(town: Town, now: bool) -> None:
    """Twelve coins of one unit pay nine: no order takes nine inputs, so some are merged first."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 12)
    for _ in range(12):
        await ann.cashier.withdraw(1)
    row, request = await bob.cashier.request(9, "")
    assert (await ann.cashier.pay(request, now=now)).state.phase is Phase.SETTLED
    assert await bob.cashier.look_for(row) is not None
    assert (ann.units(), bob.units()) == (3, 9)


async def test_deposit_of_more_coins_than_an_order_takes_goes_in_parts(town: Town) -> None:
    """511 units are nine coins: two deposits, the same sum."""
    ann = town.wallet("ann")
    await town.fund(ann, 511)
    await ann.cashier.withdraw(511)
    outcome = await ann.cashier.deposit(511)
    assert (outcome.state.phase, outcome.state.units) == (Phase.SETTLED, 511)
    assert (ann.units(), await town.balance(ann)) == (0, 511)

"""Other people's tricks, and a second copy of one's own wallet."""

import pytest

from bank.formats.answer import Spent
from bank.formats.coin import coin_id
from bank.formats.order import Output
from bank.ledger.accounts import credit
from mixmint.errors import PendingError, UserError
from tests.unit.wallet.lies.victim import funded
from tests.unit.wallet.town import Town
from wallet.bearer import Bearer
from wallet.machines.steps import Phase
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState
from wallet.restoring.copies import JUMP


async def test_a_coin_spent_by_a_stranger_is_lost_with_the_proof(town: Town) -> None:
    """Somebody who copied the purse spends first; the board and the bank both prove it."""
    ann = await funded(town)
    (record,) = ann.purse.coins(CoinState.FREE).values()
    thief = town.wallet("thief")
    await thief.cashier.receive(Bearer(town.signer.bank, (record.coin(),)))
    await ann.teller.sync()
    (lost,) = ann.purse.coins(CoinState.LOST).values()
    key, seal, signature = lost.proof[:32], lost.proof[32:64], lost.proof[64:]
    assert coin_id(key) == record.id()
    assert Spent(0, key, seal, signature).proves()
    assert ann.units() == 0


async def test_spent_by_a_stranger_before_the_board_shows_it(town: Town) -> None:
    """The refusal carries the proof; the coin is lost, and the exchange says so."""
    ann, thief = await funded(town), town.wallet("thief")
    (record,) = ann.purse.coins(CoinState.FREE).values()
    await thief.teller.sync()
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError):
        await thief.cashier.receive(Bearer(town.signer.bank, (record.coin(),)))
    outcome = await ann.cashier.exchange(None)
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "spent")
    assert [proof.proves() for proof in outcome.proofs] == [True]
    assert ann.units(CoinState.LOST) == 8


async def test_two_devices_with_one_seed_never_collide_for_long(town: Town) -> None:
    """The second device's ids are taken, so it makes others; both have what they withdrew."""
    ann = await funded(town, 8)
    seed = ann.purse.fact("seed")
    twin = town.wallet("twin")
    with twin.purse.transaction():
        twin.purse.set_fact("seed", seed)
    town.close(twin)
    twin = town.wallet("twin")
    # What the other device withdrew, this one must know: a booking that nobody signed for is the bank's lie.
    with twin.purse.transaction():
        twin.purse.set_fact("chain", ann.purse.fact("chain"))
    await town.store.run(lambda book: credit(town.signer.bank, ann.purse.account().public, 8, book))
    outcome = await twin.cashier.withdraw(8)
    assert outcome.state.phase is Phase.SETTLED
    assert (ann.units(), twin.units()) == (8, 8)
    assert len(twin.purse.coins(CoinState.VOID)) == 1 + JUMP
    assert twin.books.evidence() == []


async def test_a_coin_of_another_value_than_asked_for_is_taken_but_pays_nothing(town: Town) -> None:
    """Somebody who has seen the request can burn its id for less; the payee gets that coin all the same."""
    ann, bob = await funded(town), town.wallet("bob")
    row, request = await bob.cashier.request(8, "")
    (output,) = request.outputs
    burnt = PaymentRequest(request.bank, request.last_round, (Output(output.coin, 1),))
    await ann.cashier.pay(burnt, now=True)
    assert await bob.cashier.look_for(row) is None
    assert bob.values() == [2]
    outcome = await ann.cashier.deposit(1)
    assert outcome.state.phase is Phase.SETTLED


async def test_a_request_that_names_the_payers_own_ids_is_not_paid(town: Town) -> None:
    """A debtor who rewraps our request would have us pay what he owes, and our request would show as paid."""
    ann = await funded(town)
    _, request = await ann.cashier.request(8, "you owe me")
    rewrapped = PaymentRequest(request.bank, request.last_round, request.outputs, "for something else")
    with pytest.raises(UserError, match="pay itself"):
        await ann.cashier.pay(rewrapped, now=True)
    assert ann.units() == 8

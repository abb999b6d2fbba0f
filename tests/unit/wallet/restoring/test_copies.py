"""Two copies of one wallet at once: no coin lost, nobody accused, a clear word to the member."""

import shutil
from contextlib import suppress
from dataclasses import replace

import pytest

from mixmint.errors import PendingError, UserError
from tests.unit.wallet.test_apart import plan_of, rich, the_end, view, waiting
from tests.unit.wallet.town import Town, Wallet
from wallet.machines.steps import Phase
from wallet.parts import watched
from wallet.purse import MOST_AHEAD, CoinState
from wallet.restoring.copies import JUMP, WINDOW


@pytest.fixture
async def pair(town: Town) -> tuple[Wallet, Wallet]:
    """A wallet with 24 units in coins and 24 in the account, and the very same file on another machine."""
    one = town.wallet("one")
    await town.fund(one, 48)
    await one.cashier.withdraw(24)
    town.close(one)
    shutil.copytree(one.home, town.folder / "two")
    return town.wallet("one"), town.wallet("two")


def together(town: Town, one: Wallet, two: Wallet) -> None:
    """Both know the same coins as free, and those are all that there is outside the account."""
    for wallet in (one, two):
        assert wallet.units() == town.outstanding(), wallet.purse.coins()
        assert wallet.units(CoinState.LOST) == 0
        assert wallet.books.evidence() == []
        assert not wallet.purse.open_operations()


async def told(wallet: Wallet) -> list[str]:
    """What the wallet says while it reads the board."""
    lines: list[str] = []
    wallet.teller._warn = lines.append
    await wallet.teller.sync()
    return lines


async def test_what_one_copy_does_the_other_sees(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """It reads the board: the coins are there, its counters are behind them, and it says why."""
    one, two = pair
    await one.cashier.exchange(None)
    assert any("another copy" in line for line in await told(two))
    together(town, one, two)
    assert two.books.copies.exist
    await two.cashier.exchange(None)
    await one.teller.sync()
    together(town, one, two)
    assert not [coin for coin in two.purse.coins().values() if coin.state is CoinState.EXPECTED]


class Blind:
    """A wallet that doesn't get to see the board for a while."""

    def __init__(self, wallet: Wallet) -> None:
        self._teller = wallet.teller
        self._sync = wallet.teller.sync
        cursor = wallet.books.cursor()
        self._closed = cursor.round if cursor else 0

    def __enter__(self) -> None:
        self._teller.sync = self._see_nothing

    def __exit__(self, *_: object) -> None:
        self._teller.sync = self._sync

    async def _see_nothing(self) -> int:
        return self._closed


async def resumed(*wallets: Wallet) -> None:
    """All of them know what the board shows, and nothing is open."""
    for wallet in wallets:
        await wallet.cashier.resume()


async def test_both_spend_the_same_coin(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """The bank takes one order and answers the other *spent*: no theft, but the other copy's doing."""
    one, two = pair
    bob = town.wallet("bob")
    requests = [(await bob.cashier.request(16, ""))[1] for _ in range(2)]
    await one.cashier.exchange(8)
    await one.cashier.pay(requests[0], now=True)
    with Blind(two), suppress(PendingError):
        await two.cashier.pay(requests[1], now=True)
    await resumed(two, one, bob)
    assert bob.units() == 16
    assert [stored.state.phase for stored in two.purse.operations().values()][-1] is Phase.REFUSED
    assert one.units() == two.units() == 8
    assert one.units(CoinState.LOST) == two.units(CoinState.LOST) == 0
    assert one.books.evidence() == two.books.evidence() == []


async def test_ids_that_are_taken_are_left_to_the_other_copy(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """Both exchange at once: the second is told *taken*, jumps, and both have all coins in the end."""
    one, two = pair
    await one.cashier.exchange(8)
    with Blind(two), suppress(PendingError):
        await two.cashier.exchange(16)
    await resumed(two, one)
    together(town, one, two)
    counters = [coin.counter for coin in one.purse.coins(CoinState.FREE).values()]
    assert any(counter > JUMP for counter in counters)


async def test_withdrawal_by_the_other_copy_is_no_lie_of_the_banks(
    town: Town, pair: tuple[Wallet, Wallet]
) -> None:
    """The account's chain has a booking that this copy never signed for; the board shows whose it is."""
    one, two = pair
    await one.cashier.withdraw(8)
    outcome = await two.cashier.withdraw(4)
    assert outcome.state.phase is Phase.SETTLED
    await one.teller.sync()
    together(town, one, two)
    assert one.units() == 36
    assert await town.balance(one) == 12


async def test_deposit_by_a_copy_that_is_not_known_of(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """It makes no coin by which the copy would show: said to be either, and the bank isn't accused of it."""
    one, two = pair
    for wallet in (one, two):
        with wallet.purse.transaction():
            for row, coin in wallet.purse.coins(CoinState.FREE).items():
                wallet.purse.change_coin(row, coin, exchanges=1)
    await one.cashier.deposit(16)
    (line,) = await told(two)
    assert "16 units" in line
    assert "your account has, if it was deposited" in line
    assert two.units(CoinState.LOST) == 16
    assert (await two.cashier.withdraw(2)).state.phase is Phase.SETTLED
    assert two.books.evidence() == []
    assert await town.balance(two) == 24 + 16 - 2


async def test_wallet_without_copies_still_calls_it_lost(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """Who can't know of a copy keeps the proof against whoever spent the coin."""
    one, _ = pair
    row, record = next(iter(one.purse.coins(CoinState.FREE).items()))
    with one.purse.transaction():
        one.books.copies.spent(row, record, b"proof")
    assert one.purse.coins(CoinState.LOST)[row].proof == b"proof"
    with one.purse.transaction():
        one.books.copies.note()
        one.books.copies.spent(row, one.purse.coins()[row], b"proof")
    changed = one.purse.coins()[row]
    assert (changed.state, changed.elsewhere) == (CoinState.SPENT, True)
    assert "words" in one.books.copies.news()[0]
    assert one.books.copies.news() == []


async def test_other_devices_are_seen_from_their_first_coin(town: Town, pair: tuple[Wallet, Wallet]) -> None:
    """The next device's number is watched before anybody has seen it; then the one after."""
    one, two = pair
    for device in (1, 2):
        with two.purse.transaction():
            two.purse.set_device(device)
        town.close(two)
        two = town.wallet("two")
        await two.cashier.exchange(None)
        await one.teller.sync()
        together(town, one, two)
    assert {coin.device for coin in one.purse.coins(CoinState.FREE).values()} == {2}


async def test_purse_counts_no_further_than_a_restore_looks(
    town: Town, pair: tuple[Wallet, Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2^20 requests that nobody pays: refused before a coin could get lost; one that is paid makes room."""
    assert MOST_AHEAD == 2**20
    monkeypatch.setattr("wallet.purse.MOST_AHEAD", 3)
    one, _ = pair
    for _ in range(3):
        await one.cashier.request(1, "")
    with pytest.raises(UserError, match="in a row"):
        await one.cashier.request(1, "")
    ids = [coin.id() for coin in one.purse.coins(CoinState.EXPECTED).values()]
    assert len(ids) == 3
    with one.purse.transaction():
        found = one.purse.coin(ids[-1])
        assert found is not None
        one.purse.note_shown(found[1])
    await one.cashier.request(1, "")


def test_window_is_wider_than_a_jump() -> None:
    """Or a copy that jumped would be out of the other's sight."""
    assert WINDOW > 2 * JUMP


async def test_a_payment_that_the_other_copy_finished_is_paid(town: Town) -> None:
    """Coin by coin, copied in the middle: nobody is sent to ask for money back that was owed."""
    ann, _, _, request = await waiting(town)
    row = plan_of(ann)
    town.close(ann)
    shutil.copytree(ann.home, town.folder / "two")
    one, two = town.wallet("ann"), town.wallet("two")
    assert (await the_end(town, one)).state.units == 13
    over = await the_end(town, two)
    await two.teller.sync()
    shown = view(two, row)
    assert over.state.units < 13
    assert shown["state"] == "paid with others"
    assert "all of the request is paid" in str(shown["meaning"])
    with pytest.raises(UserError, match="has been paid already"):
        await two.cashier.pay(request, now=False)


async def test_what_the_board_shows_only_later_is_seen(town: Town) -> None:
    """Somebody's coin took one of the ids, and the board was slow: partly paid, until it isn't."""
    ann, _, _, request = await waiting(town)
    row, gift = plan_of(ann), replace(request, outputs=request.outputs[1:2])
    eve = await rich(town, "eve")
    late: list[bytes] = []

    def bends(entries: list[bytes]) -> list[bytes]:
        late.extend(entry for entry in entries if entry[1:33] == gift.outputs[0].coin)
        return [entry for entry in entries if entry not in late]

    town.board.bends = bends
    with suppress(PendingError, UserError):
        await eve.cashier.pay(gift, now=True)
    await the_end(town, ann)
    assert view(ann, row)["state"] == "partly paid"
    assert "ask-refund" in str(view(ann, row)["meaning"])
    town.board.bends = lambda entries: entries
    for entry in late[:1]:
        await town.board.post(entry)
    await town.tick()
    await ann.teller.sync()
    assert view(ann, row)["state"] == "paid with others"
    assert not watched(ann.purse, {})

"""Whatever coins there are and whatever goes wrong: sums are exact, limits hold, no unit is lost or made."""

import asyncio
import tempfile
from itertools import count
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.formats.coin import MOST_EXPONENT
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS
from mixmint.errors import PendingError, UserError
from tests.unit.wallet.town import Crash, Town, Wallet
from wallet.bearer import Bearer, parse_bearer, read_bearer
from wallet.derivation import Purpose, derive
from wallet.payment_request import PaymentRequest, parse_uri
from wallet.plans import (
    Exchange,
    Held,
    exact,
    merge,
    next_exchanges,
    pay_at_once,
    pay_from_stock,
    payable,
    total,
)
from wallet.purse import CoinState

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
STANDARD = {(1, 1), (1, 2), (2, 1)}

purses = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40).map(
    lambda coins: [Held(row, exponent, clean) for row, (exponent, clean) in enumerate(coins)]
)


@given(purses, st.integers(1, 9000), st.integers(1, MOST_OUTPUTS))
def test_payment_at_once_is_exact_and_within_an_order(coins: list[Held], amount: int, paid: int) -> None:
    """Inputs are the purse's own, once each; they sum up to the amount and the change."""
    payment = pay_at_once(coins, amount, paid)
    if payment is None:
        return
    assert set(payment.inputs) <= set(coins)
    assert len(set(payment.inputs)) == len(payment.inputs) <= MOST_INPUTS
    assert paid + len(payment.change) <= MOST_OUTPUTS
    assert total(payment.inputs) == amount + sum(1 << exponent for exponent in payment.change)
    assert len(payment.change) == (total(payment.inputs) - amount).bit_count()


@given(purses, st.integers(1, 9000))
def test_exact_sum_is_found_whenever_there_is_one(coins: list[Held], amount: int) -> None:
    """Against a reachable-sums table; and no smaller choice exists for powers of two."""
    fewest = {0: 0}
    for coin in coins:
        for units, used in sorted(fewest.items(), reverse=True):
            reached = units + coin.units
            if reached <= amount and used + 1 < fewest.get(reached, len(coins) + 1):
                fewest[reached] = used + 1
    found = exact(coins, amount)
    assert (found is not None) == (amount in fewest)
    if found is not None:
        assert total(found) == amount
        assert len(found) == fewest[amount]


@given(purses, st.integers(1, 4095))
def test_standard_exchanges_reach_an_exact_clean_stock(coins: list[Held], amount: int) -> None:
    """Each is of a standard shape, none loses a unit, and after a few passes the amount can be paid."""
    if total(coins) < amount:
        return
    rows = count(1000)
    before = total(coins)
    for _ in range(60):
        if pay_from_stock(coins, amount) is not None:
            break
        exchanges = next_exchanges(coins, amount)
        if not exchanges:
            break
        coins = _exchanged(coins, exchanges, rows)
        assert total(coins) == before
    stock = exact([coin for coin in coins if coin.clean], amount)
    assert stock is not None
    # More distinct values than an order takes are paid with change; then there is nothing left to exchange.
    assert len(stock) <= MOST_INPUTS or next_exchanges(coins, amount) == []
    assert len(stock) <= MOST_INPUTS or amount.bit_count() > MOST_INPUTS


def _exchanged(coins: list[Held], exchanges: list[Exchange], rows: "count[int]") -> list[Held]:
    used = [coin for exchange in exchanges for coin in exchange.inputs]
    assert len(set(used)) == len(used)
    assert set(used) <= set(coins)
    made = []
    for exchange in exchanges:
        assert (len(exchange.inputs), len(exchange.outputs)) in STANDARD
        assert total(exchange.inputs) == sum(1 << exponent for exponent in exchange.outputs)
        made += [Held(next(rows), exponent, clean=True) for exponent in exchange.outputs]
    return [coin for coin in coins if coin not in used] + made


@given(purses)
def test_merging_leaves_fewer_coins_of_the_same_sum(coins: list[Held]) -> None:
    """So a purse of small coins can pay in the end."""
    merged = merge(coins)
    if merged is None:
        assert len({coin.exponent for coin in coins}) == len(coins)
        return
    assert len(merged.inputs) <= MOST_INPUTS
    assert len(merged.outputs) < len(merged.inputs)
    assert total(merged.inputs) == sum(1 << exponent for exponent in merged.outputs)


@given(st.integers(1, 1 << 15))
def test_every_ordinary_amount_can_be_paid_in_one_order(amount: int) -> None:
    """Below 32,769 units no request is turned down for its bits; one coin large enough pays it."""
    assert payable(amount)
    coin = Held(1, amount.bit_length(), clean=True)
    payment = pay_at_once([coin], amount, amount.bit_count())
    assert payment is not None or amount.bit_length() >= 16


@given(st.binary(max_size=200))
def test_hostile_requests_and_bearer_files_are_refused_with_one_line(data: bytes) -> None:
    """Nothing but UserError comes out of the parsers."""
    for text in (
        data.decode("latin-1"),
        "mixmint:pay/" + data.hex(),
        "mixmint bearer coins v1\n" + data.hex(),
    ):
        for parse in (parse_uri, parse_bearer):
            with pytest.raises(UserError, match=r"^[^\n]+$"):
                parse(text)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**40), st.integers(0, 2**16 - 1))
def test_secrets_of_different_places_differ(seed: bytes, counter: int, device: int) -> None:
    """Purpose, device, bank and counter each change the secret."""
    bank = bytes(32)
    base = derive(seed, bank, device, Purpose.WITHDRAW, counter)
    others = {
        derive(seed, bank, device, Purpose.EXCHANGE, counter),
        derive(seed, bank, device, Purpose.WITHDRAW, counter + 1),
        derive(seed, bank, device ^ 1, Purpose.WITHDRAW, counter),
        derive(seed, b"\x01" + bank[1:], device, Purpose.WITHDRAW, counter),
    }
    assert base not in others
    assert len(others) == 4


# A town in which anything can be lost, repeated or cut short.


class Trouble:
    """Decides by its seed what goes wrong, and how often."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.on = True

    def fate(self) -> str:
        if not self.on:
            return "both"
        return self.rng.choice(("both", "both", "twice", "lost", "no answer"))

    def at(self, step: str) -> None:
        if self.on and self.rng.random() < 0.03:
            raise Crash(step)


async def live(folder: Path, seed: int) -> None:
    trouble = Trouble(seed)
    rng = trouble.rng
    names = ("ann", "bob", "eve")
    async with Town(folder) as town:

        def wake(name: str) -> Wallet:
            wallet = town.wallet(name, at=trouble.at, settle_wait_s=1.0)
            wallet.wire.fate = trouble.fate
            return wallet

        wallets = {name: wake(name) for name in names}
        for wallet in wallets.values():
            await town.fund(wallet, 64)
        files: list[Path] = []
        requests: list[PaymentRequest] = []
        for number in range(12):
            name = rng.choice(names)
            wallet = wallets[name]
            try:
                await act(wallet, rng, files, requests, folder / f"coins{number}")
            except (PendingError, UserError):
                pass
            except Crash:
                town.close(wallet)
                wallets[name] = wake(name)
            await town.tick()
        trouble.on = False
        for _ in range(4):
            for wallet in wallets.values():
                try:
                    await wallet.cashier.resume()
                except PendingError:
                    await town.tick()
        await check(town, list(wallets.values()), files)


async def act(
    wallet: Wallet, rng: Random, files: list[Path], requests: list[PaymentRequest], file: Path
) -> None:
    """One thing that a member might do."""
    cashier, amount = wallet.cashier, rng.randint(1, 20)
    what = rng.choice(
        ("withdraw", "request", "pay", "pay", "give", "receive", "exchange", "deposit", "resume")
    )
    if what == "withdraw":
        await cashier.withdraw(amount)
    elif what == "request":
        requests.append((await cashier.request(amount, ""))[1])
    elif what == "pay" and requests:
        await cashier.pay(rng.choice(requests), now=rng.random() < 0.5)
    elif what == "give":
        files.append(file)
        await cashier.hand_over(amount, file, now=rng.random() < 0.5)
    elif what == "receive" and files:
        await cashier.receive(read_bearer(rng.choice(files)))
    elif what == "exchange":
        await cashier.exchange(None)
    elif what == "deposit":
        await cashier.deposit(amount)
    else:
        await cashier.resume()


async def check(town: Town, wallets: list[Wallet], files: list[Path]) -> None:
    """Every unit is in exactly one place, and the wallets, the board and the bank agree about it."""
    await town.tick()
    for wallet in wallets:
        await wallet.teller.sync()
        for row, stored in wallet.purse.open_operations().items():
            assert stored.state.phase.value == "working", (row, stored)
        assert wallet.units(CoinState.LOST, CoinState.DISPUTED, CoinState.RESERVED, CoinState.PENDING) == 0
        assert wallet.books.evidence() == []
    free = sum(wallet.units() for wallet in wallets)
    handed = sum(wallet.units(CoinState.HANDED) for wallet in wallets)
    accounts = [await town.balance(wallet) for wallet in wallets]
    assert free + handed == town.outstanding()
    assert free + handed + sum(accounts) == 64 * len(wallets)
    in_files: dict[bytes, int] = {}
    for file in files:
        bearer: Bearer | None = read_bearer(file) if file.exists() else None
        for coin in bearer.coins if bearer else ():
            in_files[coin.id()] = coin.units
            assert coin.exponent <= MOST_EXPONENT
    for wallet in wallets:
        for record in wallet.purse.coins(CoinState.HANDED).values():
            assert in_files[record.id()] == record.units


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_no_unit_is_lost_or_made_whatever_goes_wrong(seed: int) -> None:
    """Lost, repeated and late messages, and processes that end anywhere; then everything is resumed."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        asyncio.run(live(Path(folder), seed))

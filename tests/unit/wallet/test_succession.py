"""A bank is lost, and a successor takes over: each wallet ends with what it had (Simon, definition 6)."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from bank.formats.answer import Answer, Refusal, Refused
from bank.formats.coin import (
    Coin,
    CoinId,
    CoinKey,
    Secret,
    certificate_holds,
    coin_id,
    sign_certificate,
)
from bank.formats.entry import CertifiedEntry, PostedEntry
from bank.formats.order import Order, Output, sign_order
from bank.formats.request import encode_request
from mixmint.errors import PendingError, UserError
from mixmint.keys import SigningKey
from replyblocks.service import Request
from tests.unit.wallet.succession import AUTHORITIES, Handover
from tests.unit.wallet.town import Town, Wallet
from wallet.bearer import Bearer
from wallet.machines.steps import Phase
from wallet.purse import CoinState

NEW, THIRD = SigningKey(b"n" * 32), SigningKey(b"o" * 32)


def patient(town: Town, name: str) -> Wallet:
    """A wallet that waits as long as a busy machine needs."""
    return town.wallet(name, settle_wait_s=60.0)


async def all_of(town: Town, wallet: Wallet) -> int:
    """What a wallet has: coins, and what is on its account."""
    return wallet.units() + await town.balance(wallet)


async def spend_all(town: Town, wallet: Wallet) -> None:
    """Everything back to the account, as far as coins may be deposited; each coin is exchanged first."""
    await wallet.cashier.exchange(wallet.units())
    await wallet.cashier.deposit(wallet.units())


@pytest.mark.parametrize("from_mirror", [False, True], ids=["board", "mirror"])
async def test_everybody_ends_with_what_he_had(tmp_path: Path, from_mirror: bool) -> None:
    """Bank lost between two orders; books made again; all coins are good, the rest is on the accounts."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice, bob = patient(town, "alice"), patient(town, "bob")
        for wallet in (alice, bob):
            await town.fund(wallet, 100)
            await wallet.cashier.withdraw(37)
        listed = await handover.list_accounts()
        await alice.cashier.exchange(20)
        await handover.lose()
        handover.change(NEW)
        copy = tmp_path / "mirror" if from_mirror else None
        if copy:
            shutil.copytree(town.board.maker.folder.path, copy)
        made = await handover.recover(NEW, listed, copy)
        assert (made.account_units, made.outstanding_units, made.void) == (126, 74, 0)
        for wallet in (alice, bob):
            assert await all_of(town, wallet) == 100
            await spend_all(town, wallet)
            assert await town.balance(wallet) == 100
            assert wallet.books.evidence() == []
            assert wallet.books.bank.key == NEW.public


async def settle_all(town: Town, *wallets: Wallet) -> None:
    """Every wallet resumes until nothing is open, as its member would run `wallet resume`."""
    for _ in range(6):
        for wallet in wallets:
            with suppress(PendingError):
                await wallet.teller.sync()
                await wallet.cashier.resume()
        if not any(wallet.purse.open_operations() for wallet in wallets):
            return
        await town.tick()


async def test_what_the_old_bank_did_above_the_cut_is_asked_for_again(tmp_path: Path) -> None:
    """
    Exchanges that settled, that were answered and never published, and whose answers were lost; a coin that
    went on from one to the next; one wallet that was away all the time.
    """
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice, bob, carol = (patient(town, name) for name in ("alice", "bob", "carol"))
        for wallet in (alice, bob, carol):
            await town.fund(wallet, 64)
            await wallet.cashier.withdraw(32)
        listed = await handover.list_accounts()
        cut = handover.cut()
        await alice.cashier.exchange(32)
        await alice.cashier.exchange(32)
        bob.wire.fate = lambda: "no answer"
        with pytest.raises(PendingError):
            await bob.cashier.exchange(32)
        await handover.lose()
        handover.change(NEW, cut)
        bob.wire.fate = lambda: "both"
        await alice.teller.sync()
        assert alice.units() == 0
        made = await handover.recover(NEW, listed)
        assert made.void > 0
        await settle_all(town, alice, bob, carol)
        for wallet in (alice, bob, carol):
            assert wallet.units() == 32, wallet.purse.open_operations()
            for each in wallet.purse.coins(CoinState.FREE).values():
                signed = (each.certificate, handover.keys.id, each.exponent, each.epoch, each.id())
                by = town.key.public if wallet is not carol else handover.keys.founding
                assert certificate_holds(by, *signed)
            await spend_all(town, wallet)
            assert await town.balance(wallet) == 64
            assert not [path for path in wallet.books.evidence() if "split" not in path.name]
        assert town.outstanding_by(handover.keys) == 0


@pytest.mark.parametrize("listed_late", [True, False], ids=["in-the-list", "not-in-the-list"])
async def test_a_withdrawal_in_flight_is_taken_up_along_the_chain(tmp_path: Path, listed_late: bool) -> None:
    """Answered by the old bank, on the board above the cut or not at all: certified anew, or never booked."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = patient(town, "alice")
        await town.fund(alice, 100)
        await alice.cashier.withdraw(10)
        listed = await handover.list_accounts()
        cut = handover.cut()
        await alice.cashier.withdraw(32)
        if listed_late:
            listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW, cut)
        await handover.recover(NEW, listed)
        await settle_all(town, alice)
        assert alice.units() + await town.balance(alice) == 100
        assert alice.units() == 42
        await spend_all(town, alice)
        assert await town.balance(alice) == 100
        kept = [path.name for path in alice.books.evidence() if path.name.startswith("account-taken-over")]
        assert bool(kept) is not listed_late


@pytest.mark.parametrize("listed_late", [True, False], ids=["in-the-list", "not-in-the-list"])
async def test_a_deposit_is_booked_once(tmp_path: Path, listed_late: bool) -> None:
    """Its coins are spent wherever that stands; the successor books it if the list hasn't."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = patient(town, "alice")
        await town.fund(alice, 100)
        await alice.cashier.withdraw(32)
        await alice.cashier.exchange(32)
        listed = await handover.list_accounts()
        cut = handover.cut()
        await alice.cashier.deposit(32)
        if listed_late:
            listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW, cut)
        await handover.recover(NEW, listed)
        await settle_all(town, alice)
        await alice.cashier.withdraw(1)
        await settle_all(town, alice)
        assert not alice.purse.open_operations()
        assert alice.units() + await town.balance(alice) == 100


async def test_a_deposit_that_never_came_to_the_board_is_in_the_list(tmp_path: Path) -> None:
    """Booked, listed, and lost with the outbox: its coins can't be spent once more."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = patient(town, "alice")
        await town.fund(alice, 100)
        await alice.cashier.withdraw(32)
        await alice.cashier.exchange(32)
        town.board.groups_lost = True
        alice.teller._settle_wait_s = 0.2
        with pytest.raises(PendingError):
            await alice.cashier.deposit(32)
        alice.teller._settle_wait_s = 60.0
        listed = await handover.list_accounts()
        await handover.lose()
        town.board.groups_lost = False
        handover.change(NEW)
        await handover.recover(NEW, listed)
        await settle_all(town, alice)
        assert alice.units() == 0
        assert await town.balance(alice) == 100


async def test_a_change_that_too_few_signed_is_ignored_and_said(tmp_path: Path) -> None:
    """One authority alone, or a board that lets anything through, moves no wallet."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = patient(town, "alice")
        await town.fund(alice, 100)
        await alice.cashier.withdraw(8)
        told: list[str] = []
        alice.teller._warn = told.append
        handover.change(NEW, by=AUTHORITIES[:1])
        await town.tick()
        await alice.teller.sync()
        assert alice.books.bank.key == town.key.public
        assert alice.units() == 8
        await alice.cashier.exchange(8)
        assert any("too few" in line for line in told)


async def test_two_changes_one_after_the_other(tmp_path: Path) -> None:
    """And a wallet that was away over both, with a coin from before the first."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice, away = patient(town, "alice"), patient(town, "away")
        for wallet in (alice, away):
            await town.fund(wallet, 50)
            await wallet.cashier.withdraw(16)
        for new in (NEW, THIRD):
            listed = await handover.list_accounts()
            await handover.lose()
            handover.change(new)
            await handover.recover(new, listed)
            await alice.cashier.exchange(16)
            await alice.cashier.withdraw(1)
        await away.cashier.exchange(16)
        for wallet in (alice, away):
            assert await all_of(town, wallet) == 50
            assert wallet.books.bank.keys.all == handover.keys.all
            await spend_all(town, wallet)
            assert await town.balance(wallet) == 50


async def test_a_new_wallet_that_begins_at_the_head_knows_the_key(tmp_path: Path) -> None:
    """It never sees the round that changed it."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW)
        await handover.recover(NEW, listed)
        await town.tick()
        late = patient(town, "late")
        await town.fund(late, 20)
        await late.cashier.withdraw(20)
        assert late.books.bank.key == NEW.public
        assert late.units() == 20


async def test_a_thief_who_has_the_old_key_gains_nothing(tmp_path: Path) -> None:
    """He certifies coins for himself: the successor refuses them, and so does whoever he hands them to."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = patient(town, "alice")
        await town.fund(alice, 20)
        await alice.cashier.withdraw(4)
        old, bank = town.key, town.signer.bank
        listed = await handover.list_accounts()
        cut = handover.cut()
        secret = SigningKey(b"t" * 32)
        coin = coin_id(secret.public)
        epoch = town.clock.epoch()
        certificate = sign_certificate(old, bank, 4, epoch, coin)
        # Published by the board before it knew, and posted by himself afterwards.
        town.board.posted.append(CertifiedEntry(coin, 4, epoch, certificate).encode())
        await handover.lose()
        handover.change(NEW, cut)
        made = await handover.recover(NEW, listed)
        town.board.posted.append(PostedEntry(coin, 4, epoch, certificate).encode())
        await town.tick()
        assert made.void == 1
        stolen = Bearer(bank, (Coin(Secret(secret.seed), 4, epoch, certificate),))
        outcome = await alice.cashier.receive(stolen)
        assert outcome.state.phase is Phase.REFUSED
        assert alice.units() == 4
        key = CoinKey(secret.public)
        order = Order(bank, bytes(16), town.board.closed + 9, (key,), (Output(CoinId(bytes(32)), 4),))
        request = encode_request(sign_order(order, [secret]))
        (data,) = await town.bank.handle([Request(bytes(16), request)])
        answer = Answer.decode(data)
        assert isinstance(answer.body, Refused)
        assert answer.body.reason is Refusal.UNKNOWN_CERTIFICATE
        assert town.outstanding_by(handover.keys) == 4


async def test_a_bank_that_dies_in_the_middle_of_a_hundred_orders(tmp_path: Path) -> None:
    """Some are settled, some answered only, some executed in silence, some lost: nobody loses a unit."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        wallets = [patient(town, f"member-{number}") for number in range(10)]
        for wallet in wallets:
            await town.fund(wallet, 30)
            await wallet.cashier.withdraw(20)
        listed = await handover.list_accounts()
        asked = 0

        def fate() -> str:
            nonlocal asked
            asked += 1
            if asked == 50:
                # From here on the board takes nothing of the bank's any more.
                town.board.groups_lost = True
                for wallet in wallets:
                    wallet.teller._settle_wait_s = 0.2
            return "both" if asked < 55 else "no answer" if asked < 60 else "lost"

        for wallet in wallets:
            wallet.wire.fate = fate
        for number in range(100):
            with suppress(PendingError, UserError):
                await wallets[number % 10].cashier.exchange(20)
        assert asked >= 60
        await handover.lose()
        town.board.groups_lost = False
        handover.change(NEW)
        await handover.recover(NEW, listed)
        for wallet in wallets:
            wallet.wire.fate = lambda: "both"
            wallet.teller._settle_wait_s = 60.0
        await settle_all(town, *wallets)
        for wallet in wallets:
            assert wallet.units() == 20
            await spend_all(town, wallet)
            assert await town.balance(wallet) == 30
        assert town.outstanding_by(handover.keys) == 0

"""Coins in a drawer: renewed, expired, replaced; and what the account's chain says of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.reading.client import Cursor
from bank.chain.check import check
from bank.chain.dispute import decide
from bank.chain.file import Chain
from bank.formats.account import Operation, SignedAccountRequest, sign_statement
from bank.formats.entry import ReplacedEntry
from bank.formats.fields import Reader
from bank.ledger import Terms
from bank.ledger.terms import Age
from bank.retiring import Step, retire_step
from bank.stores.interface import Books
from mixmint.errors import UserError
from tests.unit.wallet.town import NOW_S, Town, Wallet
from wallet.commands.running import renew_due, renew_first
from wallet.expiry import warnings
from wallet.machines.steps import Phase
from wallet.purse import CoinState
from wallet.renewal import Renewals, age_of
from wallet.statements import chain_of, kept_statements, signed_requests
from wallet.statements_reading import read_statements

TERMS = Terms(epoch_s=1000, life_epochs=3, grace_epochs=2, hold_rounds=10, promise_rounds=3, claim_rounds=4)


class OldTown(Town):
    """A town whose years can go by: by the bank's clock, the board's, and the wallets'."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TERMS)
        self.board.maker.begin_s = int(NOW_S)

    async def epochs(self, count: int) -> None:
        self.now_s += count * TERMS.epoch_s
        self.board.maker.begin_s = int(self.now_s)
        await self.tick()

    async def retire(self) -> None:
        """The bank's task, until nothing is left to do; the bank reads the board beside it."""
        epoch = TERMS.epoch_at(self.now_s)

        def read(book: Books) -> Step:
            cursor = Cursor(self.board.closed, closed_at_s=int(self.now_s))
            book.confirm(book.state().confirmed, cursor.encode(), news=False)
            return retire_step(book, TERMS, epoch)

        for _ in range(TERMS.hold_rounds + 3 * TERMS.claim_rounds):
            await self.store.run(read)
            await self.tick()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[OldTown]:
    async with OldTown(tmp_path) as made:
        yield made


async def withdrawn(town: OldTown, units: int) -> Wallet:
    ann = town.wallet("ann", settle_wait_s=60)
    await town.fund(ann, 100)
    await ann.cashier.withdraw(units)
    return ann


async def test_expired_coins_are_no_money_and_go_back_to_the_account(town: OldTown) -> None:
    """Not before their epoch is over at the bank; then once, booked by both sides, shown by the board."""
    ann = await withdrawn(town, 13)
    await town.epochs(5)
    await ann.cashier.resume()
    assert (ann.units(), ann.units(CoinState.EXPIRED)) == (0, 13)
    assert "expired" in warnings(list(ann.purse.coins().values()), TERMS, town.now_s)[0]
    (early,) = await ann.cashier.replace()
    assert (early.state.phase, early.state.reason) == (Phase.REFUSED, "not-yet")
    await town.epochs(1)
    await town.retire()
    (done,) = await ann.cashier.replace()
    assert done.state.phase is Phase.SETTLED
    assert (ann.units(CoinState.EXPIRED), ann.units(CoinState.REPLACED)) == (0, 13)
    assert await town.balance(ann) == 100
    await town.tick()
    await ann.cashier.resume()
    shown = {bytes(entry.coin) for entry in town.board.entries() if isinstance(entry, ReplacedEntry)}
    assert shown == {bytes(each.id()) for each in ann.purse.coins(CoinState.REPLACED).values()}
    with pytest.raises(UserError, match="nothing to replace"):
        await ann.cashier.replace()
    statements = [each.statement for each in kept_statements(ann.purse)]
    assert [each.operation for each in statements] == [
        Operation.OPENED,
        Operation.CREDIT,
        Operation.WITHDRAW,
        Operation.REPLACE,
    ]
    assert statements[-1].digest in signed_requests(ann.purse)
    assert statements[-1].balance == 100


async def test_without_its_receipt_a_coin_is_only_said_to_be_there(town: OldTown) -> None:
    """As after a restore from words; and exchanged coins are nobody's to replace."""
    ann = await withdrawn(town, 5)
    with ann.purse.transaction():
        for row, stored in ann.purse.operations().items():
            bare = type(stored.state)(
                **{
                    name: getattr(stored.state, name)
                    for name in ("operation", "bank", "request_id", "last_round")
                },
                phase=Phase.SETTLED,
            )
            ann.purse.set_operation(row, bare)
        row, record = next(iter(ann.purse.coins(CoinState.FREE).items()))
        ann.purse.change_coin(row, record, exchanges=1)
    await town.epochs(6)
    await ann.cashier.resume()
    found = ann.cashier.replaceable()
    assert not found.parts
    assert found.exchanged_units + found.without_receipt_units == 5
    assert found.exchanged_units == record.units


async def test_coins_in_their_grace_are_renewed_first(town: OldTown) -> None:
    """All of them, an order each; afterwards they are as young as any."""
    ann = await withdrawn(town, 7)
    assert ann.cashier.renewals() == Renewals(next_s=ann.cashier.renewals().next_s)
    await town.epochs(3)
    await ann.cashier.resume()
    found = ann.cashier.renewals()
    assert len(found.first) == 3
    await renew_first(ann.cashier)
    await town.tick()
    await ann.cashier.resume()
    fresh = list(ann.purse.coins(CoinState.FREE).values())
    assert sorted(each.units for each in fresh) == [1, 2, 4]
    assert {age_of(each, TERMS, town.now_s) for each in fresh} == {Age.GOOD}
    assert not ann.cashier.renewals().first


async def test_due_coins_are_renewed_a_few_at_a_time_after_the_command(
    town: OldTown, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two at once, whoever looks late; a bank that is away holds up nobody, and what is on file goes on."""
    ann = await withdrawn(town, 7)
    # Behind the last of their times, and before their life ends.
    town.now_s = (TERMS.epoch_at(town.now_s) + TERMS.life_epochs) * TERMS.epoch_s - 150
    town.board.maker.begin_s = int(town.now_s)
    await town.tick()
    await ann.cashier.resume()
    assert len(ann.cashier.renewals().now) == 2
    ann.wire.fate = lambda: "lost"
    await renew_due(ann.cashier)
    assert "renewed ahead of their expiry" in capsys.readouterr().err
    assert len(ann.purse.open_operations()) == 2
    ann.wire.fate = lambda: "both"
    await ann.cashier.resume()
    await town.tick()
    await renew_due(ann.cashier)
    await ann.cashier.resume()
    assert ann.values() == [1, 2, 4]
    assert {each.exchanges for each in ann.purse.coins(CoinState.FREE).values()} == {1}


async def test_both_sides_show_one_chain(town: OldTown) -> None:
    """The holder's file with all his requests, the bank's with the newest: they agree, offline."""
    ann = await withdrawn(town, 13)
    await ann.cashier.deposit(4)
    await town.fund_again(ann, 7)
    await read_statements(ann.teller)
    mine = chain_of(ann.purse, ann.books.bank)
    key = ann.purse.account().public
    statements, accepted = await town.store.run(
        lambda book: (book.statements(key, 0, 100), book.accepted(key))
    )
    theirs = Chain(
        town.key.public,
        (),
        key,
        tuple(sign_statement(town.key, each) for each in statements),
        (SignedAccountRequest.read(Reader(accepted)),),
    )
    keys = mine.keys(None, 1)
    one, other = check(Chain.decode(mine.encode()), keys), check(Chain.decode(theirs.encode()), keys)
    assert decide(one, other).explains == "nobody"
    assert one.fault is other.fault is None
    assert [len(each.statements) for each in (one, other)] == [5, 5]
    assert one.accepted == other.accepted == 4
    assert one.balance == 98
    # A copy that lost everything but the newest reads the others again.
    with ann.purse.transaction():
        ann.purse._connection.execute("DELETE FROM fact WHERE name LIKE 'statement:%'")  # a purse of before
    await read_statements(ann.teller)
    assert chain_of(ann.purse, ann.books.bank) == mine

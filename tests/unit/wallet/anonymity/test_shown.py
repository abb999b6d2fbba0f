"""What a member is shown of it: the figures of the coins in his purse, from the board he reads anyway."""

from bank.formats.entry import StatementEntry
from bank.formats.statement import Row, Tally, sign_statement
from tests.unit.wallet.town import Town
from wallet import views
from wallet.commands.looking import _of_anonymity


def state(town: Town, rows: list[Row]) -> None:
    """The bank states these counts in the next round."""
    statement = sign_statement(town.key, town.signer.bank, 1, 0, b"r" * 32, Tally(), rows)
    before = town.board.bends

    def bend(entries: list[bytes]) -> list[bytes]:
        town.board.bends = before
        return sorted([*entries, StatementEntry(statement).encode()])

    town.board.bends = bend


async def test_the_figures_come_from_rounds_that_are_read_anyway(town: Town) -> None:
    """Unknown before a statement; then the bank's count and what came since; nobody is asked."""
    ann, bob = town.wallet("ann", settle_wait_s=30), town.wallet("bob", settle_wait_s=30)
    for wallet in (ann, bob):
        await town.fund(wallet, 8)
        await wallet.cashier.withdraw(8)
    (coin,) = views.coin_rows(ann.books)
    assert (coin["public"], coin["exchanges"], coin["beside"]) == (None, 0, 1)
    state(town, [Row(3, coin["epoch"], Tally(withdrawn=40, exchanged=9, spent=8))])
    asked = len(ann.wire.asked)
    await town.tick()
    await ann.teller.sync()
    (coin,) = views.coin_rows(ann.books)
    assert coin["public"] == 41
    assert len(ann.wire.asked) == asked

    await bob.cashier.exchange(None)
    await ann.teller.sync()
    # Bob's new coin may be one more; that his old one is gone the public can't see by its value.
    (coin,) = views.coin_rows(ann.books)
    assert coin["public"] == 42
    await ann.cashier.exchange(None)
    (coin,) = views.coin_rows(ann.books)
    assert (coin["exchanges"], coin["public"]) == (1, 43)


async def test_balance_shows_the_weakest_and_warns(town: Town) -> None:
    """Of the free coins; what is tiny or was never exchanged is said with the next step."""
    ann = town.wallet("ann", settle_wait_s=30)
    await town.fund(ann, 12)
    await ann.cashier.withdraw(12)
    epoch = views.coin_rows(ann.books)[0]["epoch"]
    state(town, [Row(2, epoch, Tally(withdrawn=3)), Row(3, epoch, Tally(withdrawn=300))])
    await town.tick()
    await ann.teller.sync()
    shown = views.balance(ann.books)["anonymity"]
    assert (shown["coins"], shown["public"], shown["exchanges"]) == (2, 3, 0)
    assert (shown["tiny"], shown["fresh"], shown["unknown"]) == (1, 2, 0)
    weakest, tiny, fresh = _of_anonymity(shown)
    assert "1 of at most 3" in weakest
    assert "1 coin in a tiny set" in tiny
    assert "wallet churn" in fresh
    assert _of_anonymity(views.anonymity(town.wallet("empty").books)) == []


async def test_coins_of_one_round_stand_beside_each_other(town: Town) -> None:
    """Of the same value: a payer who knew one of them can't tell which it became."""
    ann = town.wallet("ann", settle_wait_s=30)
    await town.fund(ann, 3)
    for _ in range(3):
        await ann.cashier.withdraw(1)
    await ann.cashier.exchange(None)
    assert {coin["beside"] for coin in views.coin_rows(ann.books)} <= {1, 2, 3}
    together = [coin["round"] for coin in views.coin_rows(ann.books)]
    for coin in views.coin_rows(ann.books):
        assert coin["beside"] == together.count(coin["round"])

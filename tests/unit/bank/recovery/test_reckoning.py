"""How much was withdrawn after the accounts were listed: to the unit, and nothing is owed twice unasked."""

from pathlib import Path

import pytest

from bank.board.feed import Batch
from bank.formats.entry import CertifiedEntry, KeyChangeEntry, decode_entry
from bank.formats.statement import Tally
from bank.recovery.balances import Balances, Listed, list_balances, read_balances
from bank.recovery.reckoning import Shown, Since, since
from bank.recovery.telling import tell, view
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.recovery.lost import HOLDER, NEW, Log, certified, rebuilt, spent
from tests.unit.wallet.succession import Handover
from tests.unit.wallet.town import Town

LISTED = Tally(withdrawn=100, exchanged=40, spent=70, deposited=30)


@pytest.mark.parametrize(
    ("on_its_way", "given", "shown", "found"),
    [
        # Nothing happened since.
        (0, 0, Shown(140, 70), Since(0, 0)),
        # 16 withdrawn, 8 exchanged.
        (0, 0, Shown(164, 78), Since(16, 0)),
        # 16 deposited: nobody is paid twice, and 16 withdrawn beside it would not be seen
        (0, 0, Shown(140, 86), Since(0, 0)),
        # but by what the bank stated.
        (0, 0, Shown(156, 86, stated=Tally(withdrawn=116, deposited=46)), Since(16, 0)),
        # A withdrawal of 4 and a deposit of 2 were on their way, and came; or didn't.
        (4, 2, Shown(140, 70, arrived=4, given=2), Since(0, 0)),
        (4, 2, Shown(136, 68), Since(0, 0)),
        (4, 2, Shown(136 + 16, 68), Since(16, 0)),
        (0, 0, Shown(140, 70, replaced=8), Since(0, 8)),
    ],
)
def test_the_board_tells_how_much(on_its_way: int, given: int, shown: Shown, found: Since) -> None:
    """Orders take in what they give out, whatever they are."""
    assert since(LISTED, on_its_way, given, shown) == found


async def test_a_withdrawal_after_the_list_is_not_paid_for_twice_unasked(tmp_path: Path) -> None:
    """The number is said, and the operator decides; what he accepts is the least that it is."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = town.wallet("alice", settle_wait_s=60.0)
        await town.fund(alice, 64)
        await alice.cashier.withdraw(16)
        listed = await handover.list_accounts()
        await alice.cashier.exchange(16)
        await alice.cashier.withdraw(32)
        cut = handover.cut()
        await handover.lose()
        handover.change(NEW, cut)
        for accepted in (0, 31):
            with pytest.raises(UserError, match=r"32 units at least .* --withdrawn-since 32"):
                await handover.recover(NEW, listed, accepted_units=accepted)
        made = await handover.recover(NEW, listed, accepted_units=32)
        assert made.since == Since(32, 0)
        assert view(made)["withdrawn_since_units"] == 32
        assert any("WARNING: 32 units" in line for line in tell(made, tmp_path))


async def test_a_list_that_is_as_new_as_the_board_owes_nothing_twice(tmp_path: Path) -> None:
    """With a deposit and a withdrawal that were on their way to the board when it was made."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        alice = town.wallet("alice", settle_wait_s=60.0)
        await town.fund(alice, 64)
        await alice.cashier.withdraw(32)
        await alice.cashier.exchange(32)
        await alice.cashier.deposit(16)
        listed = await handover.list_accounts()
        cut = handover.cut()
        await handover.lose()
        handover.change(NEW, cut)
        made = await handover.recover(NEW, listed)
        assert made.since == Since(0, 0)


def test_a_bank_lists_withdrawals_that_are_on_their_way(sqlite_desk: Desk, tmp_path: Path) -> None:
    """With what its books had counted; a list in which somebody else certifies is refused."""
    desk = sqlite_desk
    account = desk.account(100)
    _, output = fresh(4)
    desk.ask(desk.withdraw(account, [output]))
    desk.ask(desk.order([desk.coin(2)], [fresh(2)[1]]))
    path = tmp_path / "balances.json"
    path.write_bytes(desk.run(lambda book: list_balances(book, desk.bank, desk.key)))
    found = read_balances(path, desk.bank, (desk.key.public,))
    assert [entry.exponent for entry in found.withdrawn.values()] == [4]
    assert list(found.withdrawn) == [output.coin]
    assert found.totals == Tally(withdrawn=16, exchanged=4, spent=4)
    assert found.key == desk.key.public
    stranger = SigningKey.generate().public
    (entry,) = found.withdrawn.values()
    path.write_text(path.read_text().replace(entry.certificate.hex(), "00" * 64))
    with pytest.raises(UserError, match="`withdrawn` isn't signed by the bank"):
        read_balances(path, desk.bank, (desk.key.public, stranger))


async def test_what_was_on_its_way_is_certified_by_the_successor(log: Log, desk: Desk) -> None:
    """The balance lacks it, so the coin is good, whoever has it; what arrived isn't given twice."""
    log.close([certified(1).encode(), certified(2).encode(), spent(1).encode()])
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode()])
    listed = Balances(
        {HOLDER: Listed(4, 100)},
        withdrawn={each.coin: each for each in (certified(2), certified(3))},
        totals=Tally(withdrawn=24, spent=8, deposited=8),
        key=change.old,
    )
    made = await rebuilt(log, desk, change, listed)
    assert made.since == Since(0, 0)
    assert made.outstanding_units == 16
    groups = desk.run(lambda book: [batch for _, batch in book.outbox(1)])
    entries = [
        decode_entry(entry) for batch in groups for group in Batch.decode(batch).groups for entry in group
    ]
    (fresh_one,) = [entry for entry in entries if isinstance(entry, CertifiedEntry)]
    assert fresh_one.coin == certified(3).coin
    assert fresh_one.holds(NEW.public, change.bank)

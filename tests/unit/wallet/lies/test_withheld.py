"""Certificates that were given and don't come on the board: waited for, on record, posted by their holder."""

import pytest

from bank.formats.answer import Answer
from bank.formats.entry import Kind, PostedEntry
from mixmint.errors import PendingError, Unavailable
from tests.unit.wallet.lies.victim import funded
from tests.unit.wallet.test_refunds import payments
from tests.unit.wallet.town import Town
from wallet.machines.steps import Phase
from wallet.purse import CoinState


async def test_a_promise_that_the_board_breaks_is_kept_as_evidence(town: Town) -> None:
    """Certified in the answer, missing on the board in the promised round: pending, never free."""
    ann = await funded(town)
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == ["overdue"]
    assert (ann.units(), ann.units(CoinState.PENDING)) == (0, 8)


def withhold(town: Town) -> list[bytes]:
    """The bank, or its board, forgets certificates, but not what was spent for them."""
    withheld: list[bytes] = []

    def bends(entries: list[bytes]) -> list[bytes]:
        withheld.extend(entry for entry in entries if entry[0] == Kind.CERTIFIED)
        return [entry for entry in entries if entry not in withheld]

    town.board.bends = bends
    return withheld


@pytest.mark.parametrize("want", ["exchange", "withdraw"])
async def test_a_certificate_that_the_bank_forgot_is_posted_by_its_holder(town: Town, want: str) -> None:
    """Two rounds after the promised one; on the board it is as good as the bank's, and the operation ends."""
    ann = await funded(town)
    await town.fund_again(ann, 8)
    withheld = withhold(town)
    act = ann.cashier.exchange(None) if want == "exchange" else ann.cashier.withdraw(8)
    outcome = await act
    assert outcome.state.phase is Phase.SETTLED
    assert len(withheld) == 1
    assert ann.units() == (8 if want == "exchange" else 16)
    posted = [entry for entry in town.board.entries() if isinstance(entry, PostedEntry)]
    assert [entry.encode()[1:] for entry in posted] == [entry[1:] for entry in withheld]
    assert "overdue" in {path.name.split("-")[0] for path in ann.books.evidence()}


@pytest.mark.parametrize("now", [True, False])
async def test_what_was_paid_and_the_bank_forgot_is_posted_by_its_payer(town: Town, now: bool) -> None:
    """The payee has no answer of the bank's to show, the payer has: money that left arrives."""
    ann, bob = await funded(town, settle_wait_s=60.0), town.wallet("bob")
    row, request = await bob.cashier.request(5, "")
    wanted = {output.coin for output in request.outputs}

    def bends(entries: list[bytes]) -> list[bytes]:
        return [entry for entry in entries if not (entry[0] == Kind.CERTIFIED and entry[1:33] in wanted)]

    town.board.bends = bends
    outcome = await ann.cashier.pay(request, now=now)
    assert (outcome.state.phase, outcome.state.units or 5) == (Phase.SETTLED, 5)
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    posted = {entry.coin for entry in town.board.entries() if isinstance(entry, PostedEntry)}
    assert posted == wanted
    # The evidence has the bank's signed answer.
    overdue = [path.read_bytes() for path in ann.books.evidence() if path.name.startswith("overdue")]
    for order in (order for order in payments(ann) if order.phase is Phase.SETTLED):
        (answer,) = [data.removesuffix(order.signed) for data in overdue if data.endswith(order.signed)]
        assert Answer.decode(answer).holds(town.key.public, town.signer.bank)
        assert not order.proof


async def test_a_certificate_is_not_posted_before_its_time(town: Town) -> None:
    """The promised round, and two more, are the bank's."""
    ann = await funded(town)
    withhold(town)
    posted: list[tuple[int, bytes]] = []

    async def post(entry: bytes) -> None:
        posted.append((town.board.closed, entry))

    town.board.post = post
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    ((at, _),) = posted
    (coin,) = ann.purse.coins(CoinState.PENDING).values()
    assert at >= coin.round + 2
    assert coin.posted
    # The board took it and doesn't show it: that is its receipt's affair. It isn't posted for ever.
    town.close(ann)
    ann = town.wallet("ann")
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert len(posted) == 1


async def test_what_the_board_does_not_take_is_posted_by_the_next_command(town: Town) -> None:
    """Not again and again by the same one."""
    ann = await funded(town)
    withhold(town)
    tried: list[bytes] = []

    async def refuse(entry: bytes) -> None:
        tried.append(entry)
        raise Unavailable("not now")

    taking, town.board.post = town.board.post, refuse
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert len(tried) == 1
    town.board.post = taking
    town.close(ann)
    ann = town.wallet("ann")
    await ann.cashier.resume()
    assert ann.units() == 8
    assert ann.purse.open_operations() == {}


async def test_nothing_is_posted_while_the_bank_keeps_its_promises(town: Town) -> None:
    """Every coin that is posted shows that its holder watches."""
    ann = await funded(town)
    for _ in range(3):
        await ann.cashier.exchange(None)
    assert not any(isinstance(entry, PostedEntry) for entry in town.board.entries())

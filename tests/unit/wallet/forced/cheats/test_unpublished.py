"""A bank that signs and doesn't publish, or publishes by halves: the money is there all the same."""

from contextlib import suppress

import pytest

from bank.formats.entry import Kind
from mixmint.errors import PendingError, UserError
from tests.unit.wallet.forced.court import IMPATIENT_S, Court


@pytest.mark.parametrize("kept_back", [{Kind.CERTIFIED, Kind.SPENT}, {Kind.CERTIFIED}])
async def test_certificates_that_are_never_published(court: Court, kept_back: set[Kind]) -> None:
    """The wallet has them, and puts them on the board itself: money back."""
    ann = await court.funded()
    court.board.bends = lambda entries: [e for e in entries if e[0] not in kept_back]
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    assert ann.units() == 8


async def test_spent_on_the_board_without_certificates_or_an_answer(court: Court) -> None:
    """The coins are gone and nothing was signed: the claim has the bank certify what they were spent for."""
    ann = await court.funded()
    answered = []

    def swallow(data: bytes) -> bytes:
        answered.append(data)
        return data

    ann.wire.bends, ann.wire.fate = swallow, lambda: "both" if court.claims() else "no answer"
    court.board.bends = lambda entries: [e for e in entries if e[0] != Kind.CERTIFIED]
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    while not court.claims():
        await court.resume(ann)
    court.board.bends = lambda entries: entries
    await court.resume_until(ann)
    assert ann.units() == 8


async def test_an_order_split_over_rounds(court: Court) -> None:
    """Spent in one round, certified in another: kept as evidence, and the money is there all the same."""
    ann = await court.funded()
    held: list[bytes] = []

    def split(entries: list[bytes]) -> list[bytes]:
        late, kept = list(held), [e for e in entries if e[0] != Kind.CERTIFIED]
        held[:] = [e for e in entries if e[0] == Kind.CERTIFIED]
        return sorted([*kept, *late])

    court.board.bends = split
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    assert ann.units() == 8
    assert any(path.name.startswith("split-order") for path in ann.books.evidence())
    # Under the board's signature alone it can't be told which of the two split it.
    assert court.confirmer.complaint is not None

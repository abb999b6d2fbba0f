"""The bank's terms on the board: right after its key, again when they change, never for the worse."""

from pathlib import Path

import pytest

from bank.announcing import check_terms, publish_terms, published_terms
from bank.feeder import Feeder
from bank.formats.entry import KeyEntry, TermsEntry, decode_entry
from bank.ledger import Signer, Terms
from bank.outbox import BoardClock
from bank.stores.sqlite import SqliteBook
from mixmint.errors import FatalError, Unavailable, UserError
from tests.unit.bank.paper import BANK, KEY, PaperBoard, Side

LONGER = Terms(life_epochs=14, claim_rounds=700)


@pytest.fixture
async def side(tmp_path: Path) -> Side:
    return Side(tmp_path / "bank.db", PaperBoard())


def feeder(side: Side, terms: Terms) -> Feeder:
    clock = BoardClock(terms, silence_s=60, now_s=lambda: 0.0)
    return Feeder(side.store, side.board, side.entry, clock, pause_s=0.001, signer=Signer(KEY, terms))


async def test_terms_follow_the_key_and_come_again_when_they_changed(side: Side) -> None:
    """Before anything that they promise; numbered; once each, however often the bank starts."""
    for terms in (Terms(), Terms(), LONGER, LONGER):
        fed = feeder(side, terms)
        for _ in range(3):
            await fed.step()
        side.board.close()
    await side.store.close()
    entries = side.board.entries()
    shown = [entry.terms for entry in entries if isinstance(entry, TermsEntry)]
    assert isinstance(entries[0], KeyEntry)
    assert isinstance(entries[1], TermsEntry)
    assert [each.number for each in shown] == [1, 2]
    assert [Terms.of(each) for each in shown] == [Terms(), LONGER]
    assert all(each.holds(KEY.public) and each.bank == BANK for each in shown)


async def test_terms_that_take_from_coins_are_refused(side: Side) -> None:
    """In one line that says what; the published ones stand."""
    await side.store.run(lambda book: publish_terms(book, Signer(KEY, Terms())))
    for worse, words in (
        (Terms(epoch_s=60), "2592000 seconds"),
        (Terms(life_epochs=11, grace_epochs=9), "life of 12"),
        (Terms(life_epochs=13, grace_epochs=1), "15 epochs"),
    ):
        with pytest.raises(UserError, match=words):
            await side.store.read(lambda view, terms=worse: check_terms(view, terms))
        with pytest.raises(UserError, match=words):
            await side.store.run(lambda book, terms=worse: publish_terms(book, Signer(KEY, terms)))
    newest = await side.store.read(published_terms)
    await side.store.close()
    assert newest is not None
    assert Terms.of(newest) == Terms()


async def test_a_crash_before_the_commit_publishes_nothing(side: Side) -> None:
    """Number and entry are one transaction: no two terms ever have one number."""

    def crash(book: SqliteBook) -> None:
        publish_terms(book, Signer(KEY, Terms()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await side.store.run(crash)
    assert await side.store.read(published_terms) is None
    made = await side.store.run(lambda book: publish_terms(book, Signer(KEY, LONGER)))
    await side.store.close()
    assert made is not None
    assert made.number == 1
    assert decode_entry(TermsEntry(made).encode()) == TermsEntry(made)


async def test_a_store_that_cant_write_is_told_from_a_board_that_is_away(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the health check: the one is this bank's own trouble."""
    fed = feeder(side, Terms())
    seen: list[str] = []
    errors = [UserError("full"), Unavailable("away"), UserError("full"), None, FatalError("over")]

    async def step() -> None:
        seen.append(fed.trouble)
        error = errors[len(seen) - 1]
        if error is not None:
            raise error

    monkeypatch.setattr(fed, "step", step)
    with pytest.raises(FatalError):
        await fed.run()
    assert seen == ["", "full", "", "full", ""]
    await side.store.close()

"""Nobody can frame an honest bank or an honest board, with anything that they ever signed."""

import asyncio
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from bank.board.accusation.file import check
from bank.board.feed import Batch, sign_receipt
from tests.properties.framing.honest_bank import QUIET, HonestBank, refuse_all
from tests.properties.framing.honest_board import ENTRIES, against_the_board, collect, steps
from tests.unit.bank.board.accusation.cheats import BOARD

TestHonestBank = HonestBank.TestCase
TestHonestBank.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)


@given(script=st.lists(steps, max_size=14))
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
def test_nothing_that_an_honest_board_signed_convicts_it(script: list[tuple[object, ...]]) -> None:
    """Whatever its bank feeds it, under whatever numbers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = asyncio.run(collect(folder, script))
        refuse_all(against_the_board(folder, found))


@pytest.mark.parametrize("wait", range(4))
def test_an_order_that_was_checked_under_a_hold_and_settled_after_it_frames_nobody(wait: int) -> None:
    """Signed in one round, settled in a later one: it promises neither the past nor a round of the hold."""
    machine = HonestBank()
    machine.open()
    machine.order(22, held=True, late=0, again=False)
    machine.rounds(wait)
    machine.order(22, held=False, late=4, again=False)
    assert {word.hold is None for word in machine.words} == {True, False}
    machine.teardown()


def test_the_machine_would_see_a_bank_that_breaks_its_word() -> None:
    """The same accusations hold as soon as the bank does forget a hold: the property can fail."""
    machine = HonestBank()
    machine.open()
    machine.order(0, held=True, late=0, again=False)
    machine.desk.connection.execute("DELETE FROM held_coin")
    machine.order(0, held=True, late=0, again=False)
    assert any(check(evidence).holds for evidence in machine.by_words())
    machine.words.clear()
    machine.teardown()


def test_the_search_would_see_a_board_that_breaks_its_word(tmp_path: Path) -> None:
    """A receipt for an entry that the board never had: the property can fail."""
    script = [("feed", 0, [[ENTRIES[0]]]), ("close",)]
    found = asyncio.run(collect(tmp_path, script))
    batch = Batch(1, [[ENTRIES[1]]]).encode()
    found.fed.append((batch, sign_receipt(BOARD, batch, 2, 1, 0), True))
    assert any(check(evidence).holds for evidence in against_the_board(tmp_path, found))

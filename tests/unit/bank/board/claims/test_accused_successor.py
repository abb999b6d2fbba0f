"""Accusations of a bank whose key was changed, as a board takes them."""

from dataclasses import replace
from pathlib import Path

import pytest

from bank.board.accusation.books import CertifiedTwice, EntryFalse
from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.evidence import ConfirmedLog
from bank.board.accusation.file import Evidence, encode_accusation
from bank.board.claims.rules import Parties, read_submission
from bank.formats.entry import AccusationEntry, TermsEntry
from bank.ledger import Terms
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, BOARD, fresh_id
from tests.unit.bank.board.accusation.succeeded import (
    NETWORK,
    NEW,
    ROUNDS,
    Succeeded,
    certified,
    change,
    claim,
    shown,
)


@pytest.fixture
def log(tmp_path: Path) -> Succeeded:
    return Succeeded(tmp_path)


def objection(log: Succeeded, evidence: Evidence, *, network: bool = True) -> str | None:
    parties = Parties(BOARD.public, log.keys, NETWORK if network else None)
    return read_submission(AccusationEntry(encode_accusation(evidence)).encode()).objection(parties)


def test_a_board_takes_an_accusation_of_its_banks_successor(log: Succeeded) -> None:
    """It knows the authorities; one that doesn't can't judge."""
    coin = fresh_id()
    twice = CertifiedTwice(NEW.public, shown(certified(coin, 3)), shown(certified(coin, 4)))
    assert objection(log, log.accuse(twice)) is None
    assert "--network FILE" in str(objection(log, log.accuse(twice), network=False))
    alone = objection(log, twice)
    assert alone == "it accuses neither this board nor its bank"
    stranger = replace(log.accuse(twice), founding=BOARD.public)
    assert objection(log, stranger) == "it accuses neither this board nor its bank"


def test_what_a_replaced_key_had_no_more_to_answer_accuses_nobody(log: Succeeded) -> None:
    """
    Its successor hasn't begun yet, or is slow. A file that shows the claim's time alone doesn't show that the
    key was changed before; the board knows. One from before the cut stays.
    """

    def silent(shown: Succeeded) -> ClaimUnanswered:
        mine = claim(BANK).entry().encode()
        shown.close([mine])
        for _ in range(ROUNDS):
            shown.close([])
        terms = TermsEntry(Terms(claim_rounds=ROUNDS).published(BANK, BANK_ID, 1)).encode()
        at = shown.leaves.index(mine)
        leaves = shown.proof(shown.leaves.index(terms), *range(at, shown.edge.size))
        return ClaimUnanswered(BANK.public, shown.signed(), leaves)

    after = silent(log)
    assert after.objection() is None
    assert "had another key by then" in str(objection(log, after))
    before = Succeeded(log.folder.path.parent / "before")
    unanswered = silent(before)
    before.change = change(before.edge.size, before.edge.root())
    assert objection(before, unanswered) is None


def test_what_a_replaced_key_confirms_above_the_cut_accuses_nobody(log: Succeeded) -> None:
    """Who stole it may call everything his own that stands there, and have the bank accused of it."""
    false = certified(fresh_id()).encode()
    log.close([false])
    beyond = EntryFalse(log.confirmed(), log.find(false))
    assert isinstance(beyond.log, ConfirmedLog)
    assert beyond.objection() is None
    assert "had another key by then" in str(objection(log, beyond))
    earlier = Succeeded(log.folder.path.parent / "earlier", before=[false])
    size = earlier.change.cut.size
    below = EntryFalse(earlier.confirmed(size), earlier.find(false, size=size))
    assert below.log.bank_key == BANK.public  # type: ignore[union-attr]  # a confirmed log
    assert objection(earlier, below) is None

"""Accusations of a bank whose key was changed, as a board takes them."""

from dataclasses import replace
from pathlib import Path

import pytest

from bank.board.accusation.books import CertifiedTwice, EntryFalse
from bank.board.accusation.evidence import ConfirmedLog
from bank.board.accusation.file import Evidence, encode_accusation
from bank.board.claims.rules import Parties, read_submission
from bank.formats.entry import AccusationEntry
from tests.unit.bank.board.accusation.cheats import BANK, BOARD, fresh_id
from tests.unit.bank.board.accusation.succeeded import NETWORK, NEW, Succeeded, certified, shown


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

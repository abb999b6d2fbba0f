"""The vectors of the bank's statements, against their maker, the second implementation, and the page."""

import json
from pathlib import Path
from typing import Any

import pytest

from bank.formats.entry import ReplacedEntry, StatementEntry, check_entry, decode_entry
from bank.formats.statement import Tally, units_of
from mixmint.errors import MalformedMessage
from tests.unit.bank import second_implementation as second
from tests.vectors.make_statement import BANK, FILE, KEY, as_text

PAGE = Path(__file__).parents[3] / "docs/spec/statement.md"


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_both_implementations_read_the_same(vectors: Any) -> None:
    """Every field, the signature, and the entry around it."""
    for given in vectors["statements"] + vectors["unbalanced"]:
        data = bytes.fromhex(given["bytes"])
        read = second.read_bank_statement(data, KEY.public)
        assert read["holds"]
        assert read["bank"] == BANK == second.h("mixmint/bank/v1", KEY.public)
        for name in ("sequence", "size", "totals", "rows"):
            assert read[name] == given[name]
        entry = decode_entry(bytes.fromhex(given["entry"]))
        assert isinstance(entry, StatementEntry)
        assert entry.encode() == b"\5" + data
        statement = entry.statement
        assert statement.holds(KEY.public, BANK)
        assert not statement.holds(bytes(32), BANK)
        assert not statement.holds(KEY.public, bytes(32))
        assert (statement.sequence, statement.size, statement.root.hex()) == (
            given["sequence"],
            given["size"],
            given["root"],
        )
        assert statement.totals == Tally(*given["totals"])


def test_a_changed_bit_is_no_statement_of_the_banks(vectors: Any) -> None:
    """All of it is signed."""
    data = bytes.fromhex(vectors["statements"][2]["bytes"])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            entry = decode_entry(b"\5" + changed)
        except MalformedMessage:
            continue
        assert isinstance(entry, StatementEntry)
        assert not entry.statement.holds(KEY.public, BANK)


def test_what_balances_and_what_does_not(vectors: Any) -> None:
    """By the totals alone, as anyone computes them (statement.md, section 1)."""
    for name, balanced in (("statements", True), ("unbalanced", False)):
        for given in vectors[name]:
            withdrawn, exchanged, spent, deposited, replaced = given["totals"]
            assert (exchanged == spent - deposited and replaced <= withdrawn) == balanced
            entry = decode_entry(bytes.fromhex(given["entry"]))
            assert isinstance(entry, StatementEntry)
            assert entry.statement.balances() == balanced


def test_totals_are_those_of_all_rows_that_stand(vectors: Any) -> None:
    """A row stands until a newer one."""
    standing = {}
    for given in vectors["statements"]:
        entry = decode_entry(bytes.fromhex(given["entry"]))
        assert isinstance(entry, StatementEntry)
        standing |= {(row.exponent, row.epoch): row for row in entry.statement.rows}
        assert units_of(standing.values()).numbers() == tuple(given["totals"])


def test_malformed_ones_have_their_reason(vectors: Any) -> None:
    """Both readers refuse them; the fast check of entries too."""
    for reason, each in vectors["malformed"].items():
        for data in map(bytes.fromhex, each):
            for read in (decode_entry, check_entry):
                with pytest.raises(MalformedMessage) as caught:
                    read(b"\5" + data)
                assert caught.value.reason == reason
            with pytest.raises(AssertionError):
                second.read_bank_statement(data, KEY.public)


def test_the_replaced_entry(vectors: Any) -> None:
    """board.md, section 1: signed for coin, value and epoch."""
    data = bytes.fromhex(vectors["replaced"])
    assert data[0] == 6
    assert second.holds(
        KEY.public, data[38:], "mixmint/replaced/v1", BANK, data[1:33], data[33:34], data[34:38]
    )
    entry = decode_entry(data)
    assert isinstance(entry, ReplacedEntry)
    assert entry.holds(KEY.public, BANK)


def test_the_page_shows_the_first_one(vectors: Any) -> None:
    """As a reader would copy it."""
    shown = "".join(line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    "))
    assert vectors["statements"][0]["bytes"] in shown

"""The bank's terms: their vectors, a second reader, the page; and which terms may follow which."""

import json
from pathlib import Path
from typing import Any

import pytest

from bank.formats.entry import TermsEntry, check_entry, decode_entry
from bank.ledger.terms import Age, Terms
from mixmint.errors import MalformedMessage
from tests.unit.bank import second_implementation as second
from tests.vectors.make_terms import BANK, FILE, KEY, as_text

PAGE = Path(__file__).parents[4] / "docs/spec/terms.md"


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_both_implementations_read_the_same(vectors: Any) -> None:
    """Every field, the signature, and the entry around it."""
    for given in vectors["terms"]:
        data = bytes.fromhex(given["bytes"])
        read = second.read_terms(data, KEY.public)
        assert read["holds"]
        assert read["bank"] == BANK
        entry = decode_entry(bytes.fromhex(given["entry"]))
        assert isinstance(entry, TermsEntry)
        assert entry.encode() == b"\x0d" + data
        assert entry.terms.holds(KEY.public)
        assert not entry.terms.holds(bytes(32))
        for name in given.keys() - {"bytes", "entry"}:
            assert read[name] == getattr(entry.terms, name) == given[name]


def test_a_changed_bit_makes_them_nobodys(vectors: Any) -> None:
    """All of it is signed."""
    data = bytes.fromhex(vectors["terms"][2]["bytes"])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        entry = decode_entry(b"\x0d" + changed)
        assert isinstance(entry, TermsEntry)
        assert not entry.terms.holds(KEY.public)


def test_malformed_ones_have_their_reason(vectors: Any) -> None:
    """Both readers refuse them; the fast check of entries too."""
    for reason, each in vectors["malformed"].items():
        for data in map(bytes.fromhex, each):
            for read in (decode_entry, check_entry):
                with pytest.raises(MalformedMessage) as caught:
                    read(b"\x0d" + data)
                assert caught.value.reason == reason
            with pytest.raises(AssertionError):
                second.read_terms(data, KEY.public)


def test_ages_are_the_page_s(vectors: Any) -> None:
    """Section 4, computed once more."""
    for given in vectors["ages"]:
        terms = Terms(60, given["life"], given["grace"])
        lived = given["now"] - given["epoch"]
        bounds = (given["life"] - 1, given["life"], given["life"] + given["grace"])
        age = ("GOOD", "LAST", "GRACE", "EXPIRED")[sum(lived >= bound for bound in bounds)]
        assert given["age"] == age == terms.age(given["epoch"], given["now"]).name


def test_no_coin_that_is_out_loses_by_a_change() -> None:
    """Whatever may follow: at any time each coin is at least as good as it was promised to be."""
    before = Terms(1000, 3, 2)
    for life in range(1, 7):
        for grace in range(5):
            after = Terms(1000, life, grace, hold_rounds=1, promise_rounds=2, claim_rounds=3)
            worse = any(after.age(0, now).value > before.age(0, now).value for now in range(12))
            # To call a coin's grace life, and no longer, takes nothing: its life is the longer for it.
            assert (after.objection_after(before) is not None) == worse
    assert Terms(999, 9, 9).objection_after(before)
    assert before.age(0, 5) is Age.EXPIRED


def test_the_page_shows_the_first_one(vectors: Any) -> None:
    """As a reader would copy it."""
    shown = "".join(line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    "))
    assert vectors["terms"][0]["bytes"] in shown

"""The vectors of accusations of successors, against their maker, a second implementation, and the page."""

import json
from pathlib import Path
from typing import Any

import pytest

from bank.board.accusation.file import check_file
from bank.board.accusation.verdict import Kind
from mix.directory import Authorities
from tests.unit.bank.board.accusation.second_check import evidence_of
from tests.unit.bank.board.accusation.second_successor import certified_twice, false_entry_at, key_of
from tests.vectors.make_accused_successor import FILE, as_text

PAGE = (Path(__file__).parents[5] / "docs/spec/accusation.md").read_text()


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_each_file_holds_or_not_as_it_says(vectors: Any) -> None:
    """For who knows the authorities; for who doesn't none does."""
    who = Authorities(tuple(bytes.fromhex(key) for key in vectors["authorities"]), vectors["threshold"])
    for vector in vectors["accusations"]:
        verdict = check_file(vector["text"].encode(), who)
        assert (verdict.holds, verdict.whom.text()) == (vector["holds"], vector["against"]), verdict.sentence
        assert not check_file(vector["text"].encode()).holds


def test_a_second_implementation_agrees(vectors: Any) -> None:
    """Whose key it is, what it certified, and where it began."""
    known = [bytes.fromhex(key) for key in vectors["authorities"]], vectors["threshold"]
    seen = set()
    for vector in vectors["accusations"]:
        kind, evidence = evidence_of(vector["text"])
        assert Kind(kind).word == vector["kind"]
        try:
            bank, key, leaf, rest = key_of(evidence, *known)
        except ValueError:
            assert not vector["holds"]
            continue
        assert vector["against"] == f"bank {bank.hex()} with key {key.hex()}" or kind == 9
        if kind == Kind.CERTIFIED_TWICE:
            assert certified_twice(bank, key, rest) == vector["holds"]
        elif kind == Kind.ENTRY_FALSE:
            assert (false_entry_at(rest) > leaf) == vector["holds"]
        seen.add((kind, vector["holds"]))
    assert seen == {(3, True), (3, False), (11, True), (11, False), (9, True)}


def test_the_page_shows_the_first_vector(vectors: Any) -> None:
    """As it is."""
    text = vectors["accusations"][0]["text"]
    assert "".join(f"    {line}\n" if line else "\n" for line in text.split("\n")[:-1]) in PAGE

"""The vectors of accusations, against their maker, a second implementation, and the page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bank.board.accusation.file import check_file
from bank.board.accusation.verdict import Kind
from tests.unit.bank.board.accusation.second_check import certified_twice, equivocation, evidence_of
from tests.unit.bank.board.accusation.second_claims_check import (
    account_forked,
    answer_false,
    claim_unanswered,
    execution_denied,
)
from tests.vectors.make_accusation import FILE, as_text

PAGE = (Path(__file__).parents[5] / "docs/spec/accusation.md").read_text()


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())["accusations"]


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_each_file_holds_or_not_as_it_says(vectors: Any) -> None:
    """Read as a stranger's file would be."""
    for vector in vectors:
        verdict = check_file(vector["text"].encode())
        assert (verdict.holds, verdict.whom.text()) == (vector["holds"], vector["against"]), vector["kind"]


def test_a_fresh_process_finds_the_same_of_all_kinds(vectors: Any) -> None:
    """Nothing but the files: no log, no network, no state."""
    program = (
        "import json, sys\n"
        "from bank.board.accusation.file import check_file\n"
        "texts = json.load(sys.stdin)\n"
        "json.dump([check_file(text.encode()).holds for text in texts], sys.stdout)\n"
    )
    texts = json.dumps([vector["text"] for vector in vectors])
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], input=texts, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [vector["holds"] for vector in vectors]


def test_a_second_implementation_agrees(vectors: Any) -> None:
    """Written from the page, with another library for signatures and the RFC's other algorithm for proofs."""
    checks = {
        Kind.CERTIFIED_TWICE: certified_twice,
        Kind.BOARD_EQUIVOCATION: equivocation,
        Kind.CLAIM_UNANSWERED: claim_unanswered,
        Kind.ANSWER_FALSE: answer_false,
        Kind.ACCOUNT_FORKED: account_forked,
        Kind.EXECUTION_DENIED: execution_denied,
    }
    seen = set()
    for vector in vectors:
        kind, evidence = evidence_of(vector["text"])
        assert Kind(kind).word == vector["kind"]
        if Kind(kind) in checks:
            assert checks[Kind(kind)](evidence) == vector["holds"]
            seen.add((kind, vector["holds"]))
    both = {(kind, holds) for kind in (3, 9, 15, 16, 17) for holds in (True, False)}
    assert seen == {(1, True)} | both


def test_the_page_lists_every_kind_and_shows_the_first_vector(vectors: Any) -> None:
    """No more and no fewer than the code has."""
    for kind in Kind:
        assert f"| {kind.value} | {kind.word} |" in PAGE or f"{kind.value} ({kind.word})" in PAGE
    shown = "".join(f"    {line}\n" if line else "\n" for line in vectors[0]["text"].split("\n")[:-1])
    assert shown in PAGE

"""The witness's vectors: against their maker, the second implementation, the daemon, and the page."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.board.log.tree import consistency_holds
from tests.unit.bank.board.witness.daemons import running_witness
from tests.unit.bank.board.witness.histories import FORKED, TRUE
from tests.unit.bank.board.witness.second_witness import SecondWitness, grew
from tests.vectors.make_witness import FILE, as_text

PAGE = (Path(__file__).parents[5] / "docs" / "spec" / "witness.md").read_text()


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_a_second_implementation_answers_the_same(vectors: Any) -> None:
    """Written from the page alone, with OpenSSL's Ed25519."""
    name = vectors["witness"]["verifier_key"].partition("+")[0]
    logs = {text.partition("+")[0]: b64decode(text.split("+", 2)[2])[1:] for text in vectors["logs"]}
    witness = SecondWitness(name, bytes.fromhex(vectors["witness"]["seed"]), logs)
    for step in vectors["steps"]:
        assert witness.add_checkpoint(step["body"], step["now"]) == (step["status"], step["answer"]), step


async def test_the_daemon_answers_the_same(vectors: Any, tmp_path: Path) -> None:
    """Over HTTP, one step after the other."""
    now = [0]
    async with (
        aiohttp.ClientSession() as session,
        running_witness(
            tmp_path,
            session,
            seed=bytes.fromhex(vectors["witness"]["seed"]),
            name=vectors["witness"]["verifier_key"].partition("+")[0],
            now_s=lambda: now[0],
            logs=tuple(vectors["logs"]),
        ) as witness,
    ):
        for step in vectors["steps"]:
            now[0] = step["now"]
            status, media, body = await witness.post(step["body"].encode())
            assert status == step["status"], step
            if step["answer"]:
                assert body == step["answer"], step
            sized = status == 409 and step["answer"]
            assert media == ("text/x.tlog.size" if sized else "text/plain; charset=utf-8")


def test_every_outcome_is_among_them(vectors: Any) -> None:
    """All status codes that the page lists, and no others."""
    listed = set(re.findall(r"^\| (\d{3}) \|", PAGE, flags=re.MULTILINE))
    assert {str(step["status"]) for step in vectors["steps"]} == listed
    assert len(listed) == 7


def test_the_page_shows_one_request_whole(vectors: Any) -> None:
    """Bytes that a reader can compare with his own."""
    (step,) = (step for step in vectors["steps"] if step["what"] == "it has grown")
    for text in (step["body"], step["answer"], vectors["cosigned_message"]):
        for line in text.splitlines():
            assert f"    {line}".rstrip() in PAGE.splitlines(), line
    assert vectors["witness"]["verifier_key"] in PAGE
    assert vectors["logs"][0] in PAGE


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(0, 90), st.integers(0, 90), st.booleans())
def test_both_agree_on_every_proof_of_growth(old: int, new: int, first: int, second: int, fork: bool) -> None:
    """Right sizes with wrong proofs, wrong roots, and other sizes' proofs."""
    history = FORKED if fork else TRUE
    proof = history.proof(min(first, second), max(first, second))
    roots = TRUE.checkpoint(old).root, history.checkpoint(new).root
    ours = consistency_holds(old, roots[0], new, roots[1], proof)
    if old <= new:
        assert ours == grew(old, roots[0], new, roots[1], proof)
        true = TRUE.proof(old, new)
        assert consistency_holds(old, roots[0], new, TRUE.checkpoint(new).root, true)
        assert grew(old, roots[0], new, TRUE.checkpoint(new).root, true)
    else:
        assert not ours

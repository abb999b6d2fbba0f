"""The claims' vectors, against their maker and against the second implementation."""

import json
from pathlib import Path
from typing import Any

import pytest

from bank.board.claims.rules import Parties, read_submission
from bank.formats.succession import BankKeys
from tests.unit.bank.board.claims import second_claim as second
from tests.unit.bank.second_implementation import certificate_holds, open_answer
from tests.vectors.make_claim import FILE, as_text

PAGE = (Path(__file__).parents[5] / "docs" / "spec" / "claim.md").read_text()
CLAIMS = (
    "claim of an order",
    "claim of a withdrawal",
    "claim of a deposit",
    "claim of an execution",
    "claim of an execution that was held",
    "claim of a replacement",
)


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def unhex(given: dict[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in given.items()}


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_all_verify(vectors: Any) -> None:
    """By the board's own rules."""
    board, bank = (bytes.fromhex(vectors[who]["public"]) for who in ("board", "bank"))
    parties = Parties(board, BankKeys(bank))
    assert parties.bank.hex() == vectors["bank"]["id"]
    for given in vectors["submissions"].values():
        submission = read_submission(bytes.fromhex(given["bytes"]))
        assert submission.objection(parties) is None
        assert submission.subject.hex() == given["subject"]


@pytest.mark.parametrize("name", CLAIMS)
def test_claims(vectors: Any, name: str) -> None:
    """claim.md, section 1."""
    bank, given = unhex(vectors["bank"]), unhex(vectors["submissions"][name])
    assert second.read_claim(given["bytes"], bank["public"], bank["id"]) == {
        "subject": given["subject"],
        "true": True,
    }
    last = given["bytes"][:-1] + bytes([given["bytes"][-1] ^ 1])
    if name not in ("claim of a withdrawal", "claim of a replacement"):
        assert not second.read_claim(last, bank["public"], bank["id"])["true"]


def test_answers_certificates_and_accusations(vectors: Any) -> None:
    """claim.md, section 2."""
    bank = unhex(vectors["bank"])
    all_given = {name: unhex(given) for name, given in vectors["submissions"].items()}
    answer = all_given["answer"]
    assert answer["bytes"][0] == 10
    assert answer["subject"] == answer["leaf"]
    kind, subject, _ = open_answer(answer["bytes"][1:], bank["public"], bank["id"])
    assert (kind, subject) == (6, all_given["claim of an order"]["subject"])
    posted = all_given["posted"]["bytes"]
    assert posted[0] == 7
    coin, exponent, epoch = posted[1:33], posted[33], int.from_bytes(posted[34:38], "big")
    assert certificate_holds(bank["public"], bank["id"], coin, exponent, epoch, posted[38:])
    assert all_given["posted"]["subject"] == posted[1:38]
    accusation = all_given["accusation"]
    assert accusation["bytes"][0] == 11
    title, word, accused, sentence, *_ = accusation["bytes"][1:].decode().split("\n")
    assert title == "mixmint accusation v1"
    said = f"{word.removeprefix('kind: ')}\n{accused.removeprefix('against: ')}\n{sentence}"
    assert accusation["subject"] == said.encode()


def test_receipts_and_parts(vectors: Any) -> None:
    """claim.md, sections 4 and 5."""
    board = bytes.fromhex(vectors["board"]["public"])
    for given in vectors["submissions"].values():
        receipt = second.read_receipt(bytes.fromhex(given["receipt"]), board)
        assert receipt == (second.leaf(bytes.fromhex(given["bytes"])), 7, 6)
        assert receipt[0].hex() == given["leaf"]
    parts = [bytes.fromhex(part) for part in vectors["parts"]]
    assert len(parts) == 2
    assert second.join(parts[::-1]).hex() == vectors["submissions"]["claim of an order"]["bytes"]


def test_the_page_has_the_first_one(vectors: Any) -> None:
    """Its subject, leaf hash and receipt."""
    given = vectors["submissions"]["claim of an order"]
    for name in ("subject", "leaf", "receipt"):
        assert f" {given[name]}\n" in PAGE

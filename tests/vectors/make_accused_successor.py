"""
Make the vectors of accusations of a bank whose key was changed: ``python -m
tests.vectors.make_accused_successor``, to ``accused_successor.json``.

Deterministic: seeds and names are fixed.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bank.board.accusation.books import CertifiedTwice, EntryFalse
from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.file import check, encode_accusation
from bank.board.accusation.successor import OfSuccessor
from tests.unit.bank.board.accusation.cheats import BANK, BOARD
from tests.unit.bank.board.accusation.succeeded import (
    NETWORK,
    NEW,
    ROUNDS,
    Succeeded,
    certified,
    claim,
    shown,
)

FILE = Path(__file__).parent / "accused_successor.json"
NAME = bytes(range(32))


def make() -> dict[str, object]:
    """All vectors; each is the whole text of a file."""
    with tempfile.TemporaryDirectory() as folder:
        vectors = [
            {
                "kind": accusation.kind.word,
                "holds": check(accusation, NETWORK).holds,
                "against": accusation.accused().text(),
                "text": encode_accusation(accusation).decode(),
            }
            for accusation in _accusations(Path(folder))
        ]
    return {
        "about": "made by tests/vectors/make_accused_successor.py; see docs/spec/accusation.md, section 8",
        "bank_founding_key": BANK.public.hex(),
        "bank_key": NEW.public.hex(),
        "board_key": BOARD.public.hex(),
        "authorities": [key.hex() for key in NETWORK.keys],
        "threshold": NETWORK.threshold,
        "accusations": vectors,
    }


def _accusations(folder: Path) -> Iterator[OfSuccessor]:
    false = [certified(bytes([number]) * 32).encode()[:-1] + b"\0" for number in (1, 2)]
    log = Succeeded(folder / "log", early=false[:1])
    twice = CertifiedTwice(NEW.public, shown(certified(NAME, 3)), shown(certified(NAME, 4)))
    accusation = log.accuse(twice)
    yield accusation
    yield replace(accusation, changes=(replace(log.change, signatures=log.change.signatures[:1]),))
    old = CertifiedTwice(NEW.public, shown(certified(NAME, 3)), shown(certified(NAME, 4, key=BANK)))
    yield log.accuse(old)
    log.close([false[1]])
    for entry in false:
        yield log.accuse(EntryFalse(log.stated(), log.find(entry)))
    silent = Succeeded(folder / "silent")
    silent.close([claim().entry().encode()])
    at = silent.leaves.index(claim().entry().encode())
    for _ in range(ROUNDS):
        silent.close([])
    leaves = silent.proof(silent.leaves.index(silent.terms), *range(at, silent.edge.size))
    yield silent.accuse(ClaimUnanswered(NEW.public, silent.signed(), leaves))


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

"""
Make the vectors of the bank's terms: ``python -m tests.vectors.make_terms``, to ``terms.json``.

Deterministic: the bank's seed is repeated bytes.
"""

import json
from pathlib import Path

from bank.formats.coin import bank_id
from bank.formats.entry import TermsEntry
from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Terms
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "terms.json"
KEY = SigningKey(b"\1" * 32)
BANK = bank_id(KEY.public)
GIVEN = (Terms(), Terms(60, 1, 0, 0, 1, 1), Terms(2**32 - 1, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**31, 2**31))


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    published = [terms.published(KEY, BANK, number) for number, terms in enumerate(GIVEN, start=1)]
    entry = published[0].encode()
    return {
        "about": "made by tests/vectors/make_terms.py; see docs/spec/terms.md; hex",
        "bank": {"seed": KEY.seed.hex(), "public": KEY.public.hex(), "id": BANK.hex()},
        "terms": [_plain(each) for each in published],
        "malformed": {
            "length": [entry[:-1].hex(), (entry + b"\0").hex()],
            "value": [
                _with(entry, 32, bytes(4)).hex(),
                _with(entry, 36, bytes(4)).hex(),
                _with(entry, 40, bytes(2)).hex(),
                _with(entry, 48, bytes(4)).hex(),
                _with(entry, 52, bytes(4)).hex(),
            ],
        },
        "ages": [
            {"epoch": epoch, "now": now, "life": 3, "grace": 2, "age": Terms(60, 3, 2).age(epoch, now).name}
            for epoch, now in ((5, 5), (5, 6), (5, 7), (5, 8), (5, 9), (5, 10), (5, 4))
        ],
    }


def _with(data: bytes, at: int, field: bytes) -> bytes:
    return data[:at] + field + data[at + len(field) :]


def _plain(terms: PublishedTerms) -> dict[str, object]:
    return {
        "number": terms.number,
        "epoch_s": terms.epoch_s,
        "life_epochs": terms.life_epochs,
        "grace_epochs": terms.grace_epochs,
        "hold_rounds": terms.hold_rounds,
        "promise_rounds": terms.promise_rounds,
        "claim_rounds": terms.claim_rounds,
        "bytes": terms.encode().hex(),
        "entry": TermsEntry(terms).encode().hex(),
    }


def as_text() -> str:
    """The file's content."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

"""
Make the vectors of changes of a bank's key: ``python -m tests.vectors.make_succession``.

Deterministic: every seed is repeated bytes.
"""

import json
from pathlib import Path

from bank.formats.account import NO_HEAD, Operation, Statement, sign_statement
from bank.formats.coin import bank_id
from bank.formats.entry import KeyChangeEntry
from bank.formats.order import NOTHING
from bank.formats.succession import BankKeys, Cut, KeyChange
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "succession.json"
FOUNDING, SECOND, THIRD = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
BANK = bank_id(FOUNDING.public)
HOLDER = SigningKey(b"\4" * 32)


def make() -> dict[str, object]:
    """All vectors, bytes as hex."""
    first = KeyChange(BANK, 1, FOUNDING.public, SECOND.public, Cut(1000, b"\5" * 32), 600)
    second = KeyChange(BANK, 2, SECOND.public, THIRD.public, Cut(1500, b"\6" * 32), 60)
    signed = [
        first.signed_by(AUTHORITIES[0]).signed_by(AUTHORITIES[2]),
        second.signed_by(AUTHORITIES[1]).signed_by(AUTHORITIES[0]).signed_by(AUTHORITIES[2]),
    ]
    keys = BankKeys(FOUNDING.public).after(signed[0]).after(signed[1])
    entry = KeyChangeEntry(signed[0]).encode()
    taken_over = Statement(BANK, HOLDER.public, 8, Operation.RECOVERED, 0, 77, NOTHING, NO_HEAD, 0)
    return {
        "about": "made by tests/vectors/make_succession.py; see docs/spec/succession.md; hex",
        "bank": {"founding": FOUNDING.public.hex(), "id": BANK.hex()},
        "authorities": [each.public.hex() for each in AUTHORITIES],
        "changes": [
            {
                "number": each.number,
                "old": each.old.hex(),
                "new": each.new.hex(),
                "size": each.cut.size,
                "root": each.cut.root.hex(),
                "answer_rounds": each.answer_rounds,
                "signed_by": [authority.hex() for authority, _ in each.signatures],
                "entry": KeyChangeEntry(each).encode().hex(),
            }
            for each in signed
        ],
        "key_at": [
            {"leaf": leaf, "key": keys.key_at(leaf).hex()} for leaf in (0, 999, 1000, 1499, 1500, 9999)
        ],
        "malformed": {
            "length": [entry[:-1].hex(), (entry + b"\0").hex()],
            "counts": [
                (entry[:145] + b"\x21" + entry[146:]).hex(),
                (entry[:33] + bytes(4) + entry[37:]).hex(),
            ],
            "order-of-signatures": [(entry[:146] + entry[242:338] + entry[146:242]).hex()],
        },
        "recovered": sign_statement(SECOND, taken_over).encode().hex(),
    }


def as_text() -> str:
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())

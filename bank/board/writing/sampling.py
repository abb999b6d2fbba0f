"""
Spot checks. The bank's feed is believed by one signature a batch; a random few entries of each round are
checked by their own, after the round has closed, so that a bank that publishes false entries is noticed
at the board too. Who relies on an entry checks that entry; auditors check all of them.
"""

from collections.abc import Sequence
from random import Random

from bank.formats.coin import BankId
from bank.formats.entry import (
    CertifiedEntry,
    KeyEntry,
    ReplacedEntry,
    SpentEntry,
    StatementEntry,
    decode_entry,
)


def is_true(entry: bytes, bank: BankId, bank_key: bytes) -> bool:
    """
    Whether an entry proves itself: by the bank's key, or by the coin's own. Accounts have no proof; claims,
    answers and accusations were checked before they were taken, and the board's own entries are the board's.
    """
    match decode_entry(entry):
        case CertifiedEntry() | ReplacedEntry() as decoded:
            return decoded.holds(bank_key, bank)
        case SpentEntry() as spent:
            return spent.holds()
        case StatementEntry(statement):
            return statement.holds(bank_key, bank)
        case KeyEntry() as key:
            return key.holds(bank)
    return True


def choose(first: int, count: int, most: int, rng: Random) -> Sequence[int]:
    """Indexes to check of a round, ascending; unpredictable, or a bank could put its lies elsewhere."""
    return sorted(rng.sample(range(first, first + count), min(most, count)))

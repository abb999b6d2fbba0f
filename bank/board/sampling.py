"""
Spot checks. The bank's feed is believed by one signature a batch; a random few entries of each round are
checked by their own, after the round has closed, so that a bank that publishes false entries is noticed
at the board too. Who relies on an entry checks that entry; auditors check all of them.
"""

from collections.abc import Sequence
from random import Random

from bank.formats.coin import BankId
from bank.formats.entry import AccountEntry, CertifiedEntry, KeyEntry, SpentEntry, decode_entry


def is_true(entry: bytes, bank: BankId, bank_key: bytes) -> bool:
    """Whether an entry proves itself: by the bank's key, or by the coin's own. An account has no proof."""
    decoded = decode_entry(entry)
    if isinstance(decoded, CertifiedEntry):
        return decoded.holds(bank_key, bank)
    if isinstance(decoded, SpentEntry):
        return decoded.holds()
    return isinstance(decoded, AccountEntry) or (isinstance(decoded, KeyEntry) and decoded.holds(bank))


def choose(first: int, count: int, most: int, rng: Random) -> Sequence[int]:
    """Indexes to check of a round, ascending; unpredictable, or a bank could put its lies elsewhere."""
    return sorted(rng.sample(range(first, first + count), min(most, count)))

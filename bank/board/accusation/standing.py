"""
Where an accused key stands among its bank's keys. Pure.

A bank's id is its founding key's hash, and its key may have been changed since. What a successor answers for
begins where he began: behind his own key's entry in the log, which nobody can make before he does. What
stands before it is his predecessor's, or what a thief had the board take; he confirms it, since it is there,
and it is not his doing.

Source: docs/spec/accusation.md, section 8.
"""

from dataclasses import dataclass

from bank.formats.coin import BankId, bank_id


@dataclass(frozen=True, slots=True)
class Standing:
    """
    ``bank``: the id of the bank whose key it is. ``earlier``: the keys (32 bytes) that the bank had before,
    the founding one first. ``since``: the leaf of the key's own entry in the log; -1 for the founding key,
    which answers for all of it, and where no log is shown.
    """

    bank: BankId
    earlier: tuple[bytes, ...] = ()
    since: int = -1

    @classmethod
    def founding(cls, key: bytes) -> "Standing":
        """Of a key (32 bytes) by which its bank is called."""
        return cls(bank_id(key))

    @property
    def is_successor(self) -> bool:
        """Whether the bank had another key before."""
        return bool(self.earlier)

    def objection(self, *leaves: int) -> str | None:
        """None when the key answers for what stands at these leaves."""
        if all(leaf > self.since for leaf in leaves):
            return None
        return "an entry stands before the key's own, so it may be another key's doing"

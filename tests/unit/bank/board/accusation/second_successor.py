"""
A check of accusations of a bank whose key was changed, from docs/spec/accusation.md, section 8, alone.

Shares no code with the project.
"""

from hashlib import sha256

from tests.unit.bank.board.accusation.second_check import signed
from tests.unit.bank.second_implementation import Cut, read_key_change


def key_of(evidence: bytes, authorities: list[bytes], threshold: int) -> tuple[bytes, bytes, int, bytes]:
    """The bank's id, the accused key, the leaf of its own entry (-1: none is shown), and the rest."""
    cut = Cut(evidence)
    founding = cut(32)
    bank = sha256(b"mixmint/bank/v1" + founding).digest()
    key, size = founding, 0
    for number in range(1, cut.number(1) + 1):
        change = read_key_change(b"\x0c" + cut(cut.number(2)))
        assert (change["bank"], change["number"], change["old"]) == (bank, number, key)
        signers = change["signed_by"]
        assert isinstance(signers, list)
        if sum(each in authorities for each in signers) < threshold:
            raise ValueError("too few authorities signed")
        new, size_now = change["new"], change["size"]
        assert isinstance(new, bytes)
        assert isinstance(size_now, int)
        assert size_now >= size
        key, size = new, size_now
    leaf = -1
    if cut.number(1):
        assert cut.number(4) == 1
        leaf = cut.number(8)
        entry = cut(cut.number(2))
        assert leaf >= size
        assert entry[:65] == b"\x01" + bank + key
        assert signed(key, entry[65:], b"mixmint/key-entry/v1" + bank + key)
        cut(32 * cut.number(4))
    return bank, key, leaf, cut.left


def certified_twice(bank: bytes, key: bytes, evidence: bytes) -> bool:
    """Kind 3, behind the head."""
    cut = Cut(evidence)
    assert cut(32) == key
    seen = []
    for _ in range(2):
        coin, value, signature = cut(32), cut(5), cut(64)
        if not signed(key, signature, b"mixmint/certificate/v1" + bank + value + coin):
            return False
        seen.append((coin, value))
    (one, first), (other, second) = seen
    return one == other and first < second and not cut.left


def false_entry_at(evidence: bytes) -> int:
    """The leaf that kind 11 is about, in a confirmed log."""
    cut = Cut(evidence)
    assert cut.number(1) == 2
    cut(32)
    cut(cut.number(2))
    assert cut.number(4) == 1
    return cut.number(8)

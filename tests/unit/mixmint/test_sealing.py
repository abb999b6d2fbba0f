"""Encryption at rest."""

import pytest

from mixmint.errors import FatalError
from mixmint.sealing import Sealer


def test_a_sealed_value_opens_in_its_own_place_only() -> None:
    """The context binds a value to its row; a change anywhere is found; two seals differ."""
    sealer = Sealer(bytes(32))
    sealed = sealer.seal(b"secret", b"coin/1")
    assert sealer.open(sealed, b"coin/1") == b"secret"
    assert sealer.seal(b"secret", b"coin/1") != sealed
    for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b""):
        with pytest.raises(FatalError):
            sealer.open(wrong, b"coin/1")
    with pytest.raises(FatalError):
        sealer.open(sealed, b"coin/2")
    with pytest.raises(FatalError):
        Sealer(b"k" * 32).open(sealed, b"coin/1")

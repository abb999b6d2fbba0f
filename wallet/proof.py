"""
Proofs that a coin was spent: an earlier order's seal, signed by the coin's own key. Checked offline.

Only a holder of the coin's secret can have made the signature, so a bank can't invent it. It doesn't tell
which holder it was.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from bank.formats.answer import Spent
from bank.formats.coin import coin_id
from bank.formats.order import spend_holds
from mixmint.errors import UserError


@dataclass(frozen=True, slots=True)
class SpentProof:
    """Coin key 32, seal 32, signature 64 bytes."""

    coin_key: bytes
    seal: bytes
    signature: bytes

    @classmethod
    def of(cls, answer: Spent) -> "SpentProof":
        """From the bank's refusal."""
        return cls(answer.coin_key, answer.seal, answer.signature)

    @property
    def coin(self) -> bytes:
        """The coin's id."""
        return coin_id(self.coin_key)

    def holds(self) -> bool:
        return spend_holds(self.coin_key, self.seal, self.signature)

    def view(self) -> dict[str, Any]:
        """As JSON shows it: everything in hex."""
        return {
            "coin": self.coin.hex(),
            "coin_key": self.coin_key.hex(),
            "seal": self.seal.hex(),
            "signature": self.signature.hex(),
            "holds": self.holds(),
        }


class _ProofIn(msgspec.Struct, frozen=True):
    coin_key: str
    seal: str
    signature: str
    coin: str = ""


class _ProofsIn(msgspec.Struct, frozen=True):
    proofs: list[_ProofIn]


def read_proofs(text: bytes) -> list[SpentProof]:
    """
    Proofs from JSON: one object, or anything with a list ``proofs`` (as `receive --json` prints).

    Raises UserError.
    """
    try:
        try:
            found = msgspec.json.decode(text, type=_ProofsIn).proofs
        except msgspec.ValidationError:
            found = [msgspec.json.decode(text, type=_ProofIn)]
        proofs = [
            SpentProof(bytes.fromhex(one.coin_key), bytes.fromhex(one.seal), bytes.fromhex(one.signature))
            for one in found
        ]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UserError("this is no proof; `mixmint wallet receive --json` prints one") from None
    if not proofs:
        raise UserError("there is no proof in this file")
    for one, proof in zip(found, proofs, strict=True):
        if one.coin and one.coin != proof.coin.hex():
            raise UserError("the proof names another coin than its key belongs to")
    return proofs

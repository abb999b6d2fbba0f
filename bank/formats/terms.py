"""
The bank's terms as it publishes them: what it promises to everyone alike (docs/spec/terms.md).

An entry of the board, signed by the bank: so a wallet knows when its coins expire, and a broken promise (a
claim left unanswered for longer than it says) can be shown to anyone. Terms hold from their entry's round on;
what was promised before is judged by the terms of its own round.
"""

from dataclasses import dataclass, replace
from struct import Struct

from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify

TERMS_LABEL = Label("mixmint/terms/v1")
_FIELDS = Struct(">32sIIHHIII")


@dataclass(frozen=True, slots=True)
class PublishedTerms:
    """
    120 bytes, numbers big-endian: bank id 32, number 4 (from 1, one more at each change), seconds of a coin
    epoch 4, epochs that a coin lives 2, epochs of grace 2, rounds that a hold lasts 4, rounds by which
    entries are public 4, rounds by which a claim is answered 4, the bank's signature of all that 64.
    """

    bank: bytes
    number: int
    epoch_s: int
    life_epochs: int
    grace_epochs: int
    hold_rounds: int
    promise_rounds: int
    claim_rounds: int
    signature: bytes = b""

    def signed_part(self) -> bytes:
        return _FIELDS.pack(
            self.bank,
            self.number,
            self.epoch_s,
            self.life_epochs,
            self.grace_epochs,
            self.hold_rounds,
            self.promise_rounds,
            self.claim_rounds,
        )

    def encode(self) -> bytes:
        return self.signed_part() + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "PublishedTerms":
        """Raises MalformedMessage: ``length``, ``value`` (a number that can't be zero is)."""
        bank, number, epoch_s, life, grace, hold, promise, claim = _FIELDS.unpack(reader.take(_FIELDS.size))
        found = cls(bank, number, epoch_s, life, grace, hold, promise, claim, reader.take(64))
        if 0 in (found.number, found.epoch_s, found.life_epochs, found.promise_rounds, found.claim_rounds):
            raise MalformedMessage("value")
        return found

    def holds(self, bank_key: bytes, bank: bytes | None = None) -> bool:
        """Whether the bank's key signed them; and, where it is given, whether they are this bank's (id)."""
        if bank is not None and self.bank != bank:
            return False
        return verify(bank_key, TERMS_LABEL, self.signature, self.signed_part())

    def signed_by(self, key: SigningKey) -> "PublishedTerms":
        """The same with the bank's signature."""
        return replace(self, signature=key.sign(TERMS_LABEL, self.signed_part()))

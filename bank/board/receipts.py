"""
What the board signs for whoever submits an entry himself: the entry will be in this round.

    leaf hash 32, round 4, newest closed round 4, signature 64; label mixmint/entry-receipt/v1

A board that publishes the round without the entry is convicted by the receipt and the round.

Source: docs/spec/board.md, section 5.
"""

from dataclasses import dataclass

from bank.board.log.tree import leaf_hash
from bank.formats.fields import Reader
from mixmint.keys import SIGNATURE_BYTES, Label, SigningKey, verify

ENTRY_RECEIPT_LABEL = Label("mixmint/entry-receipt/v1")
ENTRY_RECEIPT_BYTES = 32 + 4 + 4 + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class EntryReceipt:
    """
    The board's word that an entry (by its leaf hash, 32 bytes) is in round ``round``. ``newest_closed``: the
    board's clock when it gave its word.
    """

    leaf: bytes
    round: int
    newest_closed: int
    signature: bytes

    def encode(self) -> bytes:
        """104 bytes."""
        return b"".join((*_parts(self.leaf, self.round, self.newest_closed), self.signature))

    @classmethod
    def decode(cls, data: bytes) -> "EntryReceipt":
        """Raises MalformedMessage("length")."""
        reader = Reader(data)
        receipt = cls(reader.take(32), reader.number(4), reader.number(4), reader.take(SIGNATURE_BYTES))
        reader.end()
        return receipt

    def holds(self, board_key: bytes, entry: bytes) -> bool:
        """Whether this board gave it for this entry."""
        return self.leaf == leaf_hash(entry) and self.is_signed(board_key)

    def is_signed(self, board_key: bytes) -> bool:
        """Whether this board gave it, for whatever entry has this leaf hash."""
        parts = _parts(self.leaf, self.round, self.newest_closed)
        return verify(board_key, ENTRY_RECEIPT_LABEL, self.signature, *parts)


def _parts(leaf: bytes, round_: int, newest_closed: int) -> tuple[bytes, bytes, bytes]:
    return leaf, round_.to_bytes(4), newest_closed.to_bytes(4)


def sign_entry_receipt(key: SigningKey, leaf: bytes, round_: int, newest_closed: int) -> EntryReceipt:
    """The board answers who submitted an entry (its leaf hash, 32 bytes)."""
    signature = key.sign(ENTRY_RECEIPT_LABEL, *_parts(leaf, round_, newest_closed))
    return EntryReceipt(leaf, round_, newest_closed, signature)

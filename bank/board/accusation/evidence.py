"""
What evidence is made of: leaves with one proof, and a log that somebody signed for. Pure.

A log's size and root can be known by two signatures. The board's checkpoint says "this is my log". A bank's
statement says more: "I have read it so far, and whatever in it only I can give came from me". So what stands
in a log that the bank confirmed is the bank's own word; a board that invents entries can't frame it.

Source: docs/spec/accusation.md, section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused
from bank.board.log.checkpoint import Checkpoint, check_origin
from bank.board.log.note import KeyKind, Note, VerifierKey
from bank.board.log.tree import HASH_BYTES, leaf_hash, many_hold
from bank.formats.coin import bank_id
from bank.formats.fields import Reader
from bank.formats.statement import BankStatement
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SIGNATURE_BYTES

_SIGNED, _CONFIRMED = 1, 2
_FALSE_CHECKPOINT = "the checkpoint is not signed by the board's key"


def sized(data: bytes, width: int = 2) -> bytes:
    """Bytes with their length before them."""
    return len(data).to_bytes(width) + data


def read_sized(reader: Reader, width: int = 2) -> bytes:
    """Raises MalformedMessage("length")."""
    return reader.take(reader.number(width))


def read_text(reader: Reader) -> str:
    """
    ASCII, at most 65,535 bytes, no control characters but line feeds: it is shown on terminals.

    Raises MalformedMessage.
    """
    data = read_sized(reader)
    if any(not 0x20 <= byte < 0x7F and byte != 0x0A for byte in data):
        raise MalformedMessage("text")
    return data.decode("ascii")


def write_hashes(hashes: Sequence[bytes]) -> bytes:
    """Count 4, then 32 bytes each."""
    return len(hashes).to_bytes(4) + b"".join(hashes)


def read_hashes(reader: Reader) -> tuple[bytes, ...]:
    """Raises MalformedMessage("length") before anything is allocated."""
    data = reader.take(HASH_BYTES * reader.number(4))
    return tuple([data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])


@dataclass(frozen=True, slots=True)
class Leaves:
    """
    Some leaves of a log by their indexes, ascending, and one proof for all of them (``tree.prove_many``).

    Encoded: count 4, each: index 8, length 2, bytes; then the proof: count 4, hashes 32 each.
    """

    leaves: tuple[tuple[int, bytes], ...]
    proof: tuple[bytes, ...]

    def encode(self) -> bytes:
        leaves = [index.to_bytes(8) + sized(leaf) for index, leaf in self.leaves]
        return len(leaves).to_bytes(4) + b"".join(leaves) + write_hashes(self.proof)

    @classmethod
    def read(cls, reader: Reader) -> "Leaves":
        """Raises MalformedMessage: ``length``, ``order``."""
        leaves: list[tuple[int, bytes]] = []
        for _ in range(reader.number(4)):
            index = reader.number(8)
            leaves.append((index, read_sized(reader)))
        if not leaves or any(one >= other for (one, _), (other, _) in pairwise(leaves)):
            raise MalformedMessage("order")
        return cls(tuple(leaves), read_hashes(reader))

    @property
    def bytes(self) -> tuple[bytes, ...]:
        """The leaves without their indexes."""
        return tuple([leaf for _, leaf in self.leaves])

    @property
    def indexes(self) -> tuple[int, ...]:
        return tuple([index for index, _ in self.leaves])

    def objection(self, log: "ProvenLog") -> str | None:
        """None when all of them stand in this log."""
        hashes = {index: leaf_hash(leaf) for index, leaf in self.leaves}
        if not many_hold(hashes, log.size, self.proof, log.root):
            return "the entries are not proved to stand in the log"
        return None


@dataclass(frozen=True, slots=True)
class SignedLog:
    """
    The log as its board signed it: the verifier key's text, the checkpoint's text, the signature 64.

    Only the log's own line of the note: cosignatures say when it was seen, not that it is true.
    """

    board: VerifierKey
    text: str
    signature: bytes

    @classmethod
    def of(cls, note: Note, board: VerifierKey) -> "SignedLog":
        """From a checkpoint's note. Raises PeerError("signature") when the board didn't sign it."""
        found = note.signed_by([board]).get(board)
        if found is None:
            raise PeerError("signature", f"not signed by {board.name}")
        return cls(board, note.text, found.signature)

    def encode(self) -> bytes:
        return sized(self.board.text().encode()) + sized(self.text.encode()) + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "SignedLog":
        """Raises MalformedMessage: ``text``, ``verifier-key``, ``checkpoint``, ``length``."""
        log = cls(VerifierKey.parse(read_text(reader)), read_text(reader), reader.take(SIGNATURE_BYTES))
        if log.board.kind is not KeyKind.LOG:
            raise MalformedMessage("verifier-key")
        Checkpoint.parse(log.text)
        return log

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.text)

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        return self.checkpoint.root

    def accused(self) -> Accused:
        """Whoever put something false into it: the board, or the bank that feeds the board."""
        return Accused(self.board, or_its_bank=True)

    def objection(self) -> str | None:
        """None when the board signed this log."""
        try:
            # The board's key signs other things than checkpoints. They all begin with a label of ours, and no
            # log may be called so: else a receipt could be shown as a checkpoint of a log of that name.
            check_origin(self.checkpoint.origin)
        except UserError:
            return "the checkpoint's origin can't be the name of a log"
        if self.checkpoint.origin != self.board.name or not self.board.verifies(self.text, self.signature):
            return _FALSE_CHECKPOINT
        return None


@dataclass(frozen=True, slots=True)
class ConfirmedLog:
    """The log as a bank's statement confirms it: the bank's key 32; the statement, length 2 before it."""

    bank_key: bytes
    statement: BankStatement

    def encode(self) -> bytes:
        return self.bank_key + sized(self.statement.encode())

    @classmethod
    def read(cls, reader: Reader) -> "ConfirmedLog":
        """Raises what a statement's reader raises."""
        return cls(reader.take(32), read_statement(reader))

    @property
    def size(self) -> int:
        return self.statement.size

    @property
    def root(self) -> bytes:
        return self.statement.root

    def accused(self) -> Accused:
        """The bank: it confirmed what stands there."""
        return Accused(bank=self.bank_key)

    def objection(self, standing: Standing | None = None) -> str | None:
        """None when the bank confirmed this log."""
        return statement_objection(self.statement, self.bank_key, standing)


ProvenLog = SignedLog | ConfirmedLog


def write_log(log: ProvenLog) -> bytes:
    """Which of the two (1 signed, 2 confirmed), then its fields."""
    tag = _SIGNED if isinstance(log, SignedLog) else _CONFIRMED
    return tag.to_bytes(1) + log.encode()


def read_log(reader: Reader) -> ProvenLog:
    """Raises MalformedMessage."""
    tag = reader.number(1)
    if tag == _SIGNED:
        return SignedLog.read(reader)
    if tag == _CONFIRMED:
        return ConfirmedLog.read(reader)
    raise MalformedMessage("log")


def read_statement(reader: Reader) -> BankStatement:
    """One with its length before it. Raises MalformedMessage."""
    inner = Reader(read_sized(reader))
    statement = BankStatement.read(inner)
    inner.end()
    return statement


def log_objection(log: ProvenLog, standing: Standing | None) -> str | None:
    """None when the board signed this log, or the bank whose key stands there confirmed it."""
    return log.objection() if isinstance(log, SignedLog) else log.objection(standing)


def statement_objection(
    statement: BankStatement, bank_key: bytes, standing: Standing | None = None
) -> str | None:
    """None when the bank with this key signed the statement; without ``standing`` its founding key."""
    bank = bank_id(bank_key) if standing is None else standing.bank
    if not statement.holds(bank_key, bank):
        return "the statement is not signed by the bank's key"
    return None

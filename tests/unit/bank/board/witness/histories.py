"""Logs in memory, some of which share a beginning, and what they post to witnesses."""

from collections.abc import Sequence

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, Note, VerifierKey
from bank.board.log.tree import Node, consistency_spans, leaf_hash, root_of, span_hash
from bank.board.witness.core import encode_request
from mixmint.keys import SigningKey

ORIGIN = "board.example.org/log"
KEY = SigningKey(b"l" * 32)
LOG = VerifierKey(ORIGIN, KEY.public)
WITNESS_KEY = SigningKey(b"w" * 32)
WITNESS = VerifierKey("witness.example.org/w1", WITNESS_KEY.public, KeyKind.WITNESS)
NOW_S = 1_700_000_000


class History:
    """A log of many leaves; from leaf ``fork`` on they are others, if there is a fork."""

    def __init__(self, fork: int | None = None, *, origin: str = ORIGIN, key: SigningKey = KEY) -> None:
        self.origin = origin
        self.key = key
        cut = 600 if fork is None else fork
        entries = [f"entry {number}" for number in range(cut)]
        entries += [f"another {number}" for number in range(cut, 600)]
        self.hashes = [leaf_hash(entry.encode()) for entry in entries]

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, root_of(self.hashes[:size]))

    def note(self, size: int) -> Note:
        return sign_checkpoint(self.key, self.checkpoint(size))

    def proof(self, old: int, new: int) -> list[bytes]:
        def node(wanted: Node) -> bytes:
            first, count = wanted.index << wanted.level, 1 << wanted.level
            return root_of(self.hashes[first : first + count])

        return [span_hash(span, node) for span in consistency_spans(old, new)]

    async def proofs(self, old: int, new: int) -> list[bytes]:
        return self.proof(old, new)

    def request(self, old: int, new: int, proof: Sequence[bytes] | None = None) -> bytes:
        """What the log posts when the witness has ``old`` and it has ``new`` leaves."""
        return encode_request(old, self.proof(old, new) if proof is None else proof, self.note(new))


TRUE = History()
FORKED = History(fork=50)

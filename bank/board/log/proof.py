"""
Proof files (C2SP tlog-proof): that an entry is in a log, checkable offline by whoever knows the log's key.

    c2sp.org/tlog-proof@v1
    extra <base64>                 only if there is something extra
    index <decimal>
    <hash, base64>                 from the leaf's sibling up to the root's child
    <empty line>
    <checkpoint, a signed note>

What is extra is signed by nobody. In our files it is the entry itself, so that one file is enough to show.

Source: docs/spec/log.md, section 4.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from bank.board.log.note import MOST_NOTE_BYTES, Note, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.reader import Published, open_published
from bank.board.log.tiles import MOST_LEAF_BYTES
from bank.board.log.tree import HASH_BYTES, MOST_PROOF, MOST_SIZE, inclusion_holds, leaf_hash
from mixmint.errors import MalformedMessage, PeerError

MOST_EXTRA_BYTES = MOST_LEAF_BYTES
_HEADER = "c2sp.org/tlog-proof@v1"
_HASH_LINE_BYTES = 45
MOST_PROOF_FILE_BYTES = (
    128 + (MOST_EXTRA_BYTES + 2) // 3 * 4 + MOST_PROOF * _HASH_LINE_BYTES + MOST_NOTE_BYTES
)
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class LogProof:
    """Leaf ``index`` is under the root of the checkpoint in ``note``; nothing of it is checked yet."""

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [b64encode(each).decode() for each in self.hashes]
        return ("\n".join(lines) + "\n\n").encode() + self.note.encode()

    @classmethod
    def decode(cls, data: bytes) -> "LogProof":
        """Raises MalformedMessage: ``size``, ``proof``, ``note``."""
        if len(data) > MOST_PROOF_FILE_BYTES:
            raise MalformedMessage("size")
        head, gap, note = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise MalformedMessage("proof") from None
        if not gap or lines.pop(0) != _HEADER:
            raise MalformedMessage("proof")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = _decode(lines.pop(0).removeprefix("extra "))
        index = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if index is None or int(index[1]) >= MOST_SIZE or len(lines) > MOST_PROOF:
            raise MalformedMessage("proof")
        hashes = tuple(_decode(line) for line in lines)
        if any(len(each) != HASH_BYTES for each in hashes) or len(extra) > MOST_EXTRA_BYTES:
            raise MalformedMessage("proof")
        return cls(int(index[1]), hashes, Note.decode(note), extra)

    def verify(self, entry: bytes, log: VerifierKey, policy: Policy = NO_POLICY) -> Published:
        """
        The checkpoint that proves ``entry`` to be in this log, once log, witnesses and tree agree.

        Raises PeerError: ``signature``, ``quorum``, ``proof``; MalformedMessage("checkpoint").
        """
        published = open_published(self.note, log, policy)
        checkpoint = published.checkpoint
        leaf = leaf_hash(entry)
        if not inclusion_holds(leaf, self.index, checkpoint.size, self.hashes, checkpoint.root):
            raise PeerError("proof", "the entry isn't under the checkpoint's root at this index")
        return published


def _decode(text: str) -> bytes:
    """Base64 that is not empty, in its one form."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise MalformedMessage("proof") from None
    if not data or b64encode(data).decode() != text:
        raise MalformedMessage("proof")
    return data

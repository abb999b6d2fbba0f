"""
Checkpoints (C2SP tlog-checkpoint): a log's size and root, as a signed note.

    <origin>
    <size, decimal>
    <root, base64>

The origin is the log's name for ever: the prefix of its URL without the scheme. The log's key has that name.

Source: docs/spec/log.md, section 3.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from bank.board.log.note import Note, VerifierKey, is_name, sign_text
from bank.board.log.tree import HASH_BYTES, MOST_SIZE
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SigningKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_OUR_LABELS = "mixmint/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: ``size`` leaves under ``root`` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """
        Read a note's text. Lines after the third (extensions) are for others, and ignored.

        Raises MalformedMessage("checkpoint").
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise MalformedMessage("checkpoint")
        origin, size, root = lines[:3]
        try:
            decoded = b64decode(root, validate=True)
        except ValueError:
            raise MalformedMessage("checkpoint") from None
        # One text for one checkpoint: what was signed and what is understood are the same.
        if not _SIZE.fullmatch(size) or int(size) > MOST_SIZE or b64encode(decoded).decode() != root:
            raise MalformedMessage("checkpoint")
        if len(decoded) != HASH_BYTES:
            raise MalformedMessage("checkpoint")
        return cls(origin, int(size), decoded)


def check_origin(origin: str) -> str:
    """
    The origin, if a log of ours may be called so.

    Raises UserError: white space or a plus sign in it, or the beginning of a label of ours, which would let a
    checkpoint be read as another statement of the same key.
    """
    if not is_name(origin) or origin.startswith(_OUR_LABELS):
        raise UserError(f"{origin!r} can't name a board's log; take its URL without https:// and final slash")
    return origin


def origin_of(url: str) -> str:
    """A log's name by its URL: without the scheme, without a slash at the end."""
    return url.partition("://")[2].rstrip("/") if "://" in url else url.rstrip("/")


def sign_checkpoint(key: SigningKey, checkpoint: Checkpoint) -> Note:
    """The log signs a checkpoint under its origin's name."""
    text = checkpoint.text()
    return Note(text, (sign_text(key, checkpoint.origin, text),))


def open_checkpoint(note: Note, log: VerifierKey) -> Checkpoint:
    """
    The checkpoint in a note that this log signed. Cosignatures are the policy's to check.

    Raises MalformedMessage("checkpoint"), PeerError("signature").
    """
    if log not in note.signed_by([log]):
        raise PeerError("signature", f"not signed by {log.name}")
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != log.name:
        raise PeerError("signature", f"the checkpoint is of {checkpoint.origin}, not of {log.name}")
    return checkpoint

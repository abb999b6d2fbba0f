"""
What a witness answers to one request (C2SP tlog-witness, add-checkpoint). Pure.

    old <size>                  of the checkpoint that the witness cosigned last, as the log believes
    <hash, base64>              0 to 63 lines: a proof that the new tree begins with the old one
    <empty line>
    <checkpoint, a signed note>

The order of the checks is the protocol's: what a stranger may learn depends on it. Nobody is told the stored
size who doesn't hold a checkpoint that the log signed.

Source: docs/spec/witness.md, sections 1 and 2.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bank.board.log.checkpoint import Checkpoint
from bank.board.log.note import MOST_NOTE_BYTES, Note, VerifierKey
from bank.board.log.tree import EMPTY_ROOT, HASH_BYTES, MOST_PROOF, MOST_SIZE, consistency_holds
from mixmint.errors import MalformedMessage, PeerError

_HASH_LINE_BYTES = 45
_OLD_LINE_BYTES = 24
MOST_REQUEST_BYTES = _OLD_LINE_BYTES + MOST_PROOF * _HASH_LINE_BYTES + 1 + MOST_NOTE_BYTES
"""The longest request that can be a good one."""

LATE_CLOCK_S = 300
"""A clock that stands at most so far behind the last cosignature was set right; further, it is wrong."""

_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})")


class Refusal(PeerError):
    """What the log is told instead: a status; and, when it began at another size, the one to begin at."""

    def __init__(self, status: int, reason: str, size: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.size = size


@dataclass(frozen=True, slots=True)
class Seen:
    """What is stored of one log: the checkpoint cosigned last, and when (Unix seconds)."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    time_s: int = 0


NOTHING_SEEN = Seen()

Logs = Mapping[str, Sequence[VerifierKey]]
"""The keys that count, by the log's origin."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request in good form; nothing in it is checked yet. ``proof``: hashes, 32 bytes each."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    def encode(self) -> bytes:
        return encode_request(self.old, self.proof, self.note)

    @classmethod
    def decode(cls, body: bytes) -> "Request":
        """Raises Refusal(400, "malformed")."""
        if len(body) > MOST_REQUEST_BYTES:
            raise Refusal(400, "malformed")
        head, gap, rest = body.partition(b"\n\n")
        first, *lines = head.split(b"\n", MOST_PROOF + 1)
        old = _OLD.fullmatch(first)
        if not gap or old is None or int(old[1]) > MOST_SIZE or len(lines) > MOST_PROOF:
            raise Refusal(400, "malformed")
        try:
            proof = tuple(_read_hash(line) for line in lines)
            note = Note.decode(rest)
            return cls(int(old[1]), proof, note, Checkpoint.parse(note.text))
        except MalformedMessage:
            raise Refusal(400, "malformed") from None


def encode_request(old: int, proof: Sequence[bytes], note: Note) -> bytes:
    """The body that a log posts."""
    lines = [f"old {old}\n", *(f"{b64encode(each).decode()}\n" for each in proof), "\n"]
    return "".join(lines).encode() + note.encode()


def _read_hash(line: bytes) -> bytes:
    if len(line) != _HASH_LINE_BYTES - 1:
        raise MalformedMessage("proof")
    try:
        found = b64decode(line, validate=True)
    except ValueError:
        raise MalformedMessage("proof") from None
    # One text for one hash, as everywhere.
    if len(found) != HASH_BYTES or b64encode(found) != line:
        raise MalformedMessage("proof")
    return found


def authenticate(request: Request, logs: Logs) -> Note:
    """
    The note with those signatures only that count: made by keys that are trusted for this origin.

    Raises Refusal: 404 for a log that isn't ours to watch, 403 when no signature counts, or one is false.
    """
    keys = logs.get(request.checkpoint.origin)
    if keys is None:
        raise Refusal(404, "origin")
    try:
        signed = request.note.signed_by(keys)
    except PeerError:
        raise Refusal(403, "signature") from None
    if not signed:
        raise Refusal(403, "signature")
    return Note(request.note.text, tuple(signed.values()))


def decide(request: Request, seen: Seen, now_s: float) -> Seen:
    """
    What is to be stored before the cosignature leaves: this checkpoint, with the time of the cosignature.

    The request's signature was checked. ``seen``: what is stored now, read in the same transaction that will
    store what this returns; otherwise two requests could both advance, one of them backwards.

    Raises Refusal: 400 ``old``, 409 ``size`` (with the stored size), 409 ``fork``, 422 ``proof``, 503
    ``clock``.
    """
    checkpoint = request.checkpoint
    if request.old > checkpoint.size:
        raise Refusal(400, "old")
    if request.old != seen.size:
        raise Refusal(409, "size", seen.size)
    if checkpoint.size == 0:
        # The empty tree has one root. Nothing was seen of this log but, perhaps, the same.
        if checkpoint.root != EMPTY_ROOT or request.proof:
            raise Refusal(422, "proof")
    elif request.old == checkpoint.size and checkpoint.root != seen.root:
        # Without the size: a log that is told one tries again from there.
        raise Refusal(409, "fork")
    elif not consistency_holds(request.old, seen.root, checkpoint.size, checkpoint.root, request.proof):
        raise Refusal(422, "proof")
    return Seen(checkpoint.size, checkpoint.root, _time(seen, int(now_s)))


def _time(seen: Seen, now_s: int) -> int:
    """
    When we say that we saw it: never before what we said of this log already.

    A clock far behind that is wrong, now or then, and a witness that doesn't know the time signs nothing.
    """
    if now_s < seen.time_s - LATE_CLOCK_S:
        raise Refusal(503, "clock")
    return max(now_s, seen.time_s)

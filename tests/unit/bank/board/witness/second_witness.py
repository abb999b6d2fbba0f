"""
The witness once more, written from docs/spec/witness.md alone.

Shares no code with the project; a note's lines are read, and Ed25519 checked, as in ``second_log``. Growth is
checked by the rule of RFC 9162, section 2.1.4.2.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.bank.board.log import second_log

Answer = tuple[int, str]


class SecondWitness:
    """Name and seed of the witness's key; the logs' public keys by origin."""

    def __init__(self, name: str, seed: bytes, logs: dict[str, bytes]) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        self.logs = logs
        self.stored: dict[str, tuple[int, bytes, int]] = {}

    def add_checkpoint(self, body: str, now_s: int) -> Answer:
        """Status and body; of refusals without a size the body is left out."""
        head, gap, note = body.partition("\n\n")
        lines = head.split("\n")
        old_line = re.fullmatch("old (0|[1-9][0-9]*)", lines[0])
        if not gap or old_line is None or len(lines) > 64:
            return 400, ""
        old, proof = int(old_line[1]), [b64decode(line, validate=True) for line in lines[1:]]
        text = note.rpartition("\n\n")[0] + "\n"
        origin, size, root = second_log.checkpoint(text)
        if origin not in self.logs:
            return 404, ""
        if not second_log.open_note(note.encode(), origin, 1, self.logs[origin])[1]:
            return 403, ""
        stored_size, stored_root, stored_time_s = self.stored.get(origin, (0, sha256().digest(), 0))
        if old > size:
            return 400, ""
        if old != stored_size:
            return 409, f"{stored_size}\n"
        if size == 0 and root != sha256().digest():
            return 422, ""
        if old == size and root != stored_root:
            return 409, ""
        if not grew(old, stored_root, size, root, proof):
            return 422, ""
        if now_s < stored_time_s - 300:
            return 503, ""
        time_s = max(now_s, stored_time_s)
        self.stored[origin] = (size, root, time_s)
        return 200, self.line(text, time_s)

    def line(self, text: str, time_s: int) -> str:
        signature = self.key.sign(f"cosignature/v1\ntime {time_s}\n{text}".encode())
        public = self.key.public_key().public_bytes_raw()
        data = second_log.key_id(self.name, 4, public) + time_s.to_bytes(8, "big") + signature
        return f"— {self.name} {b64encode(data).decode()}\n"


def grew(first: int, first_root: bytes, second: int, second_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2, and what the page says of sizes that are zero or equal."""
    if first == 0:
        return not proof
    if first == second:
        return not proof and first_root == second_root
    if not proof:
        return False
    if first & (first - 1) == 0:
        proof = [first_root, *proof]
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old, new = proof[0], proof[0]
    for each in proof[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node(each, old), node(each, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node(new, each)
        at, last = at >> 1, last >> 1
    return (old, new, last) == (first_root, second_root, 0)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()

"""
Submissions that don't fit one packet come in parts, each naming the whole by its leaf hash. Pure.

    hash 32 || offset 2 || whole length 2 || bytes

Parts may come in any order and more than once. What never becomes whole is dropped, the oldest first.

Source: docs/spec/claim.md, section 5.
"""

from collections import OrderedDict

from bank.board.log.tree import HASH_BYTES, leaf_hash
from bank.formats.entry import MOST_CLAIM_BYTES
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage

HEAD_BYTES = HASH_BYTES + 2 + 2
MOST_WHOLE_BYTES = 1 + MOST_CLAIM_BYTES
"""A claim's entry. Most accusations are longer; who accuses the board needn't hide from it."""
MOST_PARTS = 4
MOST_UNFINISHED = 256
"""A megabyte in all. Whoever floods it makes others send their parts again, no more."""


def cut(entry: bytes, room: int) -> list[bytes]:
    """
    The bodies of the requests that carry an entry, ``room`` bytes each at most.

    Raises MalformedMessage("length") when it is too long for packets.
    """
    if len(entry) > MOST_WHOLE_BYTES:
        raise MalformedMessage("length")
    step = room - HEAD_BYTES
    head, length = leaf_hash(entry), len(entry).to_bytes(2)
    return [head + at.to_bytes(2) + length + entry[at : at + step] for at in range(0, len(entry), step)]


class Parts:
    """What has come of unfinished submissions."""

    def __init__(self) -> None:
        self._unfinished: OrderedDict[tuple[bytes, int], dict[int, bytes]] = OrderedDict()

    def add(self, body: bytes) -> bytes | None:
        """
        The whole entry, once it is there; None as long as parts are missing.

        Raises MalformedMessage: ``length``, ``parts`` (too many, overlapping, or not what the hash says).
        """
        reader = Reader(body)
        name, offset, length = reader.take(HASH_BYTES), reader.number(2), reader.number(2)
        part = reader.rest()
        if not part or offset + len(part) > length or length > MOST_WHOLE_BYTES:
            raise MalformedMessage("length")
        key = name, length
        parts = self._unfinished.pop(key, {})
        parts[offset] = part
        if len(parts) > MOST_PARTS:
            raise MalformedMessage("parts")
        if sum(map(len, parts.values())) < length:
            self._unfinished[key] = parts
            if len(self._unfinished) > MOST_UNFINISHED:
                self._unfinished.popitem(last=False)
            return None
        whole = b"".join(parts[at] for at in sorted(parts))
        if leaf_hash(whole) != name:
            # Somebody's false part: whoever means it sends all of them again.
            raise MalformedMessage("parts")
        return whole

"""
The index of a replay filter: which keys it has, with a secret each, and which segments of the log count.

What the log and the tables keep of a tag is its *name*: the first 8 bytes of AES-128(secret, tag). The secret
is the key's own, and leaves this file never. So

- nobody outside can choose tags whose names fall together, to fill one bucket or to have others' packets
  taken for known ones;
- when a key is retired its secret is erased, and its names in the log are noise from then on, also to whoever
  takes the disk. The segments themselves go when nothing in them counts any more.

Frame ids have names too, under a secret of the filter's.

    index   checksum 4 (CRC-32, big-endian) || message (wire.md); mode 0600, replaced as a whole

Source: docs/spec/replay.md, section 1.
"""

import os
from array import array
from contextlib import nullcontext
from pathlib import Path
from zlib import crc32

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from mix.replay.log import damaged
from mixmint.errors import MalformedMessage
from mixmint.keys import read_private, replace_secret
from mixmint.wire import Bytes16, Message, decode, encode

INDEX = "index"
SECRET_BYTES = 16
RETIRED = b""
MOST_BYTES = 1 << 20
_SUM_BYTES = 4


class KeyEntry(Message, frozen=True):
    """A key's id (16 bytes) and its secret: 16 bytes, or none once it is retired."""

    id: Bytes16
    secret: bytes


class Index(Message, frozen=True):
    """
    Which keys and segments there are.

    ``frames_from``: frame ids of earlier epochs don't count any more. ``first`` to ``newest``: the segments;
    one more may be there, empty, after a crash.
    """

    frame_secret: Bytes16
    keys: tuple[KeyEntry, ...]
    frames_from: int
    first: int
    newest: int

    def secret(self, key_id: bytes) -> bytes | None:
        """The secret of a key in use; None for one that is retired, or was never here."""
        for key in self.keys:
            if key.id == key_id:
                return key.secret or None
        return None

    def with_keys(self, key_ids: list[bytes]) -> "Index":
        """With new keys, a new secret each. Raises ValueError for one that is, or was, here."""
        entries = list(self.keys)
        for key_id in key_ids:
            if any(key.id == key_id for key in entries):
                raise ValueError(key_id.hex())
            entries.append(KeyEntry(key_id, os.urandom(SECRET_BYTES)))
        return self.changed(keys=tuple(entries))

    def retired(self, key_id: bytes) -> "Index":
        """Without a key's secret. Its id stays, so that it can't be taken up again with nothing seen."""
        keys = (KeyEntry(key.id, RETIRED) if key.id == key_id else key for key in self.keys)
        return self.changed(keys=tuple(keys))

    def changed(self, **fields: object) -> "Index":
        return msgspec.structs.replace(self, **fields)

    def __repr__(self) -> str:
        return f"Index({len(self.keys)} keys, segments {self.first} to {self.newest})"


def new_index() -> Index:
    """No keys yet; segment 1."""
    return Index(os.urandom(SECRET_BYTES), (), 0, 1, 1)


def read_index(folder: Path) -> Index:
    """Raises UserError if it is missing or readable by others, FatalError if it is damaged."""
    path = folder / INDEX
    data = read_private(path, MOST_BYTES)
    try:
        index = decode(data[_SUM_BYTES:], Index, MOST_BYTES)
    except MalformedMessage:
        raise damaged(path, "is damaged") from None
    # One bit of a secret, and every name would be another: all packets fresh again.
    if data[:_SUM_BYTES] != crc32(data[_SUM_BYTES:]).to_bytes(_SUM_BYTES, "big"):
        raise damaged(path, "is damaged")
    return index


def write_index(folder: Path, index: Index, *, erase: bool = False) -> None:
    """
    Replace the index. Killed anywhere, the old one or the new one is there.

    ``erase``: the old one's bytes are overwritten, since it has a secret that the new one hasn't. (What the
    disk itself keeps of overwritten blocks, no program decides.)

    Raises UserError when it can't be written; then the old one is there.
    """
    path, data = folder / INDEX, encode(index)
    with path.open("r+b") if erase else nullcontext() as old:
        replace_secret(path, crc32(data).to_bytes(_SUM_BYTES, "big") + data)
        if old is not None:
            old.write(bytes(path.stat().st_size + SECRET_BYTES))
            old.flush()
            os.fsync(old.fileno())


class Namer:
    """Makes names of 16-byte tags or ids, all of a frame at once."""

    def __init__(self, secret: bytes) -> None:
        # Not to hide anything: a permutation of 16 bytes that nobody else knows, of one block at a time.
        self._update = Cipher(AES(secret), ECB()).encryptor().update  # noqa: S305

    def names(self, values: bytes) -> bytes:
        """For n values of 16 bytes each: n names, 8 bytes each."""
        return array("Q", self._update(values))[::2].tobytes()

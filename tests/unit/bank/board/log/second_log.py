"""
The log once more, written from docs/spec/log.md alone: every definition as it stands there, with whole lists.

Shares no code with the project; Ed25519 is OpenSSL's, by ``cryptography``. Slow on purpose.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Hashes = tuple[bytes, ...]


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


@cache
def mth(leaves: Hashes) -> bytes:
    """Section 1: the tree hash over hashes of leaves."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Hashes) -> list[bytes]:
    """Section 1: PATH(m, D)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Hashes) -> list[bytes]:
    """Section 1: PROOF(m, D), the growth from m leaves."""
    return subproof(m, leaves, whole=True) if m else []


def subproof(m: int, leaves: Hashes, *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def root_by_path(entry: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """Which root a proof of inclusion leads to, by the rule of RFC 9162, section 2.1.3.2."""
    at, last, found = index, size - 1, leaf(entry)
    for each in hashes:
        assert last > 0
        if at & 1 or at == last:
            found = sha256(b"\x01" + each + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + each).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    return found


def number(index: int) -> str:
    """Section 2: a tile's number in a path."""
    digits = str(index)
    digits = digits.rjust((len(digits) + 2) // 3 * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]])


def files(entries: Sequence[bytes]) -> dict[str, bytes]:
    """Section 2: every tile and bundle of the log with these entries, by path."""
    found: dict[str, bytes] = {}
    for at in range(0, len(entries), 256):
        part = entries[at : at + 256]
        name = f"tile/entries/{number(at // 256)}" + (f".p/{len(part)}" if len(part) < 256 else "")
        found[name] = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
    level, row = 0, [leaf(entry) for entry in entries]
    while row:
        for at in range(0, len(row), 256):
            hashes = row[at : at + 256]
            name = f"tile/{level}/{number(at // 256)}" + (f".p/{len(hashes)}" if len(hashes) < 256 else "")
            found[name] = b"".join(hashes)
        row = [mth(tuple(row[at : at + 256])) for at in range(0, len(row) // 256 * 256, 256)]
        level += 1
    return found


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Section 3: the 4 bytes by which a signature line names its key."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def verifier_key(name: str, kind: int, public: bytes) -> str:
    return f"{name}+{key_id(name, kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def signs(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def open_note(note: bytes, name: str, kind: int, public: bytes) -> tuple[str, list[bytes]]:
    """Section 3: a note's text, and the signatures of this key in it, all of which hold."""
    text, _, lines = note.decode().rpartition("\n\n")
    text += "\n"
    found = []
    for line in lines.splitlines():
        dash, signer, encoded = line.split(" ")
        data = b64decode(encoded, validate=True)
        assert dash == "\u2014"
        if signer == name and data[:4] == key_id(name, kind, public):
            signature, message = data[4:], text.encode()
            if kind == 4:
                time = int.from_bytes(signature[:8], "big")
                signature, message = signature[8:], f"cosignature/v1\ntime {time}\n{text}".encode()
            assert signs(public, signature, message)
            found.append(data[4:])
    return text, found


def checkpoint(text: str) -> tuple[str, int, bytes]:
    """Section 3: origin, size, root."""
    origin, size, root, end = text.split("\n")
    assert not end
    return origin, int(size), b64decode(root, validate=True)


def read_proof(file: bytes) -> tuple[bytes | None, int, list[bytes], bytes]:
    """Section 4: extra, index, hashes and the checkpoint's note."""
    head, _, note = file.decode().partition("\n\n")
    lines = head.split("\n")
    assert lines.pop(0) == "c2sp.org/tlog-proof@v1"
    extra = b64decode(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else None
    word, index = lines.pop(0).split(" ")
    assert word == "index"
    return extra, int(index), [b64decode(line) for line in lines], note.encode()

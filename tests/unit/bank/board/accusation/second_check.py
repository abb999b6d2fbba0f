"""
Checks of two kinds of accusations, written from docs/spec/accusation.md alone, with other libraries.

Source: docs/spec/accusation.md, sections 1 to 4; log.md; coin.md.
"""

from base64 import b64decode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def evidence_of(text: str) -> tuple[int, bytes]:
    """Kind and evidence of a file."""
    header, _, body = text.partition("\n\n")
    assert len(header.split("\n")) == 4
    data = b64decode(body.replace("\n", ""))
    return data[0], data[1:]


def signed(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def certified_twice(evidence: bytes) -> bool:
    key, rest = evidence[:32], evidence[32:]
    bank = sha256(b"mixmint/bank/v1" + key).digest()
    values = []
    for at in (0, 101):
        coin, value, signature = rest[at : at + 32], rest[at + 32 : at + 37], rest[at + 37 : at + 101]
        if not signed(key, signature, b"mixmint/certificate/v1" + bank + value + coin):
            return False
        values.append((coin, value))
    (one, first), (other, second) = values
    return one == other and first < second and len(rest) == 202


def equivocation(evidence: bytes) -> bool:
    """Of two sizes m < n; the proof of consistency as RFC 6962, section 2.1.4.2 (of RFC 9162) has it."""
    logs, at = [], 0
    for _ in range(2):
        parts = []
        for _ in range(2):
            size = int.from_bytes(evidence[at : at + 2])
            parts.append(evidence[at + 2 : at + 2 + size].decode())
            at += 2 + size
        key = b64decode(parts[0].split("+", 2)[2])
        origin, size_text, root, _ = parts[1].split("\n")
        if origin != parts[0].split("+")[0] or origin.startswith("mixmint/"):
            return False
        if not signed(key[1:], evidence[at : at + 64], parts[1].encode()):
            return False
        at += 64
        logs.append((key, origin, int(size_text), b64decode(root)))
    shown, count = evidence[at : at + 32], int.from_bytes(evidence[at + 32 : at + 36])
    path = [evidence[at + 36 + 32 * n : at + 68 + 32 * n] for n in range(count)]
    (key, name, m, old), (other_key, other_name, n, new) = logs
    same = (key, name) == (other_key, other_name)
    return same and 0 < m < n and shown != old and consistent(m, n, shown, new, path)


def consistent(m: int, n: int, old: bytes, new: bytes, path: list[bytes]) -> bool:
    if m & (m - 1) == 0:
        path = [old, *path]
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for each in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first = sha256(b"\1" + each + first).digest()
            second = sha256(b"\1" + each + second).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = sha256(b"\1" + second + each).digest()
        fn, sn = fn >> 1, sn >> 1
    return first == old and second == new and sn == 0

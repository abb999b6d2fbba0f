"""
The map's tree once more, written from docs/spec/map.md alone, with dicts and strings of bits.

Shares no code with the project; Ed25519 is OpenSSL's, by ``cryptography``. Slow on purpose: it says what the
fast one must say.
"""

from base64 import b64decode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Coins = dict[bytes, int]


def bits(coin: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in coin)


def h(label: str, *parts: bytes) -> bytes:
    return sha256(label.encode() + b"".join(parts)).digest()


def root_below(coins: Coins, prefix: str = "") -> bytes:
    """The hash of all coins whose bits begin with ``prefix``."""
    here = {coin: state for coin, state in coins.items() if bits(coin).startswith(prefix)}
    if len(prefix) >= 8 and not here:
        return h("mixmint/map-empty/v1")
    if len(prefix) >= 8 and len(here) <= 64:
        return h("mixmint/map-bucket/v1", *(coin + bytes([here[coin]]) for coin in sorted(here)))
    return h("mixmint/map-node/v1", root_below(here, prefix + "0"), root_below(here, prefix + "1"))


def read_proof(data: bytes) -> tuple[list[bytes], Coins]:
    """A proof's siblings, from the root down, and its bucket."""
    empty = h("mixmint/map-empty/v1")
    depth = data[0]
    width = (depth + 7) // 8
    flags, rest = "".join(f"{byte:08b}" for byte in data[1 : 1 + width]), data[1 + width :]
    siblings = []
    for flag in flags[:depth]:
        if flag == "1":
            siblings.append(rest[:32])
            rest = rest[32:]
        else:
            siblings.append(empty)
    assert "1" not in flags[depth:]
    bucket = {rest[at : at + 32]: rest[at + 32] for at in range(0, len(rest), 33)}
    assert len(rest) == 33 * len(bucket)
    return siblings, bucket


def state_by(coin: bytes, data: bytes, root: bytes) -> int | None:
    """What a proof says of a coin; AssertionError when it doesn't lead to the root."""
    siblings, bucket = read_proof(data)
    path = bits(coin)[: len(siblings)]
    assert all(bits(other).startswith(path) for other in bucket)
    records = b"".join(other + bytes([bucket[other]]) for other in sorted(bucket))
    value = h("mixmint/map-bucket/v1", records) if bucket else h("mixmint/map-empty/v1")
    for bit, sibling in zip(reversed(path), reversed(siblings), strict=True):
        pair = (value, sibling) if bit == "0" else (sibling, value)
        value = h("mixmint/map-node/v1", *pair)
    assert value == root
    return bucket.get(coin)


def proof_of(coins: Coins, coin: bytes) -> bytes:
    """A proof's bytes, section 3."""
    path, empty = bits(coin), h("mixmint/map-empty/v1")
    depth = 0
    while depth < 8 or sum(bits(each).startswith(path[:depth]) for each in coins) > 64:
        depth += 1
    siblings = [root_below(coins, path[:at] + "10"[int(path[at])]) for at in range(depth)]
    flags = "".join("0" if sibling == empty else "1" for sibling in siblings)
    flags += "0" * (-depth % 8)
    return b"".join(
        (
            bytes([depth]),
            bytes(int(flags[at : at + 8], 2) for at in range(0, len(flags), 8)),
            *(sibling for sibling in siblings if sibling != empty),
            *(each + bytes([coins[each]]) for each in sorted(coins) if bits(each).startswith(path[:depth])),
        )
    )


def read_file(text: str, public: bytes, name: str) -> tuple[bytes, int | None, list[bytes]]:
    """
    A coin proof file, section 5: the coin, its state, the entries about it; AssertionError when it doesn't
    hold. The log's formats are written from docs/spec/log.md.
    """
    lines = text.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    extra = b64decode(lines[1].removeprefix("extra "))
    index = int(lines[2].removeprefix("index "))
    gap = lines.index("")
    hashes = [b64decode(line) for line in lines[3:gap]]
    origin, size, root = lines[gap + 1 : gap + 4]
    note = f"{origin}\n{size}\n{root}\n"
    dash, signer, signature = lines[gap + 5].split(" ")
    assert (dash, signer, origin) == ("—", name, name)
    Ed25519PublicKey.from_public_bytes(public).verify(b64decode(signature)[4:], note.encode())
    leaf = extra[:53]
    assert log_root(leaf, index, int(size), hashes) == b64decode(root)
    assert leaf[0] == 8
    coin, length = extra[53:85], int.from_bytes(extra[85:87], "big")
    state = state_by(coin, extra[87 : 87 + length], leaf[21:53])
    entries, rest = [], extra[87 + length :]
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        entries.append(rest[2:end])
        rest = rest[end:]
    return coin, state, entries


def log_root(entry: bytes, index: int, size: int, hashes: list[bytes]) -> bytes:
    """RFC 6962: the root that a leaf's inclusion proof leads to."""
    if size == 1:
        assert not hashes
        return sha256(b"\0" + entry).digest()
    k = 1
    while 2 * k < size:
        k *= 2
    *below, beside = hashes
    if index < k:
        return sha256(b"\1" + log_root(entry, index, k, below) + beside).digest()
    return sha256(b"\1" + beside + log_root(entry, index - k, size - k, below)).digest()

"""
The map's tree once more, written from docs/spec/map.md alone, with dicts and strings of bits.

Shares no code with the project. Slow on purpose: it says what the fast one must say.
"""

from hashlib import sha256

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

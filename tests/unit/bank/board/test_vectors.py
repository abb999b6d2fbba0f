"""docs/spec/board.md, section 8: recomputed from the page's words alone, then compared with the code."""

import re
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

PAGE = Path(__file__).parents[4] / "docs" / "spec" / "board.md"


@pytest.fixture
def vector() -> dict[str, bytes]:
    """Names and bytes of the page's last section."""
    section = PAGE.read_text().split("## 8.")[1]
    lines = re.findall(r"^ {4}(\S.*?) {2,}([0-9a-f]+)$", section, re.MULTILINE)
    return {name: bytes.fromhex(data) for name, data in lines}


@pytest.fixture
def keys() -> dict[str, SigningKey]:
    return {name: SigningKey(bytes([n]) * 32) for n, name in enumerate(("bank", "board", "coin"), start=1)}


def sign(key: SigningKey, label: str, *parts: bytes) -> bytes:
    return key.sign(label.encode() + b"".join(parts)).signature


def test_the_vectors_follow_from_the_page(vector: dict[str, bytes], keys: dict[str, SigningKey]) -> None:
    """A second implementation, as short as the page allows."""
    bank, board, coin = keys["bank"], keys["board"], keys["coin"]
    bank_key, board_key, coin_key = (bytes(key.verify_key) for key in (bank, board, coin))
    assert (vector["bank key"], vector["board key"]) == (bank_key, board_key)
    account = b"\2" + b"\4" * 32
    coin_id = sha256(b"mixmint/coin/v1" + coin_key).digest()
    bank_id = sha256(b"mixmint/bank/v1" + bank_key).digest()
    worth = b"\3" + (1).to_bytes(4)
    certificate = sign(bank, "mixmint/certificate/v1", bank_id, worth, coin_id)
    certified = b"\3" + coin_id + worth + certificate
    seal = b"\5" * 32
    spent = b"\4" + coin_key + seal + sign(coin, "mixmint/spend/v1", seal)

    def measured(entry: bytes) -> bytes:
        return len(entry).to_bytes(2) + entry

    groups = b"\1" + measured(account) + b"\2" + measured(spent) + measured(certified)
    batch = (1).to_bytes(8) + (2).to_bytes(2) + groups
    assert vector["batch"] == batch
    assert vector["feed"] == sign(bank, "mixmint/feed/v1", board_key, batch)
    bundle = b"".join(measured(entry) for entry in sorted((account, certified, spent)))
    assert vector["bundle"] == bundle
    previous = bytes(32)
    for number, first, count, content in ((1, 0, 3, bundle), (2, 3, 0, b"")):
        digest = sha256(b"mixmint/round-digest/v1" + previous + content).digest()
        numbers = number.to_bytes(4) + first.to_bytes(8) + count.to_bytes(4)
        assert vector[f"digest {number}"] == digest
        assert vector[f"signature {number}"] == sign(board, "mixmint/round/v1", numbers, digest, previous)
        previous = digest
    told = (3).to_bytes(8) + (1).to_bytes(4) + bytes(4)
    batch_hash = sha256(b"mixmint/feed-batch/v1" + batch).digest()
    signature = sign(board, "mixmint/feed-receipt/v1", batch_hash, told)
    assert msgspec.msgpack.decode(vector["receipt"]) == [3, 1, 0, signature]


def test_the_code_makes_the_same(vector: dict[str, bytes]) -> None:
    """Page and program agree."""
    from bank.board.feed import Batch, FeedReceipt, open_feed
    from bank.board.rounds import NO_DIGEST, sign_round, unpack
    from mixmint.keys import SigningKey as OurKey
    from mixmint.wire import decode

    key = OurKey(b"\2" * 32)
    body = vector["feed"] + vector["batch"]
    assert open_feed(vector["bank key"], key.public, body) == vector["batch"]
    entries = sorted(entry for group in Batch.decode(vector["batch"]).groups for entry in group)
    assert entries == unpack(vector["bundle"])
    first, _ = sign_round(key, 1, 0, NO_DIGEST, entries)
    second, _ = sign_round(key, 2, 3, first.digest, [])
    assert (first.digest, first.signature) == (vector["digest 1"], vector["signature 1"])
    assert (second.digest, second.signature) == (vector["digest 2"], vector["signature 2"])
    assert decode(vector["receipt"], FeedReceipt, 128).holds(key.public, vector["batch"])

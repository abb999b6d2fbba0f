"""docs/spec/board.md, section 10: recomputed from the page's words alone, then compared with the code."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

PAGE = Path(__file__).parents[4] / "docs" / "spec" / "board.md"
ORIGIN = "board.example.org"


@pytest.fixture
def vector() -> dict[str, bytes]:
    """Names and bytes of the page's last section."""
    section = PAGE.read_text().split("## 10.")[1]
    lines = re.findall(r"^ {4}(\S.*?) {2,}([0-9a-f]+)$", section, re.MULTILINE)
    return {name: bytes.fromhex(data) for name, data in lines}


@pytest.fixture
def keys() -> dict[str, SigningKey]:
    return {name: SigningKey(bytes([n]) * 32) for n, name in enumerate(("bank", "board", "coin"), start=1)}


def sign(key: SigningKey, label: str, *parts: bytes) -> bytes:
    return key.sign(label.encode() + b"".join(parts)).signature


def measured(entry: bytes) -> bytes:
    return len(entry).to_bytes(2) + entry


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
    replaced = b"\6" + coin_id + worth + sign(bank, "mixmint/replaced/v1", bank_id, coin_id, worth)
    shown = [vector[name] for name in ("account", "certified", "spent", "posted", "replaced")]
    assert shown == [account, certified, spent, b"\7" + certified[1:], replaced]

    groups = b"\1" + measured(account) + b"\0" + b"\2" + measured(spent) + measured(certified)
    batch = (1).to_bytes(8) + (3).to_bytes(2) + groups
    assert vector["batch"] == batch
    assert vector["feed"] == sign(bank, "mixmint/feed/v1", board_key, batch)
    told = (4).to_bytes(8) + (1).to_bytes(4) + bytes(4)
    batch_hash = sha256(b"mixmint/feed-batch/v1" + batch).digest()
    for name, label in (("receipt", "mixmint/feed-receipt/v1"), ("waits", "mixmint/feed-waits/v1")):
        assert msgspec.msgpack.decode(vector[name]) == [4, 1, 0, sign(board, label, batch_hash, told)]
    fields = sha256(b"\0" + vector["posted"]).digest() + (2).to_bytes(4) + (1).to_bytes(4)
    assert vector["entry receipt"] == fields + sign(board, "mixmint/entry-receipt/v1", fields)


def test_the_log_follows_from_the_page(vector: dict[str, bytes], keys: dict[str, SigningKey]) -> None:
    """Rounds as leaves, and the checkpoint after the second."""

    def mark(number: int, closed_at: int, first: int) -> bytes:
        return b"\x7f" + number.to_bytes(4) + closed_at.to_bytes(8) + first.to_bytes(8)

    def node(left: bytes, right: bytes) -> bytes:
        return sha256(b"\1" + left + right).digest()

    entries = sorted((vector["account"], vector["certified"], vector["spent"]))
    leaves = [*entries, mark(1, 1_800_000_000, 0), mark(2, 1_800_000_001, 4)]
    assert (vector["mark 1"], vector["mark 2"]) == tuple(leaves[3:])
    assert leaves[:4] == sorted(leaves[:4])
    assert vector["bundle"] == b"".join(map(measured, leaves))
    hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    first = node(node(hashes[0], hashes[1]), node(hashes[2], hashes[3]))
    assert (vector["root 1"], vector["root 2"]) == (first, node(first, hashes[4]))
    text = f"{ORIGIN}\n5\n{b64encode(vector['root 2']).decode()}\n".encode()
    key_id = sha256(ORIGIN.encode() + b"\n\1" + vector["board key"]).digest()[:4]
    line = b64encode(key_id + keys["board"].sign(text).signature).decode()
    assert vector["checkpoint 2"] == text + f"\n\u2014 {ORIGIN} {line}\n".encode()


def test_the_code_makes_the_same(vector: dict[str, bytes]) -> None:
    """Page and program agree."""
    from bank.board.feed import Batch, FeedReceipt, open_feed
    from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
    from bank.board.log.tiles import Edge, pack
    from bank.board.receipts import EntryReceipt
    from bank.board.rounds import leaves_of
    from mixmint.keys import SigningKey as OurKey
    from mixmint.wire import decode

    key = OurKey(b"\2" * 32)
    body = vector["feed"] + vector["batch"]
    assert open_feed(vector["bank key"], key.public, body) == vector["batch"]
    groups = Batch.decode(vector["batch"]).groups
    assert [len(group) for group in groups] == [1, 0, 2]
    leaves = leaves_of(1, 1_800_000_000, 0, [entry for group in groups for entry in group])
    first, _ = Edge().grow(leaves)
    more = leaves_of(2, 1_800_000_001, 4, [])
    second, _ = first.grow(more)
    assert pack([*leaves, *more]) == vector["bundle"]
    assert (first.root(), second.root()) == (vector["root 1"], vector["root 2"])
    note = sign_checkpoint(key, Checkpoint(ORIGIN, second.size, second.root()))
    assert note.encode() == vector["checkpoint 2"]
    assert decode(vector["receipt"], FeedReceipt, 128).holds(key.public, vector["batch"])
    assert decode(vector["waits"], FeedReceipt, 128).holds(key.public, vector["batch"], taken=False)
    receipt = EntryReceipt.decode(vector["entry receipt"])
    assert receipt.holds(key.public, vector["posted"])
    assert (receipt.round, receipt.newest_closed, receipt.encode()) == (2, 1, vector["entry receipt"])

"""docs/spec/map.md, section 7: recomputed from the page's words alone, then compared with the code."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from nacl.signing import SigningKey as OtherKey

from bank.board.log.note import VerifierKey
from bank.board.log.tree import inclusion_spans, span_hash
from bank.board.map.coin_proof import CoinProof, make_coin_proof
from bank.board.map.states import State
from bank.board.map.trie import EMPTY
from bank.formats.coin import coin_id
from bank.formats.entry import MapEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.board.map.maps import prove_in, root_of
from tests.unit.bank.board.map.second_map import h, proof_of, read_file, root_below, state_by

PAGE = Path(__file__).parents[5] / "docs" / "spec" / "map.md"
NONE: dict[bytes, int] = {}
ONE = {b"\5" * 32: 2}
MANY = {b"\7" + sha256(f"coin {n}".encode()).digest()[1:]: n % 3 + 1 for n in range(65)}
PRESENT, ABSENT, LOWEST = b"\5" * 32, b"\4" * 32, min(MANY)


@pytest.fixture
def section() -> str:
    return PAGE.read_text().split("## 7.")[1]


@pytest.fixture
def vector(section: str) -> dict[str, bytes]:
    """Names and bytes of the page's last section."""
    lines = re.findall(r"^ {4}(\S.*?) {2,}([0-9a-f]+)$", section, re.MULTILINE)
    return {name: bytes.fromhex(data) for name, data in lines}


@pytest.fixture
def file(section: str) -> str:
    """The page's last block: a coin proof file."""
    block = section[section.index("    c2sp.org") :]
    return "".join(line.removeprefix("    ") for line in block.splitlines(keepends=True))


def test_the_vectors_follow_from_the_page(vector: dict[str, bytes]) -> None:
    """A second implementation."""
    assert vector == {
        "empty": h("mixmint/map-empty/v1"),
        "root of 0": root_below(NONE),
        "root of 1": root_below(ONE),
        "proof in 0": proof_of(NONE, PRESENT),
        "proof in 1": proof_of(ONE, PRESENT),
        "absence in 1": proof_of(ONE, ABSENT),
        "root of 65": root_below(MANY),
        "H(proof in 65)": sha256(proof_of(MANY, LOWEST)).digest(),
    }
    assert state_by(PRESENT, vector["proof in 0"], vector["root of 0"]) is None
    assert state_by(PRESENT, vector["proof in 1"], vector["root of 1"]) == 2
    assert state_by(ABSENT, vector["absence in 1"], vector["root of 1"]) is None


def test_the_code_makes_the_same(vector: dict[str, bytes]) -> None:
    """Page and program agree."""
    assert vector == {
        "empty": EMPTY,
        "root of 0": root_of(NONE),
        "root of 1": root_of(ONE),
        "proof in 0": prove_in(NONE, PRESENT).encode(),
        "proof in 1": prove_in(ONE, PRESENT).encode(),
        "absence in 1": prove_in(ONE, ABSENT).encode(),
        "root of 65": root_of(MANY),
        "H(proof in 65)": sha256(prove_in(MANY, LOWEST).encode()).digest(),
    }


def test_the_page_s_file_shows_a_spent_coin(file: str) -> None:
    """By the second implementation, with OpenSSL's signatures."""
    board, coin = OtherKey(b"\2" * 32).verify_key, OtherKey(b"\3" * 32)
    shown, state, entries = read_file(file, bytes(board), "board.example.org")
    assert shown == h("mixmint/coin/v1", bytes(coin.verify_key))
    assert state == 2
    seal = b"\5" * 32
    signature = coin.sign(b"mixmint/spend/v1" + seal).signature
    assert entries == [b"\4" + bytes(coin.verify_key) + seal + signature]
    with pytest.raises(AssertionError):
        read_file(file.replace("index 2", "index 3"), bytes(board), "board.example.org")


def test_the_code_makes_the_page_s_file(section: str, file: str, tmp_path: Path) -> None:
    """From the words above it; and takes it."""
    board, coin = SigningKey(b"\2" * 32), SigningKey(b"\3" * 32)
    seal = b"\5" * 32
    spent = SpentEntry(coin.public, seal, coin.sign(SPEND_LABEL, seal)).encode()
    maker = LogMaker(tmp_path, board)
    maker.close([spent])
    coins = {coin_id(coin.public): 2}
    entry = MapEntry(1, 2, 1, root_of(coins))
    maker.close([entry.encode()])
    node = maker.folder.node
    hashes = [span_hash(span, lambda each: node(each, 4)) for span in inclusion_spans(2, 4)]
    made = make_coin_proof(
        coin_id(coin.public),
        prove_in(coins, coin_id(coin.public)),
        entry,
        (2, hashes),
        maker.sign(),
        [spent],
    )
    assert made.encode() == file.encode()
    assert maker.verifier.text() in section
    key = VerifierKey.parse(maker.verifier.text())
    assert CoinProof.decode(file.encode()).check(key).state is State.SPENT

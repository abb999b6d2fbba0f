"""Proofs about coins, shown to the audit: a map that leaves a coin out convicts its board."""

import os
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.accusation.log import MapFalse
from bank.board.audit.audit import Report
from bank.board.audit.finding import Fault, Weight
from bank.board.audit.run import Options, audit
from bank.board.log.proof import LogProof
from bank.board.log.tree import prove_many
from bank.board.map.coin_proof import CoinProof
from bank.board.map.proof import prove
from bank.board.map.trie import EMPTY, SHARDS, merge_shard, root_of_shards, shard_of, shard_root
from bank.formats.coin import coin_id
from bank.formats.entry import MapEntry
from mixmint.errors import UserError
from tests.unit.bank.board.audit.books import Books


def shown(books: Books, coin: bytes, said: dict[bytes, int]) -> CoinProof:
    """The board closes a round with a map of these coins (of one shard), and proves what it says of one."""
    shard = merge_shard(b"", said)
    roots = [shard_root(shard) if number == shard_of(coin) else EMPTY for number in range(SHARDS)]
    entry = MapEntry(books.round, books.edge.size, len(said), root_of_shards(roots))
    books.close([entry.encode()])
    books.publish()
    index, size = books.leaves.index(entry.encode()), books.edge.size
    hashes = prove_many([index], size, lambda node: books.folder.node(node, size))
    return CoinProof(coin, entry, prove(coin, shard, roots), LogProof(index, tuple(hashes), books.sign()))


def audited(books: Books, proof: CoinProof, folder: Path) -> tuple[Report, Path]:
    file, out = folder / "coin.proof", folder / "found.txt"
    file.write_bytes(proof.encode())
    report, _ = audit(Options(str(books.folder.path), books.verifier.text(), jobs=1, out=out, proofs=(file,)))
    return report, out


@pytest.fixture
def books(tmp_path: Path) -> Books:
    made = Books(tmp_path / "log")
    made.open()
    made.close([made.withdraw()])
    return made


@pytest.mark.parametrize("known", [True, False])
def test_a_map_that_says_less_than_the_log_is_convicted_by_its_proof(
    books: Books, tmp_path: Path, known: bool
) -> None:
    """Spent, and the map says certified; certified, and it says nothing."""
    coin = coin_id(books.live[0].public)
    if known:
        books.close([books.deposit()])
    report, _ = audited(books, shown(books, coin, {coin: 1} if known else {}), tmp_path)
    files = [each.accusation for each in report.findings if each.accusation and each.fault == Fault.MAP]
    words = f"kind: {MapFalse.kind.word}".encode()
    (file,) = [each for each in files if each.split(b"\n")[1] == words]
    verdict = check_file(file)
    assert verdict.holds
    assert verdict.whom.board == books.verifier


def test_a_true_proof_accuses_nobody(books: Books, tmp_path: Path) -> None:
    """Nor does one of a coin that came after the map, or from a map that isn't in this log."""
    coin, later = coin_id(books.live[0].public), os.urandom(32)
    proof = shown(books, coin, {coin: 1})
    books.close([books.deposit()])
    books.publish()
    report, _ = audited(books, proof, tmp_path)
    assert report.passed, report.findings
    elsewhere = CoinProof(coin, proof.entry, proof.proof, LogProof(0, (), proof.log.note))
    report, _ = audited(books, elsewhere, tmp_path)
    assert [each.weight for each in report.findings] == [Weight.NOTE]
    wrong = CoinProof(later, proof.entry, proof.proof, proof.log)
    report, _ = audited(books, wrong, tmp_path)
    assert [each.weight for each in report.findings] == [Weight.NOTE]


def test_a_file_that_is_no_proof_is_said(books: Books, tmp_path: Path) -> None:
    """Before anything is read."""
    file = tmp_path / "coin.proof"
    file.write_bytes(b"no proof")
    books.publish()
    with pytest.raises(UserError, match="no coin's proof"):
        audit(Options(str(books.folder.path), books.verifier.text(), jobs=1, proofs=(file,)))

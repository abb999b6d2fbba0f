"""
The auditor on a log of 60,000 entries that real keys made: three of four groups are exchanges, the fourth is
a withdrawal of two coins; a statement and a map every ten rounds of a thousand.

The yardstick is what the same processes do when they verify as many Ed25519 signatures and nothing else. Both
are measured in turn, in one run, with processes that run already. The log is read from a folder.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

from nacl import bindings
from nacl.exceptions import BadSignatureError

from bank.board.audit.audit import Audit
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import VerifierKey
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tiles import Edge
from bank.board.map.growing import GrowingShard
from bank.board.map.states import collect
from bank.board.map.trie import SHARDS, root_of_shards, shard_of
from bank.board.rounds import leaves_of
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, MapEntry, SpentEntry, StatementEntry, make_key_entry
from bank.formats.order import SPEND_LABEL
from bank.formats.statement import Row, Tally, sign_statement, units_of
from benchmarks.figure import Figure
from mixmint.keys import SigningKey

ENTRIES = 60_000
ROUND_ENTRIES = 1000
STATED_ROUNDS = 10
RUNS = 5
WITHDRAWALS = 0.25
VALUE = (3, 1)
ORIGIN = "board.example.org"
BEGIN_S = 1_800_000_000


def measure() -> list[Figure]:
    """[audit_ratio, audit_entries_per_s]."""
    cores = os.cpu_count() or 1
    board = SigningKey.generate()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(cores, get_context("spawn")) as pool,
    ):
        count = _Business(Path(folder), board).run()
        work = [_signed(ENTRIES // (4 * cores)) for _ in range(4 * cores)]
        list(pool.map(verify_all, work))
        audits, ratios = [], []
        for _ in range(RUNS):
            bare = sum(map(len, work)) / _seconds(lambda: list(pool.map(verify_all, work)))
            audits.append(count / _seconds(lambda: _audit(Path(folder), board, pool, cores)))
            ratios.append(audits[-1] / bare)
    method = (
        f"{count:,} entries by real keys, from a folder, {cores} processes that run already; median of {RUNS}"
    )
    return [
        Figure(
            "audit_ratio", statistics.median(ratios), "", f"{method}; to bare Ed25519 checks by the same", 0.6
        ),
        Figure("audit_entries_per_s", statistics.median(audits), "entries/s", f"{method}; all checks"),
    ]


def _seconds(work: object) -> float:
    assert callable(work)
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _audit(folder: Path, board: SigningKey, pool: ProcessPoolExecutor, jobs: int) -> None:
    reader = LogReader(FolderSource(folder), VerifierKey(ORIGIN, board.public))
    report = asyncio.run(Audit(reader, pool, jobs).run(BEGIN_S))
    assert not report.findings


def _signed(count: int) -> list[tuple[bytes, bytes]]:
    """Signatures of messages about as long as a certificate's."""
    pairs = []
    for _ in range(count):
        public, secret = bindings.crypto_sign_keypair()
        pairs.append((bindings.crypto_sign(os.urandom(92), secret), public))
    return pairs


def verify_all(pairs: Sequence[tuple[bytes, bytes]]) -> int:
    """Verify and do nothing else: the least that an audit can cost."""
    held = 0
    for signed, public in pairs:
        try:
            bindings.crypto_sign_open(signed, public)
        except BadSignatureError:
            continue
        held += 1
    return held


class _Business:
    """A bank's and a board's work, written as a log."""

    def __init__(self, folder: Path, board: SigningKey) -> None:
        self._folder = TileFolder(folder)
        self._board = board
        self._bank = SigningKey.generate()
        self._id = bank_id(self._bank.public)
        self._rng = Random(0)
        self._live: list[SigningKey] = []
        self._tally = Tally()
        self._edge = Edge()
        self._map = [GrowingShard() for _ in range(SHARDS)]
        self._changes: dict[bytes, int] = {}

    def run(self) -> int:
        """How many leaves there are."""
        number = 1
        self._close(number, [make_key_entry(self._bank, self._id).encode()])
        while self._edge.size < ENTRIES:
            number += 1
            entries: list[bytes] = []
            while len(entries) < ROUND_ENTRIES:
                entries += self._group()
            if number % STATED_ROUNDS == 0:
                entries += [self._statement(number // STATED_ROUNDS), self._map_entry(number - 1)]
            self._close(number, entries)
        checkpoint = Checkpoint(ORIGIN, self._edge.size, self._edge.root())
        self._folder.publish(sign_checkpoint(self._board, checkpoint))
        return self._edge.size

    def _close(self, number: int, entries: Sequence[bytes]) -> None:
        collect(entries, self._changes)
        leaves = leaves_of(number, BEGIN_S, self._edge.size, entries)
        self._edge, files = self._edge.grow(leaves)
        self._folder.write(files)

    def _group(self) -> list[bytes]:
        if not self._live or self._rng.random() < WITHDRAWALS:
            self._tally = self._tally.plus(Tally(withdrawn=2))
            return [self._certified(), self._certified()]
        place = self._rng.randrange(len(self._live))
        self._live[place], self._live[-1] = self._live[-1], self._live[place]
        coin, seal = self._live.pop(), os.urandom(32)
        self._tally = self._tally.plus(Tally(exchanged=1, spent=1))
        return [self._certified(), SpentEntry(coin.public, seal, coin.sign(SPEND_LABEL, seal)).encode()]

    def _certified(self) -> bytes:
        key = SigningKey.generate()
        self._live.append(key)
        coin = coin_id(key.public)
        certificate = sign_certificate(self._bank, self._id, *VALUE, coin)
        return CertifiedEntry(coin, *VALUE, certificate).encode()

    def _statement(self, sequence: int) -> bytes:
        rows = [Row(*VALUE, self._tally)]
        size, root = self._edge.size, self._edge.root()
        return StatementEntry(
            sign_statement(self._bank, self._id, sequence, size, root, units_of(rows), rows)
        ).encode()

    def _map_entry(self, number: int) -> bytes:
        shards: list[dict[bytes, int]] = [{} for _ in range(SHARDS)]
        for coin, state in self._changes.items():
            shards[shard_of(coin)][coin] = state
        self._changes = {}
        for shard, changes in zip(self._map, shards, strict=True):
            shard.update(changes)
        root = root_of_shards([shard.root() for shard in self._map])
        return MapEntry(number, self._edge.size, sum(shard.coins for shard in self._map), root).encode()


if __name__ == "__main__":
    for figure in measure():
        print(figure)

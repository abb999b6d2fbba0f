"""
A wallet restored from its seed and a board of 1,000,000 entries, 10,000 of its past coins among them.

The log is made here: real ids for the wallet's coins, really certified and signed; what belongs to others is
as long and as random, and its signatures are nobody's (a wallet checks only those of its own coins). Measured
are the whole search, 2^20 counters past the last hit of three purposes on all cores; how soon the wallet can
be used; and how much memory the restoring process takes, beside what it takes on a tenth of the board.
"""

import asyncio
import os
import resource
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import VerifierKey
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tiles import Edge
from bank.board.rounds import leaves_of
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, Kind, SpentEntry, make_key_entry
from bank.formats.order import SPEND_LABEL
from bank.formats.succession import BankKeys
from benchmarks.figure import Figure
from mixmint.keys import SigningKey
from mixmint.sealing import Sealer
from wallet.answers import Bank
from wallet.derivation import Purpose, derive
from wallet.purse import CoinState, Purse
from wallet.restoring.reading import BareReader
from wallet.restoring.scan import Scan
from wallet.restoring.state import Restoring
from wallet.restoring.workers import Workers, cores

ENTRIES = 1_000_000
COINS = 10_000
ROUND_ENTRIES = 1000
KEPT = 1000
"""Coins that are free in the end; the others were spent after a while."""
PURPOSES = (Purpose.WITHDRAW, Purpose.INVOICE, *(Purpose.EXCHANGE,) * 8)
VALUE = (3, 1)
ORIGIN = "board.example.org"
BEGIN_S = 1_800_000_000
SEED = b"\x05" * 32
MIB = 1 << 20


def measure(entries: int = ENTRIES, coins: int = COINS) -> list[Figure]:
    """[restore_s, restore_usable_s, restore_memory_mib, restore_memory_ratio]."""
    usable_s, whole_s, memory = _measured(entries, coins)
    _, _, memory_tenth = _measured(entries // 10, coins)
    method = (
        f"{entries:,} entries in a folder, {coins:,} past coins, 3 x 2^20 counters past the last; "
        f"{cores()} processes that derive"
    )
    return [
        Figure("restore_s", whole_s, "s", f"{method}; everything", 30.0, "lower"),
        Figure("restore_usable_s", usable_s, "s", f"{method}; until the wallet can be used"),
        Figure("restore_memory_mib", memory / MIB, "MiB", f"{method}; the restoring process at its largest"),
        Figure(
            "restore_memory_ratio",
            memory / memory_tenth,
            "",
            "to that with a tenth of the board",
            1.1,
            "lower",
        ),
    ]


def _measured(entries: int, coins: int) -> tuple[float, float, int]:
    """How soon it could be used, and was over (seconds), and the process's largest size (bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        bank = SigningKey.generate()
        board = _Business(Path(folder) / "log", bank, entries, coins).run()
        # A process of its own, so that nothing else counts as its memory.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(restore, Path(folder), board, bank.public, coins).result()


def restore(folder: Path, board: bytes, bank: bytes, coins: int) -> tuple[float, float, int]:
    """One restore, checked."""
    state = Restoring().encode()
    purse = Purse.create(folder / "wallet.db", Sealer(bytes(32)), bank_id(bank), SEED, restoring=state)
    usable_s, whole_s = asyncio.run(_restore(purse, folder / "log", board, bank))
    found = purse.coins()
    assert sum(record.state is not CoinState.VOID for record in found.values()) == coins
    assert sum(record.state is CoinState.FREE for record in found.values()) == min(KEPT, coins)
    purse.close()
    return usable_s, whole_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _restore(purse: Purse, log: Path, board: bytes, bank: bytes) -> tuple[float, float]:
    started_s = time.perf_counter()
    reader = BareReader(LogReader(FolderSource(log), VerifierKey(ORIGIN, board)))
    async with (
        Workers(SEED, purse.bank, cores()) as workers,
        Scan(purse, reader, Bank(BankKeys(bank)), workers) as scan,
    ):
        await scan.near()
        usable_s = time.perf_counter() - started_s
        await scan.deep()
    return usable_s, time.perf_counter() - started_s


class _Business:
    """A bank's and a board's work, written as a log."""

    def __init__(self, folder: Path, bank: SigningKey, entries: int, coins: int) -> None:
        self._folder = TileFolder(folder)
        self._bank = bank
        self._id = bank_id(bank.public)
        self._entries = entries
        self._coins = coins
        self._live: deque[SigningKey] = deque()
        self._counters = dict.fromkeys(Purpose, 0)

    def run(self) -> bytes:
        """The board's public key."""
        board, edge, made, number = SigningKey.generate(), Edge(), 0, 1
        edge = self._close(edge, number, [make_key_entry(self._bank, self._id).encode()])
        while edge.size < self._entries:
            number += 1
            entries: list[bytes] = []
            due = min(self._coins, self._coins * (edge.size + ROUND_ENTRIES) // self._entries + 1)
            for made in range(made + 1, due + 1):  # noqa: B020 - goes on where the last round ended
                entries += self._own(made)
            entries += [_foreign(each) for each in range(ROUND_ENTRIES - len(entries))]
            edge = self._close(edge, number, entries)
        assert made == self._coins
        self._folder.publish(sign_checkpoint(board, Checkpoint(ORIGIN, edge.size, edge.root())))
        return board.public

    def _close(self, edge: Edge, number: int, entries: list[bytes]) -> Edge:
        edge, files = edge.grow(leaves_of(number, BEGIN_S, edge.size, entries))
        self._folder.write(files)
        return edge

    def _own(self, made: int) -> list[bytes]:
        purpose = PURPOSES[made % len(PURPOSES)]
        key = SigningKey(derive(SEED, self._id, 0, purpose, self._counters[purpose]))
        self._counters[purpose] += 1
        self._live.append(key)
        coin = coin_id(key.public)
        certificate = sign_certificate(self._bank, self._id, *VALUE, coin)
        entries = [CertifiedEntry(coin, *VALUE, certificate).encode()]
        if len(self._live) > KEPT:
            spent, seal = self._live.popleft(), os.urandom(32)
            entries.append(SpentEntry(spent.public, seal, spent.sign(SPEND_LABEL, seal)).encode())
        return entries


def _foreign(number: int) -> bytes:
    if number % 2:
        return Kind.SPENT.to_bytes(1) + os.urandom(128)
    return Kind.CERTIFIED.to_bytes(1) + os.urandom(32) + bytes((3, 0, 0, 0, 1)) + os.urandom(64)


if __name__ == "__main__":
    for figure in measure():
        print(figure)

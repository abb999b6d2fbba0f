"""
A successor's books, made from a board of 1,000,000 entries as `mixmint bank recover` makes them.

The log is made here: half of its entries certify coins, the other half spend them; every signature is true,
and the recovery checks each. Measured are the whole of it, and how much memory the recovering process takes,
beside what it takes for a tenth of the board: what it keeps of the log is on disk.
"""

import asyncio
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import VerifierKey
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tiles import Edge
from bank.board.reading.client import BoardReader
from bank.board.rounds import leaves_of
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, KeyChangeEntry, SpentEntry, make_key_entry
from bank.formats.fields import Reader
from bank.formats.order import SPEND_LABEL
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.recovery.balances import Balances
from bank.recovery.rebuild import Rebuild
from bank.recovery.run import PAGE_ROUNDS
from bank.stores.sqlite import SqliteCommandStore, open_books
from benchmarks.figure import Figure
from mix.directory import Authorities
from mixmint.keys import SigningKey

ENTRIES = 1_000_000
ROUND_ENTRIES = 1000
ORIGIN = "board.example.org"
BEGIN_S = 1_800_000_000
MIB = 1 << 20
BOARD, OLD, NEW, AUTHORITY = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3, 4))
BANK = bank_id(OLD.public)
WHO = Authorities((AUTHORITY.public,), 1)


def measure(entries: int = ENTRIES) -> list[Figure]:
    """[recovery_s, recovery_memory_mib, recovery_memory_ratio]."""
    whole_s, memory = _measured(entries)
    _, memory_tenth = _measured(entries // 10)
    method = f"{entries:,} entries in a folder, every signature checked, books in SQLite"
    return [
        Figure("recovery_s", whole_s, "s", f"{method}; one process"),
        Figure("recovery_memory_mib", memory / MIB, "MiB", f"{method}; the process at its largest"),
        Figure(
            "recovery_memory_ratio",
            memory / memory_tenth,
            "",
            "to that with a tenth of the board, whose books don't fill the store's cache of 32 MiB",
            1.4,
            "lower",
        ),
    ]


def _measured(entries: int) -> tuple[float, int]:
    """How long it took (seconds), and the process's largest size (bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        change = write_log(Path(folder) / "log", entries)
        # A process of its own, so that nothing else counts as its memory.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(recover, Path(folder), change, entries).result()


def recover(folder: Path, change: bytes, entries: int) -> tuple[float, int]:
    """One recovery, checked; ``change``: of the bank's key."""
    keys = BankKeys(OLD.public).after(KeyChange.read(Reader(change)))
    started_s = time.perf_counter()
    made = asyncio.run(_recover(folder, keys))
    took_s = time.perf_counter() - started_s
    assert made == entries // 2
    return took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _recover(folder: Path, keys: BankKeys) -> int:
    reader = BoardReader(LogReader(FolderSource(folder / "log"), VerifierKey(ORIGIN, BOARD.public)))
    rebuild = Rebuild(keys, WHO, Balances({}))
    store = SqliteCommandStore(open_books(folder / "bank.db", BANK))
    while rounds := await reader.rounds(rebuild.cursor, PAGE_ROUNDS):
        rebuild.accept(store.run(partial(rebuild.take, rounds=rounds)))
    rebuild.check()
    made = store.run(lambda book: rebuild.finish(book, NEW))
    store.close()
    return made.coins


def write_log(path: Path, entries: int) -> bytes:
    """A bank's and a board's work; the change of the bank's key that ends it."""
    folder, edge, number = TileFolder(path), Edge(), 1
    edge = _close(folder, edge, number, [make_key_entry(OLD, BANK).encode()])
    waiting: list[bytes] = []
    for first in range(0, entries, ROUND_ENTRIES):
        number += 1
        fresh, spent = _coins(min(ROUND_ENTRIES, entries - first) // 2)
        edge = _close(folder, edge, number, [*fresh, *waiting])
        waiting = spent
    edge = _close(folder, edge, number + 1, waiting)
    change = KeyChange(BANK, 1, OLD.public, NEW.public, Cut(edge.size, edge.root()), 1000).signed_by(
        AUTHORITY
    )
    edge = _close(folder, edge, number + 2, [KeyChangeEntry(change).encode()])
    folder.publish(sign_checkpoint(BOARD, Checkpoint(ORIGIN, edge.size, edge.root())))
    return change.encode()


def _close(folder: TileFolder, edge: Edge, number: int, entries: list[bytes]) -> Edge:
    edge, files = edge.grow(leaves_of(number, BEGIN_S, edge.size, entries))
    folder.write(files)
    return edge


def _coins(count: int) -> tuple[list[bytes], list[bytes]]:
    """Entries that certify so many coins, and those that spend them."""
    certified, spent = [], []
    for _ in range(count):
        key, seal = SigningKey(os.urandom(32)), os.urandom(32)
        coin = coin_id(key.public)
        certified.append(CertifiedEntry(coin, 3, 1, sign_certificate(OLD, BANK, 3, 1, coin)).encode())
        spent.append(SpentEntry(key.public, seal, key.sign(SPEND_LABEL, seal)).encode())
    return certified, spent


if __name__ == "__main__":
    for figure in measure():
        print(figure)

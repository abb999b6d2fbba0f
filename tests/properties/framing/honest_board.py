"""
The real board on its real files.

Its bank is against it: it feeds what it likes under any number, and in the end makes of the board's words
whatever the formats allow.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path

import hypothesis.strategies as st

from bank.board.accusation.evidence import SignedLog
from bank.board.accusation.file import Evidence
from bank.board.accusation.log import BoardEquivocation, LogInvalid
from bank.board.accusation.receipts import FeedReceiptBroken, ReceiptBroken, Stretch, Waited
from bank.board.board import Board
from bank.board.feed import Batch, FeedReceipt, batch_digest, sign_feed
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.receipts import EntryReceipt
from bank.board.rounds import is_mark
from bank.board.writing.publisher import Publisher
from bank.board.writing.store import BoardStore
from bank.formats.entry import AccountEntry
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BOARD, Shown

ENTRIES = [AccountEntry(bytes([number]) * 32).encode() for number in range(6)]
FEEDER = SigningKey(b"f" * 32)
steps = st.one_of(
    st.tuples(
        st.just("feed"),
        st.integers(-2, 1),
        st.lists(st.lists(st.sampled_from(ENTRIES), max_size=2), max_size=3),
    ),
    st.tuples(
        st.just("again"), st.lists(st.lists(st.sampled_from(ENTRIES), max_size=2), min_size=1, max_size=2)
    ),
    st.tuples(st.just("submit"), st.sampled_from(ENTRIES)),
    st.tuples(st.just("close")),
    st.tuples(st.just("restart")),
)
"""What a hostile bank does."""


class Collected:
    """Everything that an honest board ever signed, and its log."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.fed: list[tuple[bytes, FeedReceipt, bool]] = []
        """Batch, receipt, and whether it was taken."""
        self.receipts: list[EntryReceipt] = []


async def collect(folder: Path, script: Sequence[tuple[object, ...]]) -> Collected:
    """Run a real board through a script of a hostile bank's."""
    found = Collected()

    async def start() -> Board:
        files = TileFolder(folder / "log")
        store = BoardStore(folder / "board.db", files, 4)
        board = Board(store, Publisher(store, files, BOARD, "board.test"), BOARD, FEEDER.public, round_s=3600)
        await board.start()
        return board

    board = await start()
    waits_for = 1
    for step, *what in script:
        if step in {"feed", "again"}:
            groups = what[-1]
            assert isinstance(groups, list)
            # "again": other groups under the numbers of the newest ones.
            offset = what[0] if step == "feed" else -len(groups)
            assert isinstance(offset, int)
            batch = Batch(max(1, waits_for + offset), groups).encode()
            taken, receipt = await board.feed(sign_feed(FEEDER, BOARD.public, batch))
            waits_for = receipt.next_group
            found.fed.append((batch, receipt, taken))
        elif step == "submit":
            (entry,) = what
            assert isinstance(entry, bytes)
            found.receipts += await board.submit([entry])
        elif step == "restart":
            await board.store.close()
            board = await start()
        else:
            await board.publish_round(100)
            note = (folder / "log" / "checkpoint").read_bytes()
            found.notes.append(Note.decode(note))
    for _ in range(3):
        await board.publish_round(100)
        found.notes.append(Note.decode((folder / "log" / "checkpoint").read_bytes()))
    await board.store.close()
    return found


def against_the_board(folder: Path, found: Collected) -> Iterator[Evidence]:
    log = Shown(folder / "log")
    log.origin = "board.test"
    log.edge = log.folder.edge(SignedLog.of(found.notes[-1], log.verifier).size)
    log.leaves = [leaf for _, part in log.folder.entries(0, log.edge.size, log.edge.size) for leaf in part]
    signed = [SignedLog.of(note, log.verifier) for note in found.notes]
    newest = signed[-1]
    for one, other in product(signed, repeat=2):
        if 0 < one.size <= other.size == newest.size:
            yield BoardEquivocation(one, other, log.difference(one.size))
    for index in range(len(log.leaves)):
        yield LogInvalid(newest, log.proof(index))
    for index, following in pairwise(range(len(log.leaves))):
        yield LogInvalid(newest, log.proof(index, following))
    marks = [index for index, leaf in enumerate(log.leaves) if is_mark(leaf)]
    for mark, later in combinations(marks, 2):
        yield LogInvalid(newest, log.proof(mark, later))
    stretches = [log.stretch(first + 1, last) for first, last in combinations([-1, *marks], 2)]
    for receipt, stretch in product(found.receipts, stretches):
        yield ReceiptBroken(newest, receipt, stretch)
    yield from by_feeds(newest, found, stretches)


def by_feeds(newest: SignedLog, found: Collected, stretches: Sequence[Stretch]) -> Iterator[Evidence]:
    earlier = [None, *(Waited(taken, batch_digest(batch), receipt) for batch, receipt, taken in found.fed)]
    for batch, receipt, _ in found.fed:
        groups = Batch.decode(batch).groups
        for group, entries in enumerate(groups):
            for place, stretch, waited in product(range(len(entries)), stretches, earlier):
                yield FeedReceiptBroken(newest, receipt, batch, group, place, waited, stretch)

"""A board on paper for the bank's side, and that side: feeds as the real one takes them, rounds by hand."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from bank.board.feed import UNKNOWN, Batch, FeedReceipt, sign_receipt
from bank.board.log.checkpoint import Checkpoint
from bank.board.log.note import Note, sign_text
from bank.board.reading.client import Cursor, VerifiedRound
from bank.board.reading.cursor import Cutter
from bank.confirmer import Confirmer
from bank.feeder import Feeder
from bank.formats.coin import bank_id
from bank.formats.entry import CertifiedEntry, Entry, RoundEntry, decode_entry, make_key_entry
from bank.ledger import Signer, Terms
from bank.outbox import BoardClock
from bank.statements import Statements
from bank.stores.interface import Books
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey
from tests.unit.bank.engines import Engine, Sqlite


class PaperBoard:
    """``bends`` changes what a round shows; the board signs for what it was given all the same."""

    def __init__(self) -> None:
        self.key = SigningKey(b"p" * 32)
        self.groups: list[list[bytes]] = []
        """All that were taken, in order: number 1 first."""
        self.waiting: list[bytes] = []
        self.shown: list[VerifiedRound] = []
        self.bends: Callable[[list[bytes]], list[bytes]] = lambda entries: entries
        self.is_down = False
        self.loses_answer = False
        self.pages: list[int] = []
        self.asked = 0
        self._fed = asyncio.Event()
        self._is_unknown = False
        self._asked_first: int | None = None

    @property
    def closed(self) -> int:
        return len(self.shown)

    @property
    def cursor(self) -> Cursor:
        return self.shown[-1].after if self.shown else Cursor()

    async def feed(self, batch: Batch) -> FeedReceipt:
        await asyncio.sleep(0)
        self.asked += 1
        self._fed.set()
        if self.is_down:
            raise Unavailable("down")
        if self._is_unknown and batch.groups and batch.first == self._asked_first:
            self._is_unknown = False
            self.groups = [[]] * (batch.first - 1)
        self._asked_first = None if batch.groups else batch.first
        if batch.first == len(self.groups) + 1 and not self._is_unknown:
            self.groups += [list(group) for group in batch.groups]
            self.waiting += [entry for group in batch.groups for entry in group]
        if self.loses_answer:
            raise Unavailable("the answer was lost")
        wanted = UNKNOWN if self._is_unknown else len(self.groups) + 1
        round_ = self.closed + bool(self.waiting)
        return sign_receipt(self.key, batch.encode(), wanted, round_, self.closed, taken=wanted == batch.next)

    async def rounds(self, after: Cursor, most: int = 100) -> Sequence[VerifiedRound]:
        if self.is_down:
            raise Unavailable("down")
        page = self.shown[after.round : after.round + most]
        self.pages.append(len(page))
        return page

    def close(self, *others: bytes) -> None:
        """A round of what waits, and of what came by other ways."""
        entries = sorted([*self.bends(self.waiting), *others])
        self.waiting = []
        number, first = self.closed + 1, self.cursor.index
        text = Checkpoint("paper", first + len(entries) + 1, bytes(32)).text()
        note = Note(text, (sign_text(self.key, "paper", text),))
        cutter = Cutter(self.cursor, note, 1)
        cutter.take([*entries, RoundEntry(number, 0, first).encode()])
        self.shown += cutter.rounds

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for it, looking again after each feed."""
        async with asyncio.timeout(10):
            while not is_true():
                self._fed.clear()
                await self._fed.wait()

    def lose(self) -> None:
        """Its disk lost what it hadn't shown: the groups of the round that is open."""
        while self.waiting:
            for _ in self.groups.pop():
                self.waiting.pop()

    def recover(self, rounds: int) -> None:
        """Begin again from a copy of the log's first rounds; nothing else is left."""
        self.shown, self.groups, self.waiting, self._is_unknown = self.shown[:rounds], [], [], True
        self._asked_first = None

    def names(self) -> list[int]:
        """The certified coins that it took, in order of arrival."""
        entries = [decode_entry(entry) for group in self.groups for entry in group]
        return [int.from_bytes(entry.coin) for entry in entries if isinstance(entry, CertifiedEntry)]

    def entries(self) -> list[Entry]:
        """All that it shows."""
        return [entry for round_ in self.shown for entry in round_.entries]


KEY = SigningKey(bytes(32))
BANK = bank_id(KEY.public)


def certified(name: int) -> bytes:
    """An entry that only the bank could give."""
    return CertifiedEntry(name.to_bytes(32), 0, 0, bytes(64)).encode()


class Side:
    """The bank's side of the board, over one bank's books: one desk-keeper's hand on each task."""

    def __init__(self, books: Path | Engine, board: PaperBoard, statement_rounds: int = 10**6) -> None:
        self.engine = Sqlite(books) if isinstance(books, Path) else books
        self.store = self.engine.store(BANK)
        self.clock = BoardClock(Terms(), silence_s=60, now_s=lambda: 0.0)
        self.entry = make_key_entry(KEY, BANK).encode()
        self.board = board
        self.confirmer = Confirmer(self.store, board, self.engine.folder / "evidence", pause_s=0.001)
        self.statements = Statements(Signer(KEY, Terms()), statement_rounds)
        self.feeder = Feeder(
            self.store,
            board,
            self.entry,
            self.clock,
            pause_s=0.001,
            statements=self.statements,
            confirmer=self.confirmer,
        )

    async def publish(self, *names: int) -> None:
        """One transaction with one group for each name; 0 is an empty one."""

        def write(book: Books) -> None:
            for name in names:
                book.publish([certified(name)] if name else ())

        await self.store.run(write)

    async def steps(self, count: int) -> None:
        for _ in range(count):
            await self.feeder.step()

    async def read(self) -> None:
        """Read the board to its end."""
        async with asyncio.timeout(10):
            while await self.confirmer.step():
                pass

    async def settle(self, *names: int) -> None:
        """Publish, feed, close a round, read it."""
        await self.publish(*names)
        await self.steps(2)
        self.board.close()
        await self.read()

    async def number(self, sql: str) -> int:
        """One number from the books."""
        ((value,),) = self.engine.sql(sql)
        return int(value)

"""
A restore: reads the whole board for the coins of a seed, and writes them into a purse.

    near    the log, once, from its beginning; beside each hit, the next 4,096 counters are looked for. What
            is found is written page by page together with the place on the board, so a killed restore goes
            on where it was. At its end the wallet can be used.
    deep    every counter up to 2^20 past the last hit, of each device in use and each purpose, against the
            sieve of all coins that the board ever certified. What passes is looked for in the log once more.

Both go on at once: processes derive for the deep search while this one reads. The bank is asked nothing, and
the board is asked for all of it, so nobody learns what is looked for. Memory doesn't grow with the board.

A wallet never counts further than 2^20 past the last coin that the board showed it (``Purse.expect``), so the
deep search finds all that there is, of every device that has a coin on the board.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bank.board.reading.cursor import Cursor
from bank.formats.coin import certificate_holds
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys
from bank.formats.terms import PublishedTerms
from mixmint.errors import FatalError
from wallet.anonymity.crowd import Crowd
from wallet.answers import Bank
from wallet.derivation import MOST_DEVICE, Purpose
from wallet.purse import MOST_AHEAD, CoinState, Purse
from wallet.restoring.copies import note_copies
from wallet.restoring.deriving import COIN_PURPOSES, Run, id_of
from wallet.restoring.matching import Found, Matcher, Wanted, merged
from wallet.restoring.reading import BareReader, Page
from wallet.restoring.sieve import Sieve
from wallet.restoring.state import Restoring
from wallet.restoring.table import Place, Table
from wallet.restoring.workers import Workers
from wallet.succession import keep_changes, with_known_changes

CHUNK = 16_384
"""Counters that a process derives at a time: a quarter of a second."""
GAPS = 256
"""Of each device and purpose, so many counters below the last hit are watched on: requests paid late."""

Told = Callable[[str, int, int], None]
"""Progress: what is going on (``board``, ``deep``), how far, of how much."""


def silently(_: str, __: int, ___: int) -> None:
    """Nobody watches."""


@dataclass
class Depth:
    """How far one device and purpose are derived (``next``), and how far they must be (``stop``)."""

    next: int = 0
    stop: int = MOST_AHEAD


class Scan:
    """
    One restore into an open purse whose ``restoring`` fact says where it is; an async context manager.

    ``bank``: with its founding key, and the authorities that may change it. ``at`` is called at each named
    step; tests end the process there.
    """

    def __init__(
        self,
        purse: Purse,
        reader: BareReader,
        bank: Bank,
        workers: Workers,
        *,
        told: Told = silently,
        at: Callable[[str], None] = lambda _: None,
        most_ahead: int = MOST_AHEAD,
    ) -> None:
        state = Restoring.of(purse)
        if state is None:
            raise FatalError("this purse isn't being restored")
        self._state = state
        self._purse = purse
        self._reader = reader
        self._bank = bank
        terms, crowd = purse.fact("terms"), purse.fact("crowd")
        self._matcher = Matcher(
            with_known_changes(purse, bank),
            PublishedTerms.read(Reader(terms)) if terms else None,
            Crowd.decode(crowd) if crowd else Crowd(),
        )
        self._workers = workers
        self._told = told
        self._at = at
        self._most_ahead = most_ahead
        self._sieve = Sieve()
        self._unsieved: int | None = None
        """So many leaves at the log's beginning aren't in the sieve; None: all of them."""
        self._found: set[Place] = set()
        self._depths: dict[tuple[int, Purpose], Depth] = {}
        self._ready: list[tuple[Run, bytes]] = []
        self._deriving: list[asyncio.Task[None]] = []
        self._table = Table(purse.reveal_seed(), purse.bank, state.device + 1)
        for record in purse.coins().values():
            if record.elsewhere and record.state is not CoinState.VOID:
                self._note(Place(record.device, Purpose(record.purpose), record.counter))
        self._aim(0)

    async def __aenter__(self) -> "Scan":
        self._derive_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._deriving:
            task.cancel()
        await asyncio.gather(*self._deriving, return_exceptions=True)

    def _note(self, place: Place) -> None:
        if place not in self._found:
            self._found.add(place)
            self._table.note(place)
            self._aim(place.device)

    # Near

    async def near(self) -> None:
        """Read the board to its newest round; nothing, when that is done. Raises as ``BareReader``."""
        if not self._state.is_near:
            return
        stored = self._purse.fact("cursor")
        cursor = Cursor.decode(stored) if stored else Cursor()
        self._unsieved = cursor.index
        async for page in self._reader.pages(cursor):
            self._book(page)
            self._told("board", page.after.index, page.size)
            self._at("page-written")
            # So that the processes get their next work.
            await asyncio.sleep(0)
        self._finish_near()
        self._at("near-over")

    def _book(self, page: Page) -> None:
        keys, terms = self._matcher.keys, self._matcher.terms
        places = self._table.places
        wanted = Wanted(places, lambda coin: self._note(Place.unpack(places[coin])))
        found, coins = self._matcher.match(page.rounds, wanted)
        self._sieve.add(coins)
        # The finds and the place behind them, or neither: a killed restore misses nothing.
        with self._purse.transaction():
            self._write(found, places)
            if self._matcher.keys != keys:
                keep_changes(self._purse, self._matcher.keys)
                self._judge(self._matcher.keys)
            if self._matcher.terms and self._matcher.terms != terms:
                self._purse.set_fact("terms", self._matcher.terms.encode())
            if self._matcher.crowd:
                self._purse.set_fact("crowd", self._matcher.crowd.encode())
            self._purse.set_fact("cursor", page.after.encode())

    def _write(self, found: Found, places: Mapping[bytes, int]) -> None:
        for coin, known in found.items():
            place = Place.unpack(places[coin])
            self._purse.adopt(place.device, place.purpose, place.counter, coin, **known)
            self._note(place)

    def _judge(self, keys: BankKeys) -> None:
        """A key was replaced: what the old one certified behind the cut never counted."""
        for row, coin in self._purse.coins(CoinState.FREE).items():
            if not coin.leaf:
                # Not found here, but judged when it came.
                continue
            key = keys.key_at(coin.leaf)
            if not certificate_holds(key, coin.certificate, keys.id, coin.exponent, coin.epoch, coin.id()):
                self._purse.change_coin(row, coin, state=CoinState.VOID, certificate=b"")

    def _finish_near(self) -> None:
        with self._purse.transaction():
            for (device, purpose), counter in self._table.last.items():
                for below in range(max(0, counter - GAPS), counter):
                    self._purse.adopt(device, purpose, below)
            self._leave()
            # The old copy may be at work still, so this one never makes the same ids.
            highest = max(self._table.devices, default=0)
            self._purse.set_device(min(max(self._state.device, highest + 1), MOST_DEVICE))
            note_copies(self._purse)
            self._state = self._state.over()
            self._state.write(self._purse)

    def _leave(self) -> None:
        for (device, purpose), counter in self._table.last.items():
            self._purse.leave(device, purpose, counter + 1)

    # Deep

    async def deep(self) -> None:
        """
        Look for every counter up to 2^20 past the last hit; ``near`` comes before.

        Raises as ``BareReader``; FatalError when a deriving process ends.
        """
        await self._fill_sieve()
        candidates: list[Place] = []
        while True:
            while self._ready:
                candidates += self._candidates(*self._ready.pop())
            self._told("deep", *self._progress())
            working = [task for task in self._deriving if not task.done()]
            if working:
                await asyncio.wait(working, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            elif self._ready:
                continue
            elif await self._look_again(candidates) or self._next_run(peek=True):
                candidates = []
                self._derive_on()
            else:
                break
        with self._purse.transaction():
            self._leave()
            Restoring.clear(self._purse)
        self._at("deep-over")

    def _aim(self, device: int) -> None:
        """Derive this device so far past its last hits."""
        for purpose in COIN_PURPOSES:
            depth = self._depths.setdefault((device, purpose), Depth(stop=0))
            depth.stop = max(depth.stop, self._table.last.get((device, purpose), -1) + 1 + self._most_ahead)

    def _next_run(self, *, peek: bool = False) -> Run | None:
        for (device, purpose), depth in self._depths.items():
            if depth.next < depth.stop:
                run = Run(device, purpose, depth.next, min(depth.stop, depth.next + CHUNK))
                if not peek:
                    depth.next = run.stop
                return run
        return None

    def _derive_on(self) -> None:
        for task in self._deriving:
            if task.done():
                # What ended a process is said, not forgotten.
                task.result()
        self._deriving = [asyncio.create_task(self._derive()) for _ in range(max(1, self._workers.count))]

    async def _derive(self) -> None:
        while (run := self._next_run()) is not None:
            self._ready.append((run, await self._workers.prefixes(run)))

    def _progress(self) -> tuple[int, int]:
        waiting = sum(len(run) for run, _ in self._ready)
        depths = self._depths.values()
        return sum(depth.next for depth in depths) - waiting, sum(depth.stop for depth in depths)

    async def _fill_sieve(self) -> None:
        """With the part of the log that an earlier process read."""
        if self._unsieved == 0:
            return
        nothing = Wanted(())
        matcher = Matcher(self._bank)
        async for page in self._reader.pages(Cursor(), self._unsieved):
            self._sieve.add(matcher.match(page.rounds, nothing)[1])
            self._told("board", page.after.index, page.size)
            await asyncio.sleep(0)
        self._unsieved = 0

    def _candidates(self, run: Run, found: bytes) -> list[Place]:
        places = [Place(run.device, run.purpose, run.first + number) for number in self._sieve.hits(found)]
        return [place for place in places if place not in self._found]

    def _id_of(self, place: Place) -> bytes:
        seed, bank = self._purse.reveal_seed(), self._purse.bank
        return id_of(seed, bank, place.device, place.purpose, place.counter)

    async def _look_again(self, candidates: Sequence[Place]) -> bool:
        """Read the log for these alone; whether one of them is there. All are written at once."""
        if not candidates:
            return False
        places = {self._id_of(place): place.pack() for place in candidates}
        matcher = Matcher(self._bank)
        found: Found = {}
        async for page in self._reader.pages(Cursor()):
            for coin, known in matcher.match(page.rounds, Wanted(places))[0].items():
                found[coin] = merged(found.get(coin, {}), known)
            self._told("board", page.after.index, page.size)
            await asyncio.sleep(0)
        with self._purse.transaction():
            self._write(found, places)
            if found:
                self._judge(matcher.keys)
        return bool(found)

"""
Reading back: one task that follows the board's log and confirms what it shows of the bank's.

What is confirmed leaves the outbox, and with it what ties inputs to outputs. How far it got is written in the
same transaction; so after a crash the same rounds are read again, with the same result.

What differs is the board's signed word against the bank's. The bank confirms nothing from there on, so its
statements endorse nothing of it; it says so loudly, and keeps groups and receipts. It goes on serving: its
customers' orders are as good as before, and a board that lies mustn't be able to stop the money.

Source: docs/spec/statement.md, section 2; docs/adr/0015.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from bank.board.log.checkpoint import Checkpoint
from bank.board.reading.client import Cursor, VerifiedRound
from bank.board.reading.conviction import accusation_of
from bank.board.reading.fork import ForkedLog
from bank.claims.reading import NOTHING_NOTICED, Look, Noticed, note
from bank.comparison import Compared, Position, compare
from bank.outbox import cursor_of, groups_from
from bank.stores.interface import Books, Store, View
from mixmint.errors import PeerError, UserError

PAGE_ROUNDS = 100
"""Rounds read and compared at a time; a page of large ones is cut shorter by the reader."""

_log = logging.getLogger("bank.confirmer")


class Log(Protocol):
    """The board's log, as the confirmer sees it; in production ``bank.board.reading.client.BoardReader``."""

    async def rounds(self, after: Cursor, most: int) -> Sequence[VerifiedRound]:
        """Raises Unavailable, PeerError."""


def read_position(view: View) -> Position:
    """Where the reading goes on."""
    state = view.state()
    return Position(cursor_of(state), state.confirmed, view.signed_for())


def compare_page(view: View, position: Position, rounds: Sequence[VerifiedRound]) -> Compared:
    """
    Compare what was read with the outbox.

    Only receipts from before the reading count: a later one may be for a group that shows nothing. And only
    once the board was heard after the round that they name: if it lost its newest state it will have said so,
    and that it closed the round without the group is no wonder.
    """
    owed = view.owed(position.fed, rounds[-1].number)
    with closing(groups_from(view, position.group)) as groups:
        return compare(position, rounds, groups, owed)


def confirm(book: Books, compared: Compared, claims: Noticed = NOTHING_NOTICED) -> None:
    """
    The board shows the groups up to here: forget them, and erase what ties inputs to outputs. The claims that
    stand there are on the books by the same transaction, so a crash forgets none.
    """
    book.confirm(compared.group, compared.cursor.encode(), news=compared.news)
    note(book, claims)


class Confirmer:
    """
    ``complaint``: what the board shows that contradicts the bank, in one line; None while all is well.
    ``evidence``: the folder for accusation files, made when there is one.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        evidence: Path,
        *,
        pause_s: float,
        look: Look | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """``look``: finds the claims that the bank must answer; without it none are looked for."""
        self._store = store
        self._look = look
        self._evidence = evidence
        self._board = log
        self._pause_s = pause_s
        self.complaint: str | None = None
        registry = registry or CollectorRegistry()
        self.confirmed = Gauge(
            "mixmint_bank_confirmed_leaves",
            "Leaves of the board's log that the bank has read and found right.",
            registry=registry,
        )
        self.shown = Gauge(
            "mixmint_bank_board_leaves", "Leaves of the board's log at the last reading.", registry=registry
        )
        self.differs = Gauge(
            "mixmint_bank_board_differs", "1: the board doesn't show what the bank gave.", registry=registry
        )
        self.failures = Counter(
            "mixmint_bank_reading_failures",
            "Readings of the board's log that failed, by reason.",
            ["reason"],
            registry=registry,
        )

    async def run(self) -> None:
        """Follow the board until cancelled."""
        silent = False
        while self.complaint is None:
            more = False
            try:
                more = await self.step()
                silent = False
            except (PeerError, UserError) as error:
                self.failures.labels(error.reason if isinstance(error, PeerError) else "unavailable").inc()
                if not silent:
                    _log.warning("can't confirm what the board shows: %s", error)
                silent = True
            if not more:
                await asyncio.sleep(self._pause_s)
        # A task that ends would end the bank, which must go on serving.
        await asyncio.get_running_loop().create_future()

    async def step(self) -> bool:
        """
        Read and compare one page; whether there was any, and all is well with it.

        Raises Unavailable, PeerError (the board's log can't be read), UserError (our disk is full).
        """
        position = await self._store.read(read_position)
        try:
            rounds = await self._board.rounds(position.cursor, PAGE_ROUNDS)
        except ForkedLog as error:
            path = await asyncio.to_thread(self._keep, accusation_of(error))
            self._complain(
                f"the board contradicts itself: {error.detail}. {path} proves it to anyone: mixmint board "
                "check-accusation FILE"
            )
            return False
        if not rounds:
            return False
        compared = await self._store.read(lambda view: compare_page(view, position, rounds))
        if compared.cursor != position.cursor:
            read = [each for each in rounds if each.number <= compared.cursor.round]
            look = self._look
            claims = NOTHING_NOTICED if look is None else await asyncio.to_thread(look, read)
            await self._store.run(lambda book: confirm(book, compared, claims))
        self.confirmed.set(compared.cursor.index)
        note = rounds[-1].after.note
        self.shown.set(Checkpoint.parse(note.text).size if note else rounds[-1].after.index)
        if compared.difference is not None:
            self._complain(str(compared.difference))
        return compared.difference is None

    def _keep(self, accusation: bytes) -> Path:
        self._evidence.mkdir(mode=0o700, exist_ok=True)
        path = self._evidence / f"board-equivocation-{sha256(accusation).hexdigest()[:16]}"
        # Written whole or not at all; written again, it is the same.
        fresh = path.with_suffix(".new")
        fresh.write_bytes(accusation)
        fresh.replace(path)
        return path

    def _complain(self, what: str) -> None:
        self.complaint = what
        self.differs.set(1)
        _log.error(
            "%s; nothing is confirmed from there on. The books keep the groups, and the board's receipts for "
            "them, as evidence: back them up, and ask the board's operator",
            what,
        )

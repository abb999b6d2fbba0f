"""
Reading the board as somebody who doesn't trust it: whole rounds from a cursor, each one checked.

A wallet reads everything from its cursor on and asks about no single coin, so the board learns nothing about
what it looks for. A round is handed on only when the board's signature, the digest, the order of entries and
the place after the round before all hold; a board that rewrites its past is refused there.

Source: docs/spec/board.md, section 4.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import msgspec

from bank.board.rounds import MOST_ROUND_ENTRIES, NO_DIGEST, Round, check_round
from bank.board.views import EntryBytes, Index, InRound, RoundsPage, TotalsPage
from bank.formats.entry import Entry, decode_entry
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, PeerError, Unavailable

MOST_PAGE_BYTES = 4 << 20
"""A page of 500 entries is about 300 KB; nothing longer than this is ever held."""
_ENTRIES_A_PAGE = 500
_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    How far a reader has come: the last round he checked, its digest, and the index of the entry after it.

    ``Cursor()`` stands before the first round. Persist it with whatever was learnt from the rounds.
    """

    round: int = 0
    digest: bytes = NO_DIGEST
    index: int = 0

    def follows(self, round_: Round) -> bool:
        """Whether ``round_`` is the very next one."""
        return (
            round_.number == self.round + 1 and round_.first == self.index and round_.previous == self.digest
        )

    def encode(self) -> bytes:
        """Round 4, index 8, digest 32: 44 bytes."""
        return self.round.to_bytes(4) + self.index.to_bytes(8) + self.digest

    @classmethod
    def decode(cls, data: bytes) -> "Cursor":
        """Raises MalformedMessage."""
        reader = Reader(data)
        round_, index, digest = reader.number(4), reader.number(8), reader.take(32)
        reader.end()
        return cls(round_, digest, index)


@dataclass(frozen=True, slots=True)
class VerifiedRound:
    """A round that passed every check. Each entry's own signature is still the reader's to check."""

    number: int
    closed_at_s: int
    entries: tuple[Entry, ...]
    after: Cursor


class _EntryIn(msgspec.Struct, frozen=True):
    """Of an entry's JSON only this is read: the other fields say the same again, for people."""

    index: Index
    round: InRound
    bytes: EntryBytes


class _EntriesIn(msgspec.Struct, frozen=True):
    entries: list[_EntryIn]


class BoardReader:
    """Reads one board. ``board_key``: its public key (32 bytes) from the directory."""

    def __init__(
        self, url: str, board_key: bytes, session: aiohttp.ClientSession, *, timeout_s: float = 10.0
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/"
        self._key = board_key
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def head(self) -> Cursor:
        """
        A cursor after the newest closed round, for a reader who needs nothing of the past.

        Its digest is believed, by signature, not recomputed: everything before it stays unchecked.

        Raises Unavailable, PeerError, MalformedMessage.
        """
        newest = (await self._get("totals", {}, TotalsPage)).round
        if newest == 0:
            return Cursor()
        page = await self._get("rounds", {"after": newest - 1, "limit": 1}, RoundsPage)
        if not page.rounds:
            raise MalformedMessage("rounds", "the newest round isn't served")
        round_ = page.rounds[0].signed()
        if round_.number != newest or not round_.holds(self._key):
            raise MalformedMessage("signature")
        return Cursor(round_.number, round_.digest, round_.next)

    async def rounds(self, after: Cursor, most: int = 100) -> list[VerifiedRound]:
        """
        The rounds after the cursor, at most ``most``, fewer when they are large; none when there is no newer.

        Raises Unavailable (after a few attempts), PeerError or MalformedMessage (the board broke the rules;
        none of what it answered is returned).
        """
        page = await self._get("rounds", {"after": after.round, "limit": most}, RoundsPage)
        if len(page.rounds) > most:
            raise MalformedMessage("rounds", "more than asked for")
        verified: list[VerifiedRound] = []
        pages = _Entries(self, after.index)
        held = 0
        for view in page.rounds:
            round_ = view.signed()
            # Before the entries are fetched: a round out of place or not signed costs the reader nothing.
            if not after.follows(round_):
                raise MalformedMessage("chain", f"round {round_.number} doesn't follow {after.round}")
            if not round_.holds(self._key):
                raise MalformedMessage("signature")
            if verified and held + round_.count > MOST_ROUND_ENTRIES:
                break
            entries = await pages.take(round_)
            check_round(round_, entries, self._key)
            held += round_.count
            after = Cursor(round_.number, round_.digest, round_.next)
            decoded = tuple(decode_entry(entry) for entry in entries)
            verified.append(VerifiedRound(round_.number, view.closed_at, decoded, after))
        return verified

    async def follow(
        self, cursor: Cursor, *, poll_s: float = 1.0, patience_s: float = 60.0
    ) -> AsyncIterator[VerifiedRound]:
        """
        Every round after the cursor, and new ones as they close, for ever. Persist ``round.after`` to resume.

        A board that can't be reached is tried again, less and less often; Unavailable is raised once nothing
        was heard for ``patience_s``. Raises PeerError and MalformedMessage at once.
        """
        heard_s = time.monotonic()
        pause_s = poll_s
        while True:
            try:
                rounds = await self.rounds(cursor)
            except Unavailable:
                if time.monotonic() - heard_s > patience_s:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            heard_s, pause_s = time.monotonic(), poll_s
            for round_ in rounds:
                yield round_
                cursor = round_.after
            if not rounds:
                await asyncio.sleep(poll_s)

    async def entries(self, index: int, limit: int) -> list[_EntryIn]:
        """One page of entries as the board tells them; unchecked but for their indexes."""
        page = await self._get("entries", {"cursor": index, "limit": limit}, _EntriesIn)
        if len(page.entries) > limit:
            raise MalformedMessage("entries", "more than asked for")
        if any(entry.index != index + place for place, entry in enumerate(page.entries)):
            raise MalformedMessage("entries", "indexes with gaps")
        return page.entries

    async def _get(self, path: str, query: dict[str, int], kind: type[T]) -> T:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(_ATTEMPTS):
            try:
                body = await self._get_once(path, query)
                break
            except Unavailable:
                if attempt == _ATTEMPTS - 1:
                    raise
            await asyncio.sleep(pause_s)
            pause_s *= 2
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise MalformedMessage("encoding") from None

    async def _get_once(self, path: str, query: dict[str, int]) -> bytes:
        try:
            async with self._session.get(
                self._url + path, params=query, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status >= 500 or response.status == 429:
                    raise Unavailable(f"the board at {self._url} answers {response.status}; try again later")
                if response.status != 200:
                    raise PeerError("status", f"{response.status} for {path}")
                return await _read_bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the board at {self._url} can't be reached ({type(error).__name__}); is it running?"
            ) from None


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MOST_PAGE_BYTES:
            raise MalformedMessage("size")
    return b"".join(parts)


class _Entries:
    """Pages of entries cut into rounds: one request may serve many small rounds."""

    def __init__(self, reader: BoardReader, index: int) -> None:
        self._reader = reader
        self._next = index
        self._waiting: list[_EntryIn] = []

    async def take(self, round_: Round) -> list[bytes]:
        """The round's entries, as many as it says. Raises MalformedMessage when the board has fewer."""
        while len(self._waiting) < round_.count:
            page = await self._reader.entries(self._next, _ENTRIES_A_PAGE)
            if not page:
                raise MalformedMessage("entries", f"round {round_.number} is cut short")
            self._waiting += page
            self._next += len(page)
        taken, self._waiting = self._waiting[: round_.count], self._waiting[round_.count :]
        if any(entry.round != round_.number for entry in taken):
            raise MalformedMessage("entries", "an entry of another round")
        return [entry.bytes for entry in taken]

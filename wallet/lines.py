"""
Whom the wallet talks to: the bank over the mixes, and the board. Tests put others in their place.

Withdrawals, deposits and statements go over the mixes too, although they name the account: so the bank never
learns from which network address a member comes, and a gateway can't tell which request is of which kind.
"""

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from bank.board.reading.client import Cursor, VerifiedRound
from bank.formats.entry import Entry
from bank.formats.succession import Cut
from replyblocks.post import Post


class BankLine(Protocol):
    """Asks the bank. Nothing is lost between two processes: the same conversation goes on."""

    @property
    def lifetime_s(self) -> float:
        """How long a question should live, in seconds."""

    async def reach(self) -> None:
        """Raises Unavailable when the network can't be reached; nothing has happened then."""

    async def ask(self, conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        """
        The bank's answer. ``conversation``: 16 bytes, the same for the same body.

        Raises PendingError or Unavailable: the outcome isn't known. PeerError: the bank refuses this
        conversation's id.
        """

    def forget(self, conversation: bytes) -> None:
        """The answer was stored; delete the conversation. Idempotent."""


class Board(Protocol):
    """Reads whole rounds, verified. `bank.board.reading.client.BoardReader` is the real one."""

    async def head(self) -> Cursor: ...

    async def rounds(self, after: Cursor, most: int = 100) -> Sequence[VerifiedRound]: ...

    async def bank_entries(self) -> Sequence[Entry]: ...

    async def round_ending(self, cut: Cut) -> int: ...


class Claims(Protocol):
    """Puts entries on the board that the bank hasn't."""

    async def post(self, entry: bytes) -> None:
        """
        Doing it again is harmless. Raises PendingError or Unavailable (try again later), PeerError (the board
        refuses it).
        """


class ClaimsOverTheMixes:
    """
    The board through a member's post: a certificate that came from a network address would tell whose coin it
    is. ``board_key``: the board's public key (32 bytes).
    """

    def __init__(
        self, post: Post, service: str, board_key: bytes, now_s: Callable[[], float], timeout_s: float
    ) -> None:
        self._post = post
        self._service = service
        self._board_key = board_key
        self._now_s = now_s
        self._timeout_s = timeout_s

    async def post(self, entry: bytes) -> None:
        # Imported here: a wallet that has nothing to claim doesn't load the board's daemon.
        from bank.board.claims.client import submit_over_mixes

        await submit_over_mixes(self._ask, self._board_key, entry)

    async def _ask(self, body: bytes) -> bytes:
        conversation = os.urandom(16)
        expires_s = int(self._now_s() + self._post.lifetime_s)
        try:
            return await self._post.ask(self._service, conversation, body, expires_s, self._timeout_s)
        finally:
            # Whatever became of it: the same entry is posted anew, as another conversation.
            self._post.forget(conversation)


class OverTheMixes:
    """The bank through a member's post."""

    def __init__(self, post: Post, service: str) -> None:
        self._post = post
        self._service = service

    @property
    def lifetime_s(self) -> float:
        return self._post.lifetime_s

    async def reach(self) -> None:
        await self._post.reach()

    async def ask(self, conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        return await self._post.ask(self._service, conversation, body, expires_s, timeout_s)

    def forget(self, conversation: bytes) -> None:
        self._post.forget(conversation)

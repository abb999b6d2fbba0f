"""
Frames out. At each tick every link carries exactly one frame: one that was not acknowledged yet, a new one,
or an empty one.

What is sent comes from an `Outbox`, which keeps every frame with packets in it until the peer has
acknowledged it. A link has one frame on its way at a time; one that takes longer than a tick skips the ticks
in between.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from mix.directory import Node
from mix.frame import FRAME_ID_BYTES, Frame, FrameId, encode_frame
from mix.links.server import FRAME_PATH
from mix.links.tls import link_client_context
from mixmint.errors import UserError

MOST_SKIPPED = 16
"""A peer that can't take more is left alone for 1, 3, 7 and then 15 ticks."""
LEAST_TIMEOUT_S = 5.0
AT_ONCE_PAUSE_S = 0.05
"""Without ticks, how long a link waits before it tries a peer again."""

_log = logging.getLogger("mix.links")


class Outbox(Protocol):
    """A daemon's outgoing side."""

    async def next_frame(self, peer: str) -> Frame | None:
        """
        The frame to send now: the one not acknowledged yet, else a new one of at most 256 waiting packets.

        A new frame is recorded under its id before it is returned, so that after a crash the same packets go
        out under the same id and the peer can tell. None when nothing waits.
        """

    async def acknowledged(self, peer: str, frame: Frame) -> None:
        """The peer has the frame; forget it. Both may raise UserError (no disk): the link tries again."""


class LinkSender:
    """The sending side of one link; one kept connection."""

    def __init__(self, peer: Node, certificate: Path, key: Path, tick_s: float) -> None:
        self.peer = peer.name
        self._url = f"https://{_bracketed(peer.host)}:{peer.link_port}{FRAME_PATH}"
        self._tls = link_client_context(certificate, key, peer)
        self._timeout = aiohttp.ClientTimeout(total=max(LEAST_TIMEOUT_S, 2 * tick_s))
        self._keep_s = max(60.0, 4 * tick_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, frame: Frame) -> str:
        """``acknowledged``, ``busy`` (503), ``refused`` (any other status) or ``unreachable``."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=1, keepalive_timeout=self._keep_s),
                timeout=self._timeout,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        data = encode_frame(frame, os.urandom)
        try:
            # Redirected, the frame would go wherever the peer says, in the clear if it says so.
            async with self._session.post(self._url, data=data, allow_redirects=False) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return "unreachable"
        return {200: "acknowledged", 503: "busy"}.get(status, "refused")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Links:
    """
    All of a node's outgoing links; an async context manager.

    `loops` are for the daemon to run. ``count(peer, outcome)`` counts sendings.
    """

    def __init__(
        self, senders: Sequence[LinkSender], outbox: Outbox, tick_s: float, count: Callable[[str, str], None]
    ) -> None:
        self._outbox = outbox
        self._at_once = tick_s == 0
        self._count = count
        self._due: Mapping[str, asyncio.Event] = {sender.peer: asyncio.Event() for sender in senders}
        self._senders = senders

    async def __aenter__(self) -> "Links":
        return self

    async def __aexit__(self, *_: object) -> None:
        for sender in self._senders:
            await sender.close()

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """One for each link; they end by cancellation only, or by the outbox's FatalError."""
        return [self._run(sender) for sender in self._senders]

    def tick(self) -> None:
        """Let every link send its frame."""
        for due in self._due.values():
            due.set()

    async def _run(self, sender: LinkSender) -> None:
        due = self._due[sender.peer]
        failures = 0
        skip = 0
        while True:
            await due.wait()
            due.clear()
            if skip > 0:
                skip -= 1
                continue
            outcome = await self._send_one(sender)
            if self._at_once and outcome != "idle":
                due.set()
                await asyncio.sleep(0 if outcome == "acknowledged" else AT_ONCE_PAUSE_S)
            if outcome in ("acknowledged", "idle"):
                if failures:
                    _log.info("%s takes frames again", sender.peer)
                failures = 0
                continue
            if failures == 0:
                _log.warning("%s doesn't take our frames (%s); they are kept", sender.peer, outcome)
            failures += 1
            skip = min(2**failures - 1, MOST_SKIPPED - 1) if outcome != "unreachable" else 0

    async def _send_one(self, sender: LinkSender) -> str:
        try:
            frame = await self._outbox.next_frame(sender.peer)
            if frame is None and self._at_once:
                return "idle"
            # Nothing to lose in an empty frame, so it has no record and is not resent.
            sent = frame or Frame(FrameId(os.urandom(FRAME_ID_BYTES)), b"")
            outcome = await sender.send(sent)
            if outcome == "acknowledged" and frame is not None:
                # If this fails, the frame is sent again, and acknowledged by its id.
                await self._outbox.acknowledged(sender.peer, frame)
        except UserError as error:
            _log.error("%s", error)
            outcome = "store"
        self._count(sender.peer, outcome)
        return outcome


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

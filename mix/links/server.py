"""
Frames in. `LinkServer` knows who speaks, hands each frame to its daemon once, and answers.

The order that everything rests on: a frame is answered with 200 only after the daemon has it, durably. Until
then the sender keeps it and sends it again, under the same id.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from aiohttp import web

from mix.directory import Node
from mix.frame import Frame, decode_frame, is_frame_size
from mix.links.front import Refused, answer, read_body
from mixmint.errors import MalformedMessage

FRAME_PATH = "/v1/frame"
ANSWER_AT = 0.25
"""When a frame is acknowledged, as a part of a tick after it came."""


class FrameSink(Protocol):
    """A daemon's intake."""

    async def accept(self, frame: Frame) -> bool:
        """
        Take a frame; return once it is durable, or at once when its id is known.

        False: no room now, nothing was taken. One peer's frames come one after the other. A frame once taken
        is finished, whether or not its sender still waits for the answer.
        """


class LinkServer:
    """Handles the requests of a link port's Front. ``peers`` are the nodes that may send to us."""

    def __init__(self, sink: FrameSink, peers: Iterable[Node], tick_s: float, refused: Refused) -> None:
        self._sink = sink
        self._peers = {der: peer.name for peer in peers for der in peer.certificates}
        self._answer_after_s = tick_s * ANSWER_AT
        self._refused = refused
        self._reading: set[str] = set()
        self._stopping = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer 200 (it is ours now), 503 (no room: slow down), or raise PeerError (400)."""
        peer = self._peer(request)
        if request.path != FRAME_PATH:
            raise MalformedMessage("path")
        # One frame at a time and peer: a node that opens many connections gains nothing by it.
        if peer in self._reading:
            self._refused("second-frame")
            return _busy()
        self._reading.add(peer)
        try:
            frame = decode_frame(await read_body(request, is_frame_size))
            return await self._take(frame)
        finally:
            self._reading.discard(peer)

    async def stop(self) -> None:
        """Answer what is in hand without waiting for its time."""
        self._stopping.set()

    def _peer(self, request: web.BaseRequest) -> str:
        """
        The peer's name, by its certificate.

        The handshake has checked that the certificate is one of those we trust, and this that the bytes are
        the directory's own: should a trust store ever believe more than it was given, we don't.
        """
        tls = request.get_extra_info("ssl_object")
        name = self._peers.get(tls.getpeercert(binary_form=True)) if tls is not None else None
        if name is None:
            raise MalformedMessage("stranger")
        return name

    async def _take(self, frame: Frame) -> web.Response:
        loop = asyncio.get_running_loop()
        came = loop.time()
        # Nothing to lose in an empty frame: it is acknowledged without a record.
        taken = frame.count == 0 or await self._sink.accept(frame)
        # Answered at a fixed time, or how long it took would tell how many of the frame's packets are real.
        await self._wait(came + self._answer_after_s - loop.time())
        return answer() if taken else _busy()

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0 or self._stopping.is_set():
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _busy() -> web.Response:
    return answer(503)

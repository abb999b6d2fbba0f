"""
What a mix holds, and where it goes next.

What it holds is in the pool file, so a process that is killed, restarted or upgraded loses nothing; a stop
never empties the pool early, since that would show who was in it.

Source: DESIGN section 5; docs/spec/mixing.md.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from mix.directory import Node
from mix.frame import FRAME_ID_BYTES, MOST_PACKETS, Frame, FrameId
from mix.intake import Fresh, select
from mix.metrics import NodeMetrics
from mix.packet.geometry import ADDRESSED_BYTES, KEY_ID_BYTES
from mix.poolfile import PoolFile, Slot
from mix.strategies import Strategy
from mixmint.errors import UserError

COVER_BACKLOG = 1024
"""A link with more packets waiting gets no cover: it wouldn't leave, only take up room."""

_log = logging.getLogger("mix")


class NextHops:
    """
    Whose keys packets may go on to, from all directories so far.

    A node that is left out of a directory for a while, and comes back, loses nothing that was on its way to
    it; what was on its way to one that has left goes when its keys have ended.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, int]] = {}

    def learn(self, peers: Sequence[Node], now_s: float) -> dict[bytes, str]:
        """The newest directory's next hops are these; all key ids still accepted, each to a node's name."""
        listed = {key.key_id: (peer.name, key.accepted_until_s) for peer in peers for key in peer.sphinx_keys}
        known = {key_id: hop for key_id, hop in self._known.items() if now_s < hop[1]}
        self._known = {**known, **listed}
        return {key_id: name for key_id, (name, _) in self._known.items()}


class Mix:
    """What a mix holds, and where it goes next: its intake's `Keeper` and its links' `Outbox`."""

    def __init__(
        self,
        file: PoolFile,
        pool: Strategy[Slot],
        next_hops: Mapping[bytes, str],
        capacity: int,
        metrics: NodeMetrics,
        arrived: Callable[[], None],
    ) -> None:
        self._file = file
        self._pool = pool
        self._next_hops = next_hops
        self._capacity = capacity
        self._metrics = metrics
        self._arrived = arrived
        self._pending: dict[FrameId, tuple[list[Slot], Sequence[int]]] = {}
        peers = set(next_hops.values())
        if strays := file.drop_strays(next_hops):
            _log.warning("%d packets dropped: the directory no longer has where they were to go", strays)
            metrics.dropped.labels("next-hop").inc(strays)
        # Released by the pool, waiting for their link. Still "held" in the file: a restart pools them again.
        self._released: dict[str, deque[Slot]] = {peer: deque() for peer in peers}
        self._unacknowledged = {peer: file.outgoing(peer) for peer in peers}
        pool.add(file.held())

    def has_room(self, packets: int) -> bool:
        return len(self._file) + packets <= self._capacity

    async def keep(self, frames: Sequence[Fresh]) -> None:
        for fresh in frames:
            if fresh.frame in self._pending:
                # It came before, and its tags could not be recorded: these are the same packets.
                self._file.discard(self._pending[fresh.frame][0])
                del self._pending[fresh.frame]
            packets, delays_ms = self._onward(fresh)
            self._pending[fresh.frame] = self._file.put(fresh.frame, packets), delays_ms

    def _onward(self, fresh: Fresh) -> tuple[bytes, Sequence[int]]:
        """Those whose next key is one of our successors': a packet can't leave its cascade."""
        packets = fresh.packets
        starts = range(0, len(packets), ADDRESSED_BYTES)
        known = [packets[at : at + KEY_ID_BYTES] in self._next_hops for at in starts]
        if all(known):
            return packets, fresh.delays_ms
        self._metrics.dropped.labels("next-hop").inc(known.count(False))
        places = [place for place, good in enumerate(known) if good]
        return select(packets, places), [fresh.delays_ms[place] for place in places]

    def recorded(self, frames: Sequence[Fresh]) -> None:
        for fresh in frames:
            slots, delays_ms = self._pending.pop(fresh.frame)
            self._pool.add(slots, delays_ms)
            self._metrics.packets.labels("pooled").inc(len(slots))
        self._arrived()

    def add_cover(self, packets: Sequence[bytes]) -> None:
        """Put cover packets into the pool, where nothing tells them from others."""
        wanted = [one for one in packets if len(self._released[self._peer(one)]) < COVER_BACKLOG]
        if wanted and self.has_room(len(wanted)):
            try:
                slots = self._file.put(FrameId(os.urandom(FRAME_ID_BYTES)), b"".join(wanted))
            except UserError as error:
                _log.error("no cover: %s", error)
                return
            self._pool.add(slots)
            self._metrics.packets.labels("cover").inc(len(wanted))

    def _peer(self, packet: bytes) -> str:
        return self._next_hops[packet[:KEY_ID_BYTES]]

    def release(self) -> None:
        """A tick: the pool lets some packets go, each to its link."""
        leaving = self._pool.tick()
        if len(self._released) == 1:
            # The first and second of a cascade have one successor: no need to look each packet up.
            (only,) = self._released.values()
            only.extend(leaving)
        else:
            for slot in leaving:
                self._released[self._next_hops[self._file.hop(slot)]].append(slot)
        for peer, waiting in self._released.items():
            # A peer away for so long must not stop the others: what is over half of all room is dropped.
            while len(waiting) > self._capacity // 2:
                if not self._drop_first(waiting):
                    break
                _log.error("%s has been away for too long; packets for it are dropped", peer)
        self.measure()

    def _drop_first(self, waiting: deque[Slot]) -> bool:
        slots = list(islice(waiting, MOST_PACKETS))
        try:
            self._file.discard(slots)
        except UserError as error:
            _log.error("packets can't be dropped now: %s", error)
            return False
        for _ in slots:
            waiting.popleft()
        self._metrics.dropped.labels("backlog").inc(len(slots))
        return True

    async def next_frame(self, peer: str) -> Frame | None:
        frame = self._unacknowledged[peer]
        waiting = self._released[peer]
        if frame is None and waiting:
            slots = list(islice(waiting, MOST_PACKETS))
            # Without room for a frame's record they go on waiting.
            frame = self._file.send(peer, FrameId(os.urandom(FRAME_ID_BYTES)), slots)
            self._unacknowledged[peer] = frame
            for _ in slots:
                waiting.popleft()
        return frame

    async def acknowledged(self, peer: str, frame: Frame) -> None:
        self._file.acknowledged(peer, frame.id)
        self._unacknowledged[peer] = None
        self._metrics.packets.labels("forwarded").inc(frame.count)

    def forget_unrecorded(self) -> None:
        """
        The intake has stopped: drop what it couldn't record; its senders have it still.

        Raises UserError when the storage is full: then only a restart can tell the packets apart.
        """
        for slots, _ in self._pending.values():
            self._file.discard(slots)
        self._pending.clear()

    def measure(self) -> None:
        """Set the gauges."""
        self._metrics.held.labels("pool").set(len(self._pool))
        self._metrics.held.labels("links").set(len(self._file) - len(self._pool))

    def health(self) -> dict[str, object]:
        return {"pool_packets": len(self._pool), "held_packets": len(self._file)}

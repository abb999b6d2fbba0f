"""
The way of a frame into a node, the same in mixes and gateways.

    1. its packets are unwrapped by a worker
    2. the replay filter says which are fresh; tags and frame id are inserted, not yet committed
    3. the node keeps the fresh packets, under the frame's id (`Keeper.keep`)
    4. tags and frame id are committed, to disk
    5. from here on the packets may leave (`Keeper.recorded`), and the frame is acknowledged

Killed after 3, a restart finds packets of a frame that the filter doesn't know, and deletes them; the peer
sends the frame again. Killed after 4, the peer sends it again too, and is told that we have it. The table in
mix/replay says the same from the filter's side.

Frames that come while others are being written wait, and are then written together: one sync for all.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from mix.frame import Frame, FrameId
from mix.keys import NodeKeys
from mix.metrics import NodeMetrics
from mix.packet.batch import Batch
from mix.packet.geometry import ADDRESSED_BYTES
from mix.replay import ReplayFilter
from mix.worker import Workers
from mixmint.errors import Unavailable, UserError

REMEMBERED = 4096
"""Frames whose ids are kept in memory, to acknowledge them again without unwrapping them again."""

_log = logging.getLogger("mix.intake")


@dataclass(frozen=True, slots=True)
class Fresh:
    """
    A frame's fresh packets, in random order: each is 16 bytes that say where to, then the packet; and for how
    long each is to wait, in milliseconds.
    """

    frame: FrameId
    packets: bytes
    delays_ms: Sequence[int]


def select(packets: bytes, places: Sequence[int]) -> bytes:
    """The packets (2,286 bytes each) at these places."""
    return b"".join(packets[place * ADDRESSED_BYTES : (place + 1) * ADDRESSED_BYTES] for place in places)


class Keeper(Protocol):
    """What a node does with fresh packets."""

    def has_room(self, packets: int) -> bool:
        """Whether so many more may be kept. False lets the sender slow down."""

    async def keep(self, frames: Sequence[Fresh]) -> None:
        """
        Keep these packets, surviving the process, but let none leave before `recorded`.

        A frame may come a second time, when its tags could not be committed; then this replaces the first.

        Raises UserError: none of them is kept.
        """

    def recorded(self, frames: Sequence[Fresh]) -> None:
        """The tags of these frames are on disk."""


KEPT_EPOCHS = 2
"""Frame ids are kept for as many epochs before the newest that is accepted: as long as the keys of then."""


@dataclass(slots=True)
class _Waiting:
    frame: FrameId
    batch: Batch
    taken: asyncio.Future[bool]


class Intake:
    """A link server's `FrameSink`. `run` is one of its daemon's loops."""

    def __init__(
        self,
        keys: NodeKeys,
        workers: Workers,
        replay: ReplayFilter,
        keeper: Keeper,
        metrics: NodeMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._workers = workers
        self._replay = replay
        self._keeper = keeper
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._recent: OrderedDict[FrameId, None] = OrderedDict()
        self._is_closed = False

    async def accept(self, frame: Frame) -> bool:
        """See `FrameSink`."""
        count = self._metrics.frames_received.labels
        if frame.id in self._recent:
            count("known").inc()
            return True
        if not self._keeper.has_room(frame.count):
            count("no-room").inc()
            return False
        try:
            batch = await self._workers.unwrap(frame.packets)
        except Unavailable:
            count("no-worker").inc()
            return False
        if self._is_closed:
            # Nobody would write it any more; the next generation takes it.
            return False
        waiting = _Waiting(frame.id, batch, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        taken = await asyncio.shield(waiting.taken)
        count("taken" if taken else "no-room").inc()
        return taken

    async def run(self) -> None:
        """Write what waits, for ever. Raises FatalError when it isn't sure what of the filter is on disk."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._waiting = self._waiting, []
            taken = False
            write = asyncio.create_task(self._write(group))
            try:
                taken = await asyncio.shield(write)
            except asyncio.CancelledError:
                # We are stopping. A write that has begun is finished: its thread can't be called back.
                taken = await write
                raise
            finally:
                # False after an error: the senders keep their frames, for the next start.
                for one in group:
                    one.taken.set_result(taken)

    async def _write(self, group: Sequence[_Waiting]) -> bool:
        fresh = await asyncio.to_thread(self._insert, group)
        try:
            await self._keeper.keep(fresh)
        except UserError as error:
            _log.error("frames can't be kept: %s", error)
            await asyncio.to_thread(self._replay.rollback)
            return False
        try:
            # A second hop into a thread, since this one waits for the disk.
            await asyncio.to_thread(self._replay.commit)
        except UserError as error:
            # What was kept is replaced when the frame comes again, and it does: nobody acknowledged it.
            _log.error("frames can't be recorded: %s", error)
            return False
        self._keeper.recorded(fresh)
        self._remember([one.frame for one in group])
        return True

    def _insert(self, group: Sequence[_Waiting]) -> list[Fresh]:
        now_s = self._clock()
        accepted, epoch = self._keys.accepted(now_s), self._keys.newest_epoch(now_s)
        all_accepted = accepted.issuperset(self._keys.secrets)
        result = []
        replayed = late = turned_away = 0
        full = self._replay.full
        for one in group:
            if self._replay.knows_frame(one.frame):
                continue
            names, packets = one.batch.names, one.batch.packets
            places: Sequence[int] = range(len(names))
            if not all_accepted:
                places = [place for place in places if names[place][0] in accepted]
                late += len(names) - len(places)
                names = tuple(names[place] for place in places)
            is_fresh = self._replay.fresh(names, one.frame, epoch)
            kept = [place for place, fresh in zip(places, is_fresh, strict=True) if fresh]
            unknown = sum(key_id in full for key_id, _ in names) if full else 0
            turned_away += unknown
            replayed += len(names) - len(kept) - unknown
            # Nearly always all are kept, and then nothing is copied.
            whole = len(kept) == len(one.batch.names)
            delays_ms = one.batch.delays_ms
            if not whole:
                packets, delays_ms = select(packets, kept), tuple(delays_ms[place] for place in kept)
            result.append(Fresh(one.frame, packets, delays_ms))
        self._metrics.filter_fill.set(self._replay.fill)
        self._count(group, {"replayed": replayed, "epoch": late, "filter-full": turned_away})
        return result

    def _count(self, group: Sequence[_Waiting], dropped: dict[str, int]) -> None:
        for one in group:
            for reason, count in one.batch.refused.items():
                dropped[reason] = dropped.get(reason, 0) + count
        for reason, count in dropped.items():
            if count:
                self._metrics.dropped.labels(reason).inc(count)

    def _remember(self, frames: Sequence[FrameId]) -> None:
        for frame in frames:
            self._recent[frame] = None
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def __aenter__(self) -> "Intake":
        # By now the store has settled which frames it had begun, so ids that no peer sends again may go: what
        # was in those frames is known by its tags for as long as its keys are accepted.
        self._replay.prune(self._keys.newest_epoch(self._clock()) - KEPT_EPOCHS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing that waits, or still comes, is taken: its senders keep it."""
        self._is_closed = True
        for one in self._waiting:
            one.taken.set_result(False)

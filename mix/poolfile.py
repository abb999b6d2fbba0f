"""
What a mix holds, outside its process: the packets in its pool, and the frames not yet acknowledged.

Two files, which belong on memory-backed storage (tmpfs). So a process that is killed, restarted or upgraded
loses nothing, a power cut loses the pool, and no disk ever keeps packets.

    pool.packets  slots of 2,286 bytes, each holding a packet or nothing of interest
    pool.db       SQLite; says which slots count, and why:
                  held      a frame's fresh packets (or a tick's cover) that are still in the pool
                  outgoing  frames on their way: id, peer, and their packets in order

A packet is written once, before the transaction that makes its slot count, and stays where it is: it moves
from held to outgoing by its slot's number, in one transaction. What the pool strategy has released, but no
frame has taken yet, is still held here: after a crash it goes back into the pool, which only delays it.

Trust: whoever can read the files sees the pool. They keep no times, but the order of frames.
"""

import errno
import os
import sqlite3
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NewType

from mix.frame import Frame, FrameId
from mix.packet.geometry import ADDRESSED_BYTES, KEY_ID_BYTES, KeyId
from mixmint.database import open_database
from mixmint.errors import FatalError, UserError

Slot = NewType("Slot", int)
"""Where a packet is; the pool holds these numbers in place of packets."""

SCHEMA = (
    """
    CREATE TABLE held (number INTEGER PRIMARY KEY, frame BLOB NOT NULL, slots BLOB NOT NULL);
    CREATE TABLE outgoing (
        number INTEGER PRIMARY KEY, peer TEXT NOT NULL, frame BLOB NOT NULL UNIQUE, slots BLOB NOT NULL
    );
    CREATE INDEX outgoing_peer ON outgoing (peer, number);
    """,
)
PACKETS_SUFFIX = ".packets"


class PoolFile:
    """
    The pool file. Any thread may call it: calls wait for each other, and touch memory only.

    ``knows_frame``: the replay filter's. Packets of frames that it didn't record are dropped: such a frame
    was not acknowledged, and comes again. A tick's cover, which no filter ever records, goes the same way.

    Every method that writes raises UserError when the storage is full: nothing has changed, and it may have
    room later. It raises FatalError when it can't write otherwise: then the process must stop, and the next
    start finds the last consistent state.
    """

    def __init__(self, path: Path, knows_frame: Callable[[FrameId], bool]) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(path, SCHEMA, durable=False)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._packets = os.open(path.with_suffix(PACKETS_SUFFIX), flags, 0o600)
        with self._lock, self._transaction() as execute:
            for number, frame_id in execute("SELECT number, frame FROM held").fetchall():
                if not knows_frame(FrameId(frame_id)):
                    execute("DELETE FROM held WHERE number = ?", (number,))
        held = {number: _slots(data) for number, data in self._rows("SELECT number, slots FROM held")}
        # Row of `held` -> its slots, and slot -> its row.
        self._held = {number: set(slots) for number, slots in held.items()}
        self._row_of = {slot: number for number, slots in held.items() for slot in slots}
        self._outgoing = sum(len(_slots(data)) for (data,) in self._rows("SELECT slots FROM outgoing"))
        used = {slot for (data,) in self._rows("SELECT slots FROM outgoing") for slot in _slots(data)}
        used |= self._row_of.keys()
        self._end = max(used, default=-1) + 1
        self._free = [slot for slot in range(self._end) if slot not in used]
        self._next_row = max(held, default=0) + 1

    def held(self) -> list[Slot]:
        """All packets that are in the pool, in no order that means anything. For the start."""
        with self._lock:
            return [Slot(slot) for slot in self._row_of]

    def __len__(self) -> int:
        """How many packets are here, held or on their way."""
        return len(self._row_of) + self._outgoing

    def hop(self, slot: Slot) -> KeyId:
        """Which key a held packet is to be unwrapped with next."""
        return KeyId(os.pread(self._packets, KEY_ID_BYTES, slot * ADDRESSED_BYTES))

    def put(self, frame_id: FrameId, packets: bytes) -> list[Slot]:
        """
        Keep the fresh packets (2,286 bytes each) of a frame, or cover under a new random id.

        Give the slots to the pool only after the replay filter's commit. Should that fail, the process must
        stop: the next start finds out which of the two happened.
        """
        if not packets:
            return []
        slots: list[Slot] = []
        with self._lock:
            try:
                with self._transaction() as execute:
                    # Slots that nothing refers to: killed in the middle, they stay that.
                    for at in _starts(packets):
                        slots.append(self._next_slot())
                        self._write(slots[-1], packets[at : at + ADDRESSED_BYTES])
                    # Killed before COMMIT: the packets are not here, and the frame comes again.
                    execute("INSERT INTO held VALUES (?, ?, ?)", (self._next_row, frame_id, _bytes(slots)))
            except UserError:
                self._free.extend(slots)
                raise
            self._held[self._next_row] = set(slots)
            self._row_of.update(dict.fromkeys(slots, self._next_row))
            self._next_row += 1
        return slots

    def discard(self, slots: Sequence[Slot]) -> None:
        """Drop held packets. Killed before COMMIT, they are still here."""
        with self._lock:
            leaving = self._leaving(slots)
            with self._transaction() as execute:
                self._write_leaving(execute, leaving)
            self._forget(leaving)
            self._free.extend(slots)

    def send(self, peer: str, frame_id: FrameId, slots: Sequence[Slot]) -> Frame:
        """
        Move held packets into a new frame for ``peer``, in this order.

        Killed before COMMIT, they are still in the pool, and the frame was never sent. Killed after it, the
        same frame goes out under the same id.
        """
        with self._lock:
            leaving = self._leaving(slots)
            frame = Frame(frame_id, self._read(slots))
            with self._transaction() as execute:
                self._write_leaving(execute, leaving)
                row = (peer, frame_id, _bytes(slots))
                execute("INSERT INTO outgoing (peer, frame, slots) VALUES (?, ?, ?)", row)
            self._forget(leaving)
            self._outgoing += len(slots)
            return frame

    def outgoing(self, peer: str) -> Frame | None:
        """The oldest frame that ``peer`` hasn't acknowledged, the same bytes each time."""
        with self._lock:
            select = "SELECT frame, slots FROM outgoing WHERE peer = ? ORDER BY number LIMIT 1"
            row = self._connection.execute(select, (peer,)).fetchone()
            return None if row is None else Frame(FrameId(row[0]), self._read(_slots(row[1])))

    def acknowledged(self, peer: str, frame_id: FrameId) -> None:
        """
        The peer has the frame, durably: it is no longer ours. An unknown one is ignored.

        Killed before COMMIT, it is sent again, and acknowledged by its id.
        """
        with self._lock:
            with self._transaction() as execute:
                delete = "DELETE FROM outgoing WHERE peer = ? AND frame = ? RETURNING slots"
                row = execute(delete, (peer, frame_id)).fetchone()
            slots = _slots(row[0]) if row else []
            self._outgoing -= len(slots)
            # After COMMIT: before it, a frame that is to be sent again could be overwritten.
            self._free.extend(slots)

    def drop_strays(self, next_hops: Mapping[bytes, str]) -> int:
        """
        Drop held packets for other keys than these, and frames for other peers; returns how many packets.

        For the start. A new directory may have no place for them any more, and a mix that can't say where a
        packet goes would stop at its release, at every start. Killed in the middle, the next start goes on.
        """
        strays = [slot for slot in self.held() if self.hop(slot) not in next_hops]
        before, peers = len(self), set(next_hops.values())
        self.discard(strays)
        with self._lock:
            outgoing = self._rows("SELECT peer, frame FROM outgoing")
        for peer, frame_id in outgoing:
            if peer not in peers:
                self.acknowledged(peer, FrameId(frame_id))
        return before - len(self)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            os.close(self._packets)

    def _next_slot(self) -> Slot:
        if self._free:
            return Slot(self._free.pop())
        self._end += 1
        return Slot(self._end - 1)

    def _write(self, slot: Slot, packet: bytes) -> None:
        if os.pwrite(self._packets, packet, slot * ADDRESSED_BYTES) != len(packet):
            raise OSError(errno.ENOSPC, "no space left")

    def _leaving(self, slots: Sequence[Slot]) -> Mapping[int, set[int]]:
        """Which slots leave which row. Raises ValueError unless all are held, each named once."""
        leaving: defaultdict[int, set[int]] = defaultdict(set)
        for slot in slots:
            leaving[self._row_of.get(slot, 0)].add(slot)
        if 0 in leaving or sum(map(len, leaving.values())) != len(slots):
            raise ValueError("only packets that are held can leave, each once")
        return leaving

    def _write_leaving(self, execute: Callable[..., sqlite3.Cursor], leaving: Mapping[int, set[int]]) -> None:
        for number, gone in leaving.items():
            if rest := self._held[number] - gone:
                execute("UPDATE held SET slots = ? WHERE number = ?", (_bytes(rest), number))
            else:
                execute("DELETE FROM held WHERE number = ?", (number,))

    def _forget(self, leaving: Mapping[int, set[int]]) -> None:
        """The same in memory, once it is committed."""
        for number, gone in leaving.items():
            self._held[number] -= gone
            if not self._held[number]:
                del self._held[number]
            for slot in gone:
                del self._row_of[slot]

    def _read(self, slots: Sequence[int]) -> bytes:
        size, packets = ADDRESSED_BYTES, self._packets
        return b"".join([os.pread(packets, size, slot * size) for slot in slots])

    def _rows(self, select: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(select).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Under the lock. What is remembered is changed after it: so when it raises, nothing has happened."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            yield execute
            execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            text = f"the pool file can't be written: {error}"
            if _is_full(error):
                raise UserError(f"{text}; make room") from None
            # What is written isn't sure now. Only a new start finds out.
            raise FatalError(text) from None
        finally:
            if self._connection.in_transaction:
                execute("ROLLBACK")


def _is_full(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _starts(packets: bytes) -> range:
    return range(0, len(packets), ADDRESSED_BYTES)


def _bytes(slots: Sequence[int] | set[int]) -> bytes:
    return array("Q", slots).tobytes()


def _slots(data: bytes) -> Sequence[int]:
    return array("Q", data)

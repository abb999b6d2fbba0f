"""The replay filter itself: tables in memory before the store on disk."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay.capacity import fitting_capacity
from mix.replay.index import INDEX, Namer, new_index
from mix.replay.migration import migrate, will_migrate
from mix.replay.seen import Seen
from mix.replay.store import FRAMES, OF_BYTES, TAGS, Space, Store, build_store
from mix.replay.table import NAME_BYTES
from mixmint.errors import FatalError, UserError

OVERDRAWN = 1.25
"""A group of frames may go a little over the capacity; what is on file beyond that says it was set lower."""

_log = logging.getLogger("mix.replay")


def create_filter(path: Path, keys: Iterable[KeyId]) -> None:
    """
    Make a filter for keys that were never used, or add such keys to it. For ``init`` and key rotation only.

    Raises UserError if a key is in it already, or a running node has it open.
    """
    migrate(path)
    try:
        if not path.exists():
            build_store(path, new_index().with_keys(list(keys)), lambda _: None)
            return
        store = Store(path)
        try:
            store.add_keys(list(keys))
        finally:
            store.close()
    except ValueError:
        raise UserError(
            f"{path} has a filter for one of these keys already; make a new key instead"
        ) from None


def check_filter(path: Path, keys: Iterable[KeyId]) -> None:
    """
    Whether a node could start with these keys; changes nothing, and a running node doesn't mind.

    Raises UserError, as `ReplayFilter` would; it doesn't read the log.
    """
    if will_migrate(path):
        return
    if not (path / INDEX).exists():
        raise _missing(path)
    store = Store(path, shared=True)
    try:
        for key_id in keys:
            _secret(store, key_id)
    finally:
        store.close()


class ReplayFilter:
    """
    The filter for these keys. Not for several threads at once; any one thread at a time may use it.

    `fresh` begins a transaction, into which several frames may go; `commit` or `rollback` ends it.

    ``capacity``: how many packets it can know of one key; by default what fits this machine. A filter made by
    an earlier version (SQLite) is taken over.

    Raises UserError if the folder, or a key's filter in it, is missing, or another process has it open;
    FatalError if the log is damaged.
    """

    def __init__(self, path: Path, keys: Iterable[KeyId], capacity: int = 0) -> None:
        migrate(path)
        if not (path / INDEX).exists():
            raise _missing(path)
        self._capacity = capacity or fitting_capacity()
        self._store = Store(path)
        self._tags: dict[KeyId, Seen] = {}
        self._frames: dict[int, Seen] = {}
        self._full: frozenset[KeyId] = frozenset()
        self._parts: dict[Space, list[bytes]] = {}
        try:
            self._namers = {key_id: Namer(_secret(self._store, key_id)) for key_id in keys}
            self._tags = {key_id: Seen(self._capacity) for key_id in self._namers}
            self._frame_namer = Namer(self._store.index.frame_secret)
            self._store.read(self._load)
            self._refuse_overdrawn()
            self._look_for_full()
        except BaseException:
            self.close()
            raise

    @property
    def full(self) -> frozenset[KeyId]:
        """The keys whose packets are all refused, since no more can be remembered."""
        return self._full

    @property
    def fill(self) -> float:
        """How full the fullest key's filter is, 0 to 1."""
        return max((len(seen) / seen.capacity for seen in self._tags.values()), default=0.0)

    @property
    def on_file(self) -> frozenset[KeyId]:
        """The keys that it has filters for, also those that it wasn't opened for."""
        return frozenset(KeyId(key.id) for key in self._store.index.keys if key.secret)

    def fresh(self, names: Sequence[tuple[KeyId, Tag]], frame_id: FrameId, epoch: int) -> list[bool]:
        """
        Which of these packets were never seen before, also not earlier among themselves.

        Tags and frame id are inserted, not yet committed. ``epoch`` says how long to remember the frame's id,
        see `prune`. A packet of a key whose filter is full is never fresh: it may have been seen or not.

        Raises KeyError for a key that it wasn't opened for; nothing is inserted then.
        """
        namers = {key_id: self._namers[key_id] for key_id in {key_id for key_id, _ in names}}
        if len(namers) == 1:
            # Nearly always: a frame's packets are of one key, but around the end of an epoch.
            ((key_id, namer),) = namers.items()
            fresh = self._fresh(key_id, namer, [tag for _, tag in names])
        else:
            fresh = [False] * len(names)
            for key_id, namer in namers.items():
                places = [place for place, name in enumerate(names) if name[0] == key_id]
                new = self._fresh(key_id, namer, [names[place][1] for place in places])
                for place, is_new in zip(places, new, strict=True):
                    fresh[place] = is_new
        epoch = max(epoch, self._store.index.frames_from)
        of = epoch.to_bytes(OF_BYTES, "big")
        self._insert((FRAMES, of), self._frames_of(epoch), self._frame_namer.names(frame_id))
        return fresh

    def commit(self) -> None:
        """
        Make durable what `fresh` inserted; when this returns, the frames may be acknowledged.

        Raises UserError when the disk has no room: nothing is committed, and it may have room later.
        Raises FatalError when it can't be written otherwise; a restart finds out what is on disk.
        """
        if not self._parts:
            return
        try:
            self._store.append(self._parts)
        except (UserError, FatalError):
            self.rollback()
            raise
        for seen in self._touched():
            seen.commit()
        self._parts.clear()
        self._look_for_full()

    def rollback(self) -> None:
        """Forget what was inserted since the last commit."""
        for seen in self._touched():
            seen.roll_back()
        self._parts.clear()

    def knows_frame(self, frame_id: FrameId) -> bool:
        """Whether the frame was inserted and, outside a transaction, committed: acknowledge it, no more."""
        name = self._frame_namer.names(frame_id)
        return any(seen.has(name) for seen in self._frames.values())

    def prune(self, before_epoch: int) -> None:
        """
        Forget the ids of frames recorded in earlier epochs.

        Should one come again nevertheless, all its packets are known by their tags, and are dropped. Call it
        between transactions.
        """
        self._store.prune(before_epoch)
        for epoch in [epoch for epoch in self._frames if epoch < before_epoch]:
            self._frames.pop(epoch).close()

    def take_up(self, key_id: KeyId) -> None:
        """
        Begin a filter for a key that was never used, while others are in use. Call it between transactions.

        Raises UserError if the key is, or was, in the filter.
        """
        try:
            self._store.add_keys([key_id])
        except ValueError:
            raise UserError(f"there is a filter for key {key_id.hex()} already; make a new key") from None
        self._namers[key_id] = Namer(_secret(self._store, key_id))
        self._tags[key_id] = Seen(self._capacity)

    def retire(self, key_id: KeyId) -> None:
        """
        Drop the tags of a key that is accepted no more, for ever. Call it between transactions.

        Raises UserError for a key that isn't in the filter.
        """
        _secret(self._store, key_id)
        self._store.retire(key_id)
        self._namers.pop(key_id, None)
        if (seen := self._tags.pop(key_id, None)) is not None:
            seen.close()
        self._look_for_full()

    def close(self) -> None:
        """Forget what isn't committed, and let another process have the files."""
        self._store.close()
        for seen in (*self._tags.values(), *self._frames.values()):
            seen.close()

    def _fresh(self, key_id: KeyId, namer: Namer, tags: Sequence[Tag]) -> list[bool]:
        if key_id in self._full:
            return [False] * len(tags)
        return self._insert((TAGS, key_id), self._tags[key_id], namer.names(b"".join(tags)))

    def _insert(self, space: Space, seen: Seen, names: bytes) -> list[bool]:
        new = seen.add(names)
        if not all(new):
            pieces = [names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES)]
            names = b"".join([piece for piece, is_new in zip(pieces, new, strict=True) if is_new])
        if names:
            self._parts.setdefault(space, []).append(names)
        return new

    def _touched(self) -> list[Seen]:
        return [self._seen(space) for space in self._parts]

    def _seen(self, space: Space) -> Seen:
        kind, of = space
        return self._tags[KeyId(of)] if kind == TAGS else self._frames_of(int.from_bytes(of, "big"))

    def _frames_of(self, epoch: int) -> Seen:
        if epoch not in self._frames:
            self._frames[epoch] = Seen(self._capacity)
        return self._frames[epoch]

    def _load(self, space: Space, names: bytes) -> None:
        kind, of = space
        # A key may be on file that we weren't opened for: one that ended while we were away.
        if kind == FRAMES or of in self._tags:
            self._seen(space).load(names)

    def _refuse_overdrawn(self) -> None:
        most = max((len(seen) for seen in self._tags.values()), default=0)
        if most > OVERDRAWN * self._capacity:
            raise UserError(
                f"the replay filter knows {most} packets of one key, and has room for {self._capacity};"
                f" set replay_packets to {most} or more"
            )

    def _look_for_full(self) -> None:
        # Without room for frame ids no packet can be taken either.
        frames_full = any(seen.is_full for seen in self._frames.values())
        full = frozenset(key_id for key_id, seen in self._tags.items() if seen.is_full or frames_full)
        if full - self._full:
            _log.error(
                "the replay filter of %d key(s) is full: their packets are dropped, until other keys follow,"
                " or replay_packets is set higher",
                len(full),
            )
        self._full = full


def _missing(path: Path) -> UserError:
    return UserError(f"replay filter {path} is missing; its keys can't be used any more: make new ones")


def _secret(store: Store, key_id: bytes) -> bytes:
    secret = store.index.secret(key_id)
    if secret is None:
        raise UserError(f"there is no replay filter for key {key_id.hex()}; make a new key")
    return secret

"""
From the SQLite file of earlier versions (``state/replay.db``) to the folder (``state/replay``), at a start.

    1. the file is renamed     a version before this one finds no filter, and refuses to start: nobody takes a
                               packet into a file that is being left
    2. the folder is built     under another name, synced, then renamed: it is there whole, or not at all
    3. the file is deleted

Killed after 1, the next start does 2 from the beginning; killed after 2, it goes on with 3. The old file
beside the new folder comes from none of these steps: somebody put it there, and which of the two is right
can't be told.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from mix.packet.geometry import KEY_ID_BYTES, TAG_BYTES
from mix.replay.index import Namer, new_index
from mix.replay.log import damaged
from mix.replay.store import FRAMES, OF_BYTES, TAGS, Store, build_store
from mixmint.database import remove_database
from mixmint.errors import UserError
from mixmint.keys import sync_folder

AT_ONCE = 1 << 16
"""Tags in one record."""

_log = logging.getLogger("mix.replay")


def old_path(path: Path) -> Path:
    """Where an earlier version kept the filter."""
    return path.with_name(path.name + ".db")


def will_migrate(path: Path) -> bool:
    """
    Whether `migrate` has something to do before there is a folder.

    Raises UserError if there is an old file and a new folder.
    """
    old = old_path(path)
    if old.exists() and path.exists():
        raise UserError(
            f"there are two replay filters, {old} and {path}; if the first came from a backup, its keys"
            " can't be used any more: make new ones"
        )
    return old.exists() or (_leaving(old).exists() and not path.exists())


def migrate(path: Path) -> None:
    """
    Take over an earlier version's filter, if there is one; its tags and frame ids are in the folder then.

    Raises UserError when it can't be read or written, or is in use; FatalError when it is damaged.
    """
    old = old_path(path)
    leaving = _leaving(old)
    if will_migrate(path):
        if old.exists():
            _rename(old, leaving)
        _log.warning("taking over the replay filter of an earlier version; this is done once")
        try:
            with closing(sqlite3.connect(leaving)) as connection:
                _convert(connection, path)
        except sqlite3.Error as error:
            raise damaged(leaving, f"can't be read ({error})") from None
    if leaving.exists():
        remove_database(leaving)


def _leaving(old: Path) -> Path:
    return old.with_name(old.name + ".leaving")


def _rename(old: Path, leaving: Path) -> None:
    try:
        with closing(sqlite3.connect(old, isolation_level=None, timeout=1)) as connection:
            # What is in the write-ahead log moves into the file, and no other process has it open.
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            if mode != "delete":
                raise UserError(f"replay filter {old} is in use: is the node running already?")
        old.rename(leaving)
        sync_folder(old.parent)
    except sqlite3.OperationalError as error:
        raise UserError(
            f"can't take over replay filter {old}: {error}; is the node running already?"
        ) from None
    except sqlite3.DatabaseError as error:
        raise damaged(old, f"can't be read ({error})") from None
    except OSError as error:
        raise UserError(f"can't take over replay filter {old}: {error.strerror}") from None


def _convert(connection: sqlite3.Connection, path: Path) -> None:
    keys = connection.execute("SELECT number, id, retired FROM key").fetchall()
    index = new_index().with_keys([key_id for _, key_id, _ in keys])
    for _, key_id, retired in keys:
        if len(key_id) != KEY_ID_BYTES:
            raise damaged(path, "has a key that isn't one")
        if retired:
            index = index.retired(key_id)

    def fill(store: Store) -> None:
        for number, key_id, retired in keys:
            if not retired:
                _copy_tags(connection, number, key_id, store)
        _copy_frames(connection, store)

    build_store(path, index, fill)


def _copy_tags(connection: sqlite3.Connection, number: int, key_id: bytes, store: Store) -> None:
    namer = Namer(store.index.secret(key_id) or b"")
    rows = connection.execute(f"SELECT tag FROM tag_{int(number)}")  # noqa: S608 - the number is ours
    while batch := rows.fetchmany(AT_ONCE):
        store.append({(TAGS, key_id): [namer.names(_joined([tag for (tag,) in batch]))]})


def _copy_frames(connection: sqlite3.Connection, store: Store) -> None:
    namer = Namer(store.index.frame_secret)
    epochs = [epoch for (epoch,) in connection.execute("SELECT DISTINCT epoch FROM frame")]
    for epoch in epochs:
        rows = connection.execute("SELECT id FROM frame WHERE epoch = ?", (epoch,))
        of = int(epoch).to_bytes(OF_BYTES, "big")
        while batch := rows.fetchmany(AT_ONCE):
            store.append({(FRAMES, of): [namer.names(_joined([one for (one,) in batch]))]})


def _joined(values: list[bytes]) -> bytes:
    if any(len(value) != TAG_BYTES for value in values):
        raise sqlite3.DatabaseError("a tag or frame id isn't 16 bytes")
    return b"".join(values)

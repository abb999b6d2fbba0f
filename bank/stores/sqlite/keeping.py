"""The file of the books as a whole: copied before its tables change, marked when the books moved away."""

import logging
import os
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from mixmint.errors import UserError

MOVING = 1_000_000
"""Added to the schema's number while a move may have happened: from before its commit until that is known."""
MOVED = 2_000_000
"""Added to it for good when the books have moved. Programs of any age take it for a newer version's file."""

_log = logging.getLogger("bank.stores.sqlite")


def version_of(path: Path) -> int:
    """The number in the file's head, 0 if there is no file or nothing in it. Raises sqlite3.Error."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)


def refuse_moved(path: Path, version: int) -> None:
    """Raises UserError for books that have moved away, or may have."""
    if version >= MOVED:
        raise UserError(
            f"the books {path} were moved to PostgreSQL and are kept as they were: coins spent since are "
            'not in them. Set store = "postgres"'
        )
    if version >= MOVING:
        raise UserError(
            f"a move of the books {path} to PostgreSQL was interrupted; finish it with `mixmint bank migrate`"
        )


def copy_before(path: Path, version: int) -> Path:
    """
    Copy the books as they are before their tables change, whole and durable; where to.

    The copy holds what theirs held: also what ties inputs to outputs, until the operator deletes it.

    Raises UserError when there is no room for it: then nothing was changed.
    """
    names = (f"{path.name}.schema-{version}{f'-{number}' if number else ''}" for number in count())
    # Never onto an earlier copy: whoever opens the books at the same time may have changed them by now.
    to = next(free for name in names if not (free := path.with_name(name)).exists())
    fresh = to.with_name(to.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(fresh)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        sync(fresh)
        fresh.rename(to)
        sync(to.parent)
    except (OSError, sqlite3.Error) as error:
        fresh.unlink(missing_ok=True)
        raise UserError(f"can't copy the books {path} before their tables change: {error}") from None
    _log.warning("the books' tables change; as they were they are in %s, delete it when all is well", to)
    return to


def open_alone(path: Path) -> sqlite3.Connection:
    """
    Open the books so that nobody else can, until it is closed; all that was in their log is in the file.

    Raises UserError when somebody else has them open.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=2)
    except sqlite3.Error as error:
        raise UserError(f"can't open the books {path}: {error}") from None
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        # Of a file with a log this succeeds only for one who is alone.
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise UserError(f"the books {path} are in use ({error}); stop the bank first") from None
    return connection


def mark(connection: sqlite3.Connection, version: int) -> None:
    """Write the number into the file's head, durably."""
    connection.execute(f"PRAGMA user_version={version}")


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

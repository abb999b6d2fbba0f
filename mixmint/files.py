"""Files that are replaced whole: a reader, and a restart, see the old one or the new one."""

import os
from pathlib import Path

from mixmint.errors import UserError


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file, durably, in one step. Raises UserError when it can't be written."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None

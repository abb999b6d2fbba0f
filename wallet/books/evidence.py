"""What convicts somebody, or may: kept as files, whatever else is wrong."""

from hashlib import sha256
from pathlib import Path

from mixmint.keys import write_secret


class Evidence:
    """A folder of such files, made when there is a first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, reason: str, data: bytes) -> Path:
        """
        Keep evidence as a file: the bytes, named by reason and their hash. Written before the state that
        follows from it; written again after a crash, it is the same file.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{reason}-{sha256(data).hexdigest()[:16]}"
        if not path.exists() or path.read_bytes() != data:
            # A torn one is what a crash left.
            path.unlink(missing_ok=True)
            write_secret(path, data)
        return path

    def all(self) -> list[Path]:
        """What has been kept so far."""
        return sorted(self._folder.iterdir()) if self._folder.exists() else []

"""
A node's Sphinx keys on disk: one file an epoch, each key with a replay filter of its own.

What a kill after each step leaves, and what the next start does about it (`Keyring.tidy`):

    make    1. the filter is there          a filter without a key: retired
            2. the key is there             kept; the next descriptor lists it
    erase   1. the file is zeros            no key any more: removed, its filter retired
            2. the file is gone             a filter without a key: retired
            3. the filter is retired        all is done

So a key that anybody may use always has its filter. Overwriting a file takes the key from the file system;
what the disk itself keeps of overwritten blocks, no program decides (docs/THREATS.md).
"""

import os
from collections.abc import Callable
from pathlib import Path

from mix.directory import SphinxKey
from mix.keys import NodeKeys, key_path, sphinx_key
from mix.packet.build import key_id
from mix.packet.geometry import KeyId
from mix.replay import ReplayFilter
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, BoxKey, read_secret, replace_secret, sync_folder

_PREFIX, _SUFFIX = "sphinx-", ".key"
_ERASED = bytes(SEED_BYTES)


def read_keys(folder: Path) -> dict[int, BoxKey]:
    """
    The keys in a folder, by their epochs; changes nothing. Erased ones whose files are there don't count.

    Raises UserError when a file can be read by others, or isn't a key.
    """
    secrets = {epoch: read_secret(path, SEED_BYTES) for epoch, path in _files(folder).items()}
    return {epoch: BoxKey(secret) for epoch, secret in secrets.items() if secret != _ERASED}


def key_ids(keys: dict[int, BoxKey]) -> list[KeyId]:
    """Which filters these keys need."""
    return [key_id(key.public) for key in keys.values()]


def publics(keys: dict[int, BoxKey]) -> dict[int, bytes]:
    """Their public halves (32 bytes), by their epochs."""
    return {epoch: key.public for epoch, key in keys.items()}


class Keyring:
    """
    The keys, with the filter open; only while nobody else uses the filter.

    ``keys``: what `read_keys` found, for which the filter was opened. ``at`` is called at each named step;
    tests end there.
    """

    def __init__(
        self,
        folder: Path,
        keys: dict[int, BoxKey],
        replay: ReplayFilter,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._keys = dict(keys)
        self._at = at
        self.replay = replay

    @property
    def epochs(self) -> frozenset[int]:
        """The epochs whose keys are there."""
        return frozenset(self._keys)

    def publics(self) -> dict[int, bytes]:
        """The keys' public halves (32 bytes), by their epochs."""
        return publics(self._keys)

    def listed(self, epoch: int, epoch_s: int) -> SphinxKey:
        """An epoch's key as a descriptor has it."""
        return sphinx_key(self._keys[epoch].public, epoch, epoch_s)

    def node_keys(self, epoch_s: int) -> NodeKeys:
        """All keys with their secrets, for unwrapping."""
        keys = tuple(self.listed(epoch, epoch_s) for epoch in sorted(self._keys))
        return NodeKeys(keys, {KeyId(key.key_id): self._keys[key.epoch].secret for key in keys})

    def tidy(self) -> None:
        """Finish what a kill left undone. Raises UserError when it can't be written."""
        for epoch, path in _files(self._folder).items():
            if epoch not in self._keys:
                _unlink(path)
        for path in self._folder.glob(f"{_PREFIX}*{_SUFFIX}.new"):
            erase_file(path)  # never listed: its key wasn't there yet
        for unused in self.replay.on_file - set(key_ids(self._keys)):
            self.replay.retire(unused)

    def make(self, epoch: int) -> None:
        """Make an epoch's key. Raises UserError when it is there, or can't be written."""
        path = key_path(self._folder, epoch)
        if path.exists():
            raise UserError(f"{path} is there already; a key is never overwritten")
        key = BoxKey.generate()
        self.replay.take_up(key_id(key.public))
        self._at("filter-made")
        # Written beside and renamed: half a key is never there.
        replace_secret(path, key.secret)
        self._keys[epoch] = key
        self._at("key-written")

    def erase(self, epoch: int) -> None:
        """Erase an epoch's key for ever, and forget its filter. Raises UserError when it can't be written."""
        erase_file(key_path(self._folder, epoch), self._at)
        key = self._keys.pop(epoch)
        self.replay.retire(key_id(key.public))
        self._at("filter-retired")

    def __repr__(self) -> str:
        return f"Keyring(epochs {sorted(self._keys)})"


def erase_file(path: Path, at: Callable[[str], None] = lambda _: None) -> None:
    """Overwrite a key file with zeros and remove it, durably. Raises UserError when it can't be written."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"can't erase {path}: {error.strerror}") from None
    at("key-overwritten")
    _unlink(path)
    at("key-removed")


def erase_files(folder: Path) -> None:
    """Erase all keys in a folder, whatever is in the files. Raises UserError when it can't be written."""
    for path in _files(folder).values():
        erase_file(path)


def _unlink(path: Path) -> None:
    try:
        path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"can't remove {path}: {error.strerror}") from None


def _files(folder: Path) -> dict[int, Path]:
    numbered = {path.name[len(_PREFIX) : -len(_SUFFIX)]: path for path in folder.glob(f"{_PREFIX}*{_SUFFIX}")}
    return {int(number): path for number, path in sorted(numbered.items()) if number.isdecimal()}

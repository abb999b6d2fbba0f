"""
``mixmint mix rekey``: all of a node's keys new, under a new replay filter.

After a restore, or when the filter is lost or damaged, nobody can tell which packets the node has seen. So
its keys go, with all packets made for them. Killed anywhere, it is run again; the node doesn't start in
between, since keys are missing that its descriptor lists.
"""

import fcntl
import os
import shutil
from pathlib import Path

from mix.epochs.descriptor import OwnDescriptor
from mix.epochs.keyring import Keyring, erase_files
from mix.epochs.renewal import Renewal
from mix.epochs.rotation import Rotation
from mix.keys import filter_path
from mix.replay import ReplayFilter, create_filter
from mix.settings import NodeSettings
from mixmint.errors import UserError


def rekey(settings: NodeSettings, now_s: float) -> tuple[int, ...]:
    """
    The epochs of the new keys; the descriptor lists them.

    Raises UserError when the node runs, the identity's key is missing, or something can't be written.
    """
    descriptor = OwnDescriptor(settings.descriptor_path, settings.identity_path, settings.name)
    renewal = Renewal(settings.certificate_path, settings.key_path, settings.name)
    path = filter_path(settings.state_folder)
    _check_unused(path)
    # First: from here on no packet made for them can be taken, whatever the filter has forgotten.
    erase_files(settings.keys_folder)
    _remove(path)
    create_filter(path, [])
    replay = ReplayFilter(path, [], settings.replay_packets)
    try:
        Rotation(Keyring(settings.keys_folder, {}, replay), descriptor, renewal, [], lambda: now_s).turn()
    finally:
        replay.close()
    return tuple(key.epoch for key in descriptor.node.sphinx_keys)


def _check_unused(path: Path) -> None:
    """Raises UserError if a node has the filter open. It may be missing, or damaged."""
    if not path.is_dir():
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError("the node is running; stop it first") from None
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    try:
        # The file of earlier versions, too: it would be taken over.
        for old in path.parent.glob(f"{path.name}.db*"):
            old.unlink()
        if path.is_dir():
            shutil.rmtree(path)
    except OSError as error:
        raise UserError(f"can't remove {path}: {error.strerror}") from None

"""Keys on real files: killed at any step, the next start has exactly one filter for each key, and goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mix.epochs.keyring import read_keys
from mix.frame import FrameId
from mix.keys import key_path
from mix.packet.geometry import KeyId, Tag
from mixmint.errors import UserError
from mixmint.keys import sync_folder
from tests.unit.mix.epochs.nodes import EPOCH, EPOCH_S, Crash, Folder

MAKE = ("filter-made", "key-written")
ERASE = ("key-overwritten", "key-removed", "filter-retired")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "m1")
    made.make()
    made.start()
    yield made
    made.stop()


def filters(folder: Folder) -> frozenset[KeyId]:
    assert folder.replay is not None
    return folder.replay.on_file


@pytest.mark.parametrize("step", ["", *MAKE])
def test_a_kill_while_a_key_is_made(folder: Folder, step: str) -> None:
    """It is there with its filter, or neither is; and it can be made again."""
    folder.crash_at = step
    if step:
        with pytest.raises(Crash):
            folder.keyring.make(EPOCH + 2)
    else:
        folder.keyring.make(EPOCH + 2)
    folder.crash_at = ""
    folder.start()
    folder.keyring.tidy()
    assert filters(folder) == set(folder.keyring.node_keys(EPOCH_S).secrets)
    assert (EPOCH + 2 in folder.keyring.epochs) is (step != "filter-made")
    if step == "filter-made":
        folder.keyring.make(EPOCH + 2)
    assert folder.on_disk() == {EPOCH, EPOCH + 1, EPOCH + 2}


@pytest.mark.parametrize("step", ["", *ERASE])
def test_a_kill_while_a_key_is_erased(folder: Folder, step: str) -> None:
    """The next start ends it: no file, no filter, and the key's bytes nowhere in the folder."""
    secret = key_path(folder.path / "keys", EPOCH).read_bytes()
    folder.crash_at = step
    if step:
        with pytest.raises(Crash):
            folder.keyring.erase(EPOCH)
    else:
        folder.keyring.erase(EPOCH)
    folder.crash_at = ""
    folder.start()
    assert EPOCH not in folder.keyring.epochs
    folder.keyring.tidy()
    assert folder.on_disk() == {EPOCH + 1}
    assert filters(folder) == set(folder.keyring.node_keys(EPOCH_S).secrets)
    assert not any(secret in path.read_bytes() for path in folder.path.rglob("*") if path.is_file())


def test_half_a_key_is_never_there(folder: Folder) -> None:
    """What a kill left beside the keys, before it was renamed, goes."""
    beside = folder.path / "keys" / f"sphinx-{EPOCH + 2}.key.new"
    beside.write_bytes(bytes(7))
    folder.start()
    folder.keyring.tidy()
    assert not beside.exists()
    assert folder.keyring.epochs == {EPOCH, EPOCH + 1}


def test_what_a_key_has_seen_stays_seen_while_others_come_and_go(folder: Folder) -> None:
    """Over turns and a start; and of an erased key nothing can be asked any more."""
    (key_id, *_) = folder.keyring.node_keys(EPOCH_S).secrets
    name, frame = (key_id, Tag(bytes(16))), FrameId(bytes(16))
    assert folder.replay is not None
    assert folder.replay.fresh([name], frame, EPOCH) == [True]
    folder.replay.commit()
    folder.keyring.make(EPOCH + 2)
    folder.start()
    assert folder.replay.fresh([name], FrameId(bytes([1]) * 16), EPOCH) == [False]
    folder.replay.commit()
    folder.keyring.erase(EPOCH)
    with pytest.raises(KeyError):
        folder.replay.fresh([name], FrameId(bytes([2]) * 16), EPOCH)


def test_no_key_is_ever_overwritten(folder: Folder) -> None:
    """Not even by a second turn of one epoch."""
    before = key_path(folder.path / "keys", EPOCH).read_bytes()
    with pytest.raises(UserError, match="never overwritten"):
        folder.keyring.make(EPOCH)
    assert key_path(folder.path / "keys", EPOCH).read_bytes() == before


def test_a_restored_key_without_its_filter_is_refused(folder: Folder) -> None:
    """From a backup of before it was erased: what it had seen is forgotten."""
    path = key_path(folder.path / "keys", EPOCH)
    secret = path.read_bytes()
    folder.keyring.erase(EPOCH)
    path.write_bytes(secret)
    path.chmod(0o600)
    sync_folder(path.parent)
    with pytest.raises(UserError, match="no replay filter for key"):
        folder.start()


def test_a_file_that_is_no_key_is_said(folder: Folder) -> None:
    """Of another size, or for other eyes."""
    key_path(folder.path / "keys", EPOCH).write_bytes(bytes(31))
    with pytest.raises(UserError, match="should hold 32 bytes"):
        read_keys(folder.path / "keys")

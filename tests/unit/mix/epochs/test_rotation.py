"""Turns: what is made, listed and erased; the descriptor handed in until the directory says the same."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mix.directory.descriptor import open_descriptor
from mix.epochs.descriptor import OwnDescriptor
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.mix.epochs.nodes import EPOCH, EPOCH_S, Crash, Folder
from tests.unit.mix.networks import until


class Authority:
    """Takes descriptors, or answers with a status; down when it is 0."""

    def __init__(self, status: int = 204) -> None:
        self.name = "authority"
        self.status = status
        self.given: list[bytes] = []

    async def hand_in(self, descriptor: bytes) -> int:
        self.given.append(descriptor)
        if not self.status:
            raise Unavailable("down")
        return self.status


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "m1")
    made.make()
    yield made
    made.stop()


def test_a_turn_makes_the_next_key_and_erases_none_before_the_directory_does(folder: Folder) -> None:
    """A key more at each epoch's begin; the one before the previous goes when both say so."""
    rotation = folder.start()
    rotation.hear(folder.directory(EPOCH))
    assert not rotation.is_due()
    folder.now_s += 2 * EPOCH_S
    assert rotation.is_due()
    rotation.turn()
    assert folder.on_disk() == {EPOCH, EPOCH + 1, EPOCH + 2, EPOCH + 3}
    assert folder.listed() == [EPOCH + 1, EPOCH + 2, EPOCH + 3]
    assert not rotation.is_due()
    rotation.hear(folder.directory(EPOCH + 2))
    assert rotation.is_due()
    rotation.turn()
    assert folder.on_disk() == {EPOCH + 1, EPOCH + 2, EPOCH + 3}


def test_the_serial_rises_also_when_the_clock_goes_back(folder: Folder) -> None:
    """Else the authorities would keep what a wrong clock said."""
    rotation = folder.start()
    serials = []
    for jump in (1, 5, -3, 0):
        folder.now_s = (EPOCH + jump) * EPOCH_S
        rotation.turn()
        serials.append(open_descriptor(folder.descriptor.signed).serial)
    assert serials == sorted(set(serials))


@pytest.mark.parametrize(
    "step", ["filter-made", "key-written", "key-overwritten", "key-removed", "filter-retired"]
)
def test_a_kill_anywhere_in_a_turn_is_made_good_by_the_next(folder: Folder, step: str) -> None:
    """Whatever was done, the descriptor lists keys that are there; the next start does the rest."""
    folder.now_s += 2 * EPOCH_S
    folder.crash_at = step
    rotation = folder.start()
    rotation.hear(folder.directory(EPOCH + 2))
    with pytest.raises(Crash):
        rotation.turn()
    folder.crash_at = ""
    rotation = folder.start()
    assert set(folder.listed()) & {EPOCH + 1, EPOCH + 2} <= folder.on_disk()
    rotation.hear(folder.directory(EPOCH + 2))
    assert rotation.is_due()
    rotation.turn()
    assert folder.on_disk() == {EPOCH + 1, EPOCH + 2, EPOCH + 3}
    assert folder.listed() == [EPOCH + 1, EPOCH + 2, EPOCH + 3]
    assert not rotation.is_due()


def test_a_clock_that_the_sources_contradict_turns_nothing(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    """It would list keys that nobody uses; said once, until it is set."""
    rotation = folder.start()
    folder.now_s += 100 * EPOCH_S
    folder.ahead_s = 100 * EPOCH_S
    assert not rotation.is_due()
    rotation.turn()
    assert not rotation.is_due()
    assert folder.on_disk() == {EPOCH, EPOCH + 1}
    assert caplog.text.count("clock is wrong") == 1
    folder.ahead_s = 0
    assert rotation.is_due()


async def test_a_descriptor_is_handed_in_until_the_directory_says_the_same(
    folder: Folder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again when it changes; and who isn't admitted hears whom to ask, once."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("mix.epochs.rotation.FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr("mix.epochs.rotation.LONGEST_PAUSE_S", 0.02)
    authority, down = Authority(403), Authority(0)
    folder.takers = [authority, down]
    rotation = folder.start()
    loop = asyncio.create_task(rotation.hand_in())
    try:
        await until(lambda: len(authority.given) > 1)
        assert caplog.text.count("haven't admitted us yet") == 1
        assert folder.descriptor.node.identity.hex() in caplog.text
        authority.status = 204
        await until(lambda: "is handed in to 1 of 2" in caplog.text)
        rotation.hear(folder.directory(EPOCH))
        assert rotation.is_listed
        await asyncio.sleep(0.05)
        count = len(authority.given)
        folder.now_s += EPOCH_S
        rotation.turn()
        assert not rotation.is_listed
        await until(lambda: len(authority.given) > count)
        assert authority.given[-1] == folder.descriptor.signed
        assert len(down.given) == len(authority.given)
    finally:
        loop.cancel()


def test_somebody_elses_descriptor_is_refused(folder: Folder, tmp_path: Path) -> None:
    """Of another name, or with another identity's key."""
    with pytest.raises(UserError, match="isn't the descriptor of m2"):
        OwnDescriptor(folder.path / "descriptor", folder.path / "identity.key", "m2")
    (folder.path / "identity.key").write_bytes(SigningKey.generate().seed)
    with pytest.raises(UserError, match="isn't the descriptor of m1"):
        OwnDescriptor(folder.path / "descriptor", folder.path / "identity.key", "m1")
    (folder.path / "descriptor").write_bytes(b"x")
    with pytest.raises(UserError, match="no good descriptor"):
        OwnDescriptor(folder.path / "descriptor", folder.path / "identity.key", "m1")

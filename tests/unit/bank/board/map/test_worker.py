"""The map's worker leaves the processor to the rounds while it isn't behind."""

from contextlib import closing
from pathlib import Path

import pytest

from bank.board.log.folder import TileFolder
from bank.board.map import follower as following
from bank.board.map.follower import Follower
from bank.board.map.worker import MOST_REST_S, REST_S, REST_SHARE, Rest
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker


class Clock:
    """The processor's time, spent by hand; ``rests``: how long each rest was."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self.rests: list[float] = []


def test_it_rests_in_proportion_and_never_long() -> None:
    """Small pieces add up to one rest; after a long one it rests no longer than proofs can wait."""
    clock = Clock()
    rest = Rest(lambda: clock.spent_s, clock.rests.append)
    for _ in range(2):
        clock.spent_s += 0.9 * REST_S / REST_SHARE
        rest()
    clock.spent_s += 100
    rest()
    assert clock.rests == [2 * 0.9 * REST_S, MOST_REST_S]


def test_only_a_step_that_is_not_behind_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with many leaves to read goes on at full speed."""
    maker = LogMaker(tmp_path / "log", SigningKey(b"k" * 32))
    for number in range(3):
        maker.close([b"\x02" + number.to_bytes(32)])
    rests: list[None] = []
    size = len(maker.leaves)
    log = TileFolder(tmp_path / "log")
    with closing(Follower(tmp_path / "gentle", log, rest=lambda: rests.append(None))) as gentle:
        gentle.step(size, 0)
    assert rests
    rests.clear()
    monkeypatch.setattr(following, "GENTLE_LEAVES", size - 1)
    with closing(Follower(tmp_path / "quick", log, rest=lambda: rests.append(None))) as quick:
        quick.step(size, 0)
    assert rests == []

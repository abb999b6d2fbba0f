"""Generations with fake parts: one at a time, in order, and never none while an earlier one would do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from mix.directory import Directory
from mix.generations import Generation, Generations
from mix.keys import NodeKeys
from mixmint.errors import FatalError, UserError
from tests.unit.mix.networks import make_network, until

NETWORK = make_network()
NO_KEYS = NodeKeys((), {})


def numbered(sequence: int) -> Directory:
    return msgspec.structs.replace(NETWORK.directory, sequence=sequence)


class Daemon:
    """
    What happened to its parts, in order. ``strange``: directories without a place; ``broken``: don't open.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.strange: set[int] = set()
        self.broken: set[int] = set()
        self.due = False
        self.full = False
        self.failing_stop = False
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.generations = Generations(self.fit, self.parts, self)

    def is_due(self) -> bool:
        return self.due

    def turn(self) -> None:
        self.events.append("turn")
        if self.full:
            raise UserError("no room")
        self.due = False

    def fit(self, directory: Directory) -> Generation:
        if directory.sequence in self.strange:
            raise UserError("no place")
        return Generation(directory, directory.node("m1"), NO_KEYS)

    @asynccontextmanager
    async def parts(self, generation: Generation) -> AsyncIterator[None]:
        number = generation.directory.sequence
        if number in self.broken:
            raise UserError(f"{number} is broken")
        self.events.append(f"open {number}")
        yield
        await self.may_close.wait()
        self.events.append(f"close {number}")
        if self.failing_stop:
            raise FatalError("a loop failed")

    async def hear(self, sequence: int) -> None:
        self.generations.hear(numbered(sequence))
        await self.generations.renew()


async def test_a_newer_directory_opens_a_new_generation_after_the_old_one_is_closed() -> None:
    """And at the end the last one is closed; the same directory again changes nothing."""
    daemon = Daemon()
    async with daemon.generations:
        await daemon.hear(1)
        await daemon.hear(2)
        await daemon.generations.renew()
        assert daemon.generations.now is not None
        assert daemon.generations.now.directory.sequence == 2
    assert daemon.events == ["open 1", "close 1", "open 2", "close 2"]


async def test_keys_turn_while_nothing_runs() -> None:
    """Then the same directory is opened with what there is now; also when a turn fails."""
    daemon = Daemon()
    async with daemon.generations:
        await daemon.hear(1)
        daemon.due = True
        await daemon.generations.renew()
        daemon.due = daemon.full = True
        await daemon.generations.renew()
        # It is due still, and tried again after a while only: a stop each time would be worse.
        await daemon.generations.renew()
    assert daemon.events == ["open 1", "close 1", "turn", "open 1", "close 1", "turn", "open 1", "close 1"]


async def test_who_has_no_place_waits_and_who_lost_his_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Not admitted yet: nothing runs. Removed: the generation before goes on, over turns; it is said once."""
    daemon = Daemon()
    daemon.strange = {1, 3}
    async with daemon.generations:
        await daemon.hear(1)
        assert daemon.events == []
        assert daemon.generations.why_not == "no place"
        await daemon.hear(2)
        assert daemon.generations.why_not == ""
        await daemon.hear(3)
        daemon.due = True
        await daemon.generations.renew()
        assert daemon.generations.now is not None
        assert daemon.generations.now.directory.sequence == 2
        # Its keys have ended.
        daemon.strange.add(2)
        daemon.due = True
        await daemon.generations.renew()
        assert daemon.generations.now is None
    assert daemon.events == ["open 2", "close 2", "turn", "open 2", "close 2", "turn"]
    assert caplog.text.count("directory 3 has no place for us") == 1


async def test_what_does_not_open_is_not_tried_again_and_the_one_before_comes_back() -> None:
    """Each try costs a stop. The next directory is tried."""
    daemon = Daemon()
    daemon.broken = {2}
    async with daemon.generations:
        await daemon.hear(1)
        await daemon.hear(2)
        await daemon.generations.renew()
        assert daemon.generations.why_not == "2 is broken"
        await daemon.hear(3)
        assert daemon.generations.why_not == ""
    assert daemon.events == ["open 1", "close 1", "open 1", "close 1", "open 3", "close 3"]


async def test_a_start_that_fails_is_the_callers() -> None:
    """A port that is taken ends the process, with one line."""
    daemon = Daemon()
    daemon.broken = {1}
    async with daemon.generations:
        with pytest.raises(UserError, match="1 is broken"):
            await daemon.hear(1)


async def test_a_stop_in_the_middle_of_a_renewal_leaves_nothing_open() -> None:
    """What has begun is finished, then closed."""
    daemon = Daemon()
    async with daemon.generations:
        await daemon.hear(1)
        loop = asyncio.create_task(daemon.generations.run(lambda: 60.0))
        daemon.may_close.clear()
        daemon.generations.hear(numbered(2))
        await until(lambda: daemon.generations.now is None)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        daemon.may_close.set()
    assert daemon.events == ["open 1", "close 1", "open 2", "close 2"]
    assert daemon.generations.now is None


async def test_a_generation_that_failed_fails_its_daemon() -> None:
    """Its error isn't lost in a renewal."""
    daemon = Daemon()
    async with daemon.generations:
        await daemon.hear(1)
        daemon.failing_stop = True
        daemon.generations.hear(numbered(2))
        with pytest.raises(FatalError):
            await daemon.generations.run(lambda: 60.0)

"""Authorities as daemons without their sockets, and then with them: from nothing to a directory, and on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from mix.directory import Directory
from mix.directory.agreement.acceptor import AcceptorState
from mix.directory.authority.files import FOLDERS, Files
from mix.directory.authority.peers import HttpPeer
from mix.directory.authority.port import AuthorityPort
from mix.directory.authority.turns import Authority
from mix.directory.belief import News
from mix.directory.fetching import Fetched
from mix.directory.network import Authorities
from mixmint.errors import FatalError, MalformedMessage, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.mix.networks import NOW_S
from tests.unit.mix.test_judging import CASCADES, OPERATORS, PARAMETERS

KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(1, 4)), key=lambda key: key.public)
AUTHORITIES = Authorities(tuple(key.public for key in KEYS), 2)


class LocalPeer:
    """Another authority in this process; ``is_down``: it answers nobody."""

    def __init__(self, name: str, town: "Town", number: int) -> None:
        self.name = name
        self._town = town
        self._number = number

    def _reached(self) -> Authority:
        if self._number in self._town.down:
            raise Unavailable("down")
        return self._town.authorities[self._number]

    async def ask(self, envelope: bytes) -> bytes:
        return self._reached().answer(envelope)

    async def give(self, signed: bytes) -> None:
        self._reached().offer(signed)

    async def fetch(self, sequence: int | None = None) -> Fetched | None:
        files = self._reached().files
        if sequence is not None:
            signed = files.directory(sequence)
            return None if signed is None else Fetched(signed)
        return None if files.newest is None else Fetched(files.newest.signed)


class Town:
    """Three authorities with folders of their own, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = float(NOW_S)
        self.down: set[int] = set()
        for number in range(3):
            for each in FOLDERS:
                (folder / str(number) / each).mkdir(parents=True, exist_ok=True)
        self.authorities = [self.open(number) for number in range(3)]

    def open(self, number: int) -> Authority:
        peers = [LocalPeer(f"a{other}", self, other) for other in range(3) if other != number]
        files = Files(self.folder / str(number), AUTHORITIES)
        return Authority(
            *(KEYS[number], AUTHORITIES, files, PARAMETERS, CASCADES, peers),
            lambda: self.now_s,
        )

    def admit(self, *numbers: int, names: tuple[str, ...] = tuple(OPERATORS)) -> None:
        for number in numbers:
            for name in names:
                self.authorities[number].files.admit(OPERATORS[name].descriptor())

    def turn(self, slot: int) -> bool:
        return asyncio.run(self.authorities[slot % 3].turn(slot))

    def newest(self, number: int) -> Directory:
        newest = self.authorities[number].files.newest
        assert newest is not None
        return newest.directory


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_from_nothing_to_a_directory_and_on(town: Town) -> None:
    """The first is made by turns as any other; then only when something is due, and everybody has it."""
    town.admit(0, 1, 2)
    assert not asyncio.run(town.authorities[1].turn(0))
    assert town.turn(0)
    assert {town.newest(number).sequence for number in range(3)} == {0}
    assert not any(town.turn(slot) for slot in range(3))
    newer = OPERATORS["m1"].descriptor(serial=2, epochs=3)
    assert town.authorities[2].files.hand_in(newer.signed)
    assert not town.authorities[2].files.hand_in(newer.signed)
    assert town.turn(2)
    assert [len(town.newest(number).node("m1").sphinx_keys) for number in range(3)] == [3, 3, 3]
    town.now_s += 15 * 86_400
    assert not town.turn(0)
    assert "makes no directory" in town.authorities[0].why_not


def test_one_that_is_down_is_survived_and_reads_up(town: Town) -> None:
    town.admit(0, 1, 2)
    town.down = {2}
    assert town.turn(0)
    town.authorities[1].files.hand_in(OPERATORS["m1"].descriptor(serial=2, epochs=3).signed)
    assert town.turn(1)
    assert town.authorities[1].unheard == {"a2"}
    assert town.authorities[2].files.newest is None
    town.down = {0, 1}
    town.now_s += 7 * 86_400
    assert not town.turn(2)
    assert "isn't heard" in town.authorities[2].why_not
    town.down = set()
    assert not town.turn(2) or town.newest(2).sequence >= 1
    assert town.newest(2).sequence >= 1
    assert [town.authorities[2].files.directory(number) is not None for number in (0, 1)] == [True, True]


def test_a_threshold_must_admit_and_remove(town: Town) -> None:
    """One authority that admits, or removes, alone changes nothing, and is told why."""
    town.admit(0, 1, 2, names=("m1", "m2", "m3", "g1"))
    assert town.turn(0)
    town.admit(0, names=("m4",))
    assert not town.turn(0)
    assert "m4 isn't admitted" in town.authorities[0].why_not
    town.admit(1, names=("m4",))
    assert town.turn(0)
    assert "m4" in [node.name for node in town.newest(2).nodes]
    # The one that never admitted it goes along, and says in its own turn what it would rather have.
    assert not town.turn(2)
    assert "m4 is missing" in town.authorities[2].why_not
    town.authorities[1].files.remove("m4")
    assert town.turn(1)
    assert "m4" not in [node.name for node in town.newest(0).nodes]
    with pytest.raises(UserError, match="m4 isn't admitted; admitted: g1"):
        town.authorities[1].files.remove("m4")


def test_what_was_said_survives_a_restart(town: Town) -> None:
    """A signature that got lost on its way is the same after a restart; a damaged memory stops it."""
    town.admit(0, 1, 2)
    before = town.authorities[1].files.said()
    assert before == AcceptorState(0)
    assert town.turn(0)
    town.authorities = [town.open(number) for number in range(3)]
    assert town.authorities[1].files.said().signed
    assert town.newest(1).sequence == 0
    assert not any(town.turn(slot) for slot in range(3))
    (town.folder / "1" / "said").write_bytes(b"something else")
    with pytest.raises(FatalError, match="needs a new key"):
        town.open(1).files.said()
    (town.folder / "1" / "chain" / "0").write_bytes(b"something else")
    with pytest.raises(FatalError, match="damaged"):
        town.open(1)


def test_strangers_and_old_directories_change_nothing(town: Town) -> None:
    town.admit(0, 1, 2)
    with pytest.raises(MalformedMessage, match="not-admitted"):
        town.authorities[0].files.hand_in(type(OPERATORS["m1"])("m1").descriptor(serial=9).signed)
    with pytest.raises(MalformedMessage):
        town.authorities[0].answer(b"\xff" * 200)
    assert town.turn(0)
    first = town.authorities[0].files.directory(0)
    assert first is not None
    assert town.authorities[1].offer(first) is News.NOTHING
    with pytest.raises(UserError, match="doesn't name"):
        Authority(
            *(SigningKey.generate(), AUTHORITIES, town.authorities[0].files, PARAMETERS, CASCADES, []),
            lambda: 0.0,
        )
    with pytest.raises(UserError, match="more than half"):
        Authority(
            *(KEYS[0], Authorities(AUTHORITIES.keys, 1), town.authorities[0].files, PARAMETERS, CASCADES, []),
            lambda: 0.0,
        )


@asynccontextmanager
async def served(town: Town) -> AsyncIterator[list[str]]:
    """All three behind real sockets; their URLs."""
    async with AsyncExitStack() as stack:
        urls = []
        for authority in town.authorities:
            runner = web.AppRunner(AuthorityPort(authority, CollectorRegistry(), lambda: None).app())
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        yield urls


async def test_over_http(town: Town) -> None:
    """The same over sockets: agreement, descriptors, directories; and what strangers get."""
    town.admit(0, 1, 2)
    async with served(town) as urls, aiohttp.ClientSession() as session:
        for number, authority in enumerate(town.authorities):
            authority.peers = [HttpPeer(url, session) for other, url in enumerate(urls) if other != number]
        peer = HttpPeer(urls[2], session)
        assert await peer.fetch() is None
        assert await town.authorities[0].turn(0)
        fetched = await peer.fetch()
        assert fetched is not None
        assert fetched.ahead_s is not None
        assert abs(fetched.ahead_s) < 60
        numbered = await peer.fetch(0)
        assert numbered is not None
        assert (numbered.signed, await peer.fetch(7)) == (fetched.signed, None)
        newer = OPERATORS["m1"].descriptor(serial=2, epochs=3).signed
        assert [await peer.hand_in(newer), await peer.hand_in(newer)] == [204, 200]
        assert await peer.hand_in(type(OPERATORS["m1"])("m1").descriptor(serial=9).signed) == 403
        assert await peer.hand_in(b"\xff" * 100) == 400
        assert await peer.hand_in(OPERATORS["m2"].descriptor(serial=9, certificate=bytes(200)).signed) == 400
        assert await peer.hand_in(bytes(20_000)) == 400
        with pytest.raises(Unavailable, match="answers 400"):
            await peer.ask(b"\xff" * 100)
        assert await town.authorities[2].turn(2)
        assert town.newest(0).sequence == 1
        with pytest.raises(Unavailable):
            await HttpPeer("http://127.0.0.1:9", session).fetch()

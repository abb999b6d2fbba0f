"""Following a directory: forward only, by the chain; forks refused and kept; whatever sources do."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from mix.directory import Directory, directory_hash, sign_directory, write_network
from mix.directory.belief import News
from mix.directory.fetching import Fetched
from mix.directory.following import Following, open_following
from mixmint.errors import MalformedMessage, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.mix.networks import NOW_S, make_network

NETWORK = make_network()
AUTHORITY = NETWORK.authority
DAY_S = 86_400


def signed(directory: Directory, authority: SigningKey = AUTHORITY) -> bytes:
    return sign_directory(directory, [authority])


def after(before: bytes, directory: Directory, **changes: object) -> bytes:
    """The signed directory that follows ``before``."""
    changes = {"sequence": directory.sequence + 1, "previous": directory_hash(before), **changes}
    return signed(msgspec.structs.replace(directory, **changes))


FIRST = signed(NETWORK.directory)
CHAIN = [FIRST]
for _ in range(4):
    CHAIN.append(after(CHAIN[-1], msgspec.structs.replace(NETWORK.directory, sequence=len(CHAIN) - 1)))
FORK = after(FIRST, NETWORK.directory, tick_ms=51)


class FakeSource:
    """A source with these directories; ``newest`` is what it hands out."""

    def __init__(self, directories: list[bytes], ahead_s: float | None = None) -> None:
        self.name = f"source {id(self)}"
        self.directories = directories
        self.ahead_s = ahead_s
        self.is_down = False
        self.hidden: set[int] = set()

    async def fetch(self, sequence: int | None = None) -> Fetched | None:
        if self.is_down:
            raise Unavailable("down")
        if sequence is None:
            return Fetched(self.directories[-1], self.ahead_s)
        if sequence in self.hidden or sequence >= len(self.directories):
            return None
        return Fetched(self.directories[sequence])


class Clock:
    def __init__(self) -> None:
        self.now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


def opened(folder: Path, *sources: FakeSource, file: bytes = FIRST, clock: Clock | None = None) -> Following:
    (folder / "directory").write_bytes(file)
    if not (folder / "network.toml").exists():
        write_network(folder / "network.toml", folder / "directory", (AUTHORITY.public,), 1)
        urls = ", ".join(f'"http://s{number}"' for number in range(len(sources)))
        with (folder / "network.toml").open("a") as settings:
            settings.write(f"sources = [{urls}]\n")
    given = {f"http://s{number}": source for number, source in enumerate(sources)}
    return open_following(folder / "network.toml", folder / "kept", clock or Clock(), given.__getitem__)


def test_it_goes_forward_by_the_chain_and_tells(tmp_path: Path) -> None:
    """A source that is three ahead is walked up to; a listener hears of each; the copy is the newest."""
    following = opened(tmp_path, FakeSource(CHAIN[:4]))
    heard: list[int] = []
    following.subscribe(lambda directory: heard.append(directory.sequence))
    assert asyncio.run(following.look())
    assert (following.directory.sequence, heard) == (3, [1, 2, 3])
    assert (tmp_path / "kept").read_bytes() == CHAIN[3]
    assert not asyncio.run(following.look())


def test_a_restart_never_goes_back(tmp_path: Path) -> None:
    """Neither the older file nor an older source changes what was believed before the restart."""
    asyncio.run(opened(tmp_path, FakeSource(CHAIN[:3])).look())
    again = opened(tmp_path, FakeSource(CHAIN[:2]))
    assert again.directory.sequence == 2
    asyncio.run(again.look())
    assert again.directory.sequence == 2


def test_a_fork_is_refused_and_kept_as_proof(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two directories of one number the first one seen stays; also at a restart with the other as file."""
    source = FakeSource(CHAIN[:2])
    following = opened(tmp_path, source)
    asyncio.run(following.look())
    source.directories = [FIRST, FORK]
    with caplog.at_level(logging.ERROR, "mix.directory"):
        asyncio.run(following.look())
    assert following.signed == CHAIN[1]
    assert following.forks == 1
    assert "contradict" in caplog.text
    assert (tmp_path / "kept-fork-1-ours").read_bytes() == CHAIN[1]
    assert (tmp_path / "kept-fork-1-other").read_bytes() == FORK
    again = opened(tmp_path, source, file=FORK)
    assert (again.signed, again.forks) == (CHAIN[1], 1)


def test_the_next_one_must_name_ours(tmp_path: Path) -> None:
    """A directory of the next number that follows another one is a fork, too."""
    following = opened(tmp_path)
    stray = signed(msgspec.structs.replace(NETWORK.directory, sequence=1, previous=bytes([1]) * 32))
    assert following.offer(stray) is News.FORKED
    assert following.directory.sequence == 0


def test_a_gap_is_believed_only_when_ours_has_expired(tmp_path: Path) -> None:
    """Authorities that hide what is between can't lead a reader onto a branch while his own is good."""
    clock = Clock()
    source = FakeSource(CHAIN)
    source.hidden = {2}
    following = opened(tmp_path, source, clock=clock)
    asyncio.run(following.look())
    assert following.directory.sequence == 1
    clock.now_s = NETWORK.directory.valid_until_s + 1
    asyncio.run(following.look())
    assert following.directory.sequence == 4


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """What an operator puts there counts, also when it skips some; what isn't good changes nothing."""
    following = opened(tmp_path)
    (tmp_path / "directory").write_bytes(CHAIN[3])
    assert asyncio.run(following.look())
    assert following.directory.sequence == 3
    (tmp_path / "directory").write_bytes(b"nonsense that is no directory")
    assert not asyncio.run(following.look())
    (tmp_path / "directory").write_bytes(CHAIN[4])
    assert asyncio.run(following.look())


def test_bad_sources_change_nothing(tmp_path: Path) -> None:
    """Down, nonsense, strangers' signatures, another network: the good one among them is found."""
    down, nonsense = FakeSource(CHAIN), FakeSource([b"\xff" * 100])
    down.is_down = True
    stranger = FakeSource([signed(NETWORK.directory, SigningKey.generate())])
    foreign = FakeSource([after(FIRST, NETWORK.directory, network="other")])
    following = opened(tmp_path, down, nonsense, stranger, foreign)
    assert not asyncio.run(following.look())
    with pytest.raises(MalformedMessage, match="network"):
        following.offer(foreign.directories[0])
    down.is_down = False
    assert asyncio.run(following.look())
    assert following.directory.sequence == 4


def test_a_wrong_clock_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The median of the sources' clocks: one that lies alone changes nothing."""
    sources = [FakeSource([FIRST], ahead_s) for ahead_s in (3_600.0, 3_590.0, -90_000.0)]
    following = opened(tmp_path, *sources)
    with caplog.at_level(logging.WARNING, "mix.directory"):
        asyncio.run(following.look())
    assert following.clock_ahead_s == 3_590.0
    assert "clock is 3590 s ahead" in caplog.text
    for source in sources[:2]:
        source.ahead_s = 2.0
    asyncio.run(following.look())
    assert following.clock_ahead_s == 0


def test_an_expired_one_goes_on_through_its_grace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning at each look, and not at a start after it."""
    clock = Clock()
    following = opened(tmp_path, clock=clock)
    clock.now_s = NETWORK.directory.valid_until_s + DAY_S
    with caplog.at_level(logging.WARNING, "mix.directory"):
        asyncio.run(following.look())
    assert "has expired" in caplog.text
    assert following.directory.sequence == 0
    clock.now_s += NETWORK.directory.grace_s
    with pytest.raises(UserError, match="expired"):
        opened(tmp_path, clock=clock)


def test_a_full_disk_doesnt_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer one is used although it can't be kept."""
    following = opened(tmp_path, FakeSource(CHAIN[:2]))

    def full(path: Path, data: bytes) -> None:
        raise UserError(f"can't write {path}: No space left on device")

    monkeypatch.setattr("mix.directory.following.write_whole", full)
    assert asyncio.run(following.look())
    assert following.directory.sequence == 1
    assert (tmp_path / "kept").read_bytes() == FIRST

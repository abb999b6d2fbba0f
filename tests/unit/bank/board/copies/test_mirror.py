"""Copies that can be trusted, whatever the source does and wherever they are killed."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bank.board.copies.mirror import Mirror, edge_of_full, partial_files
from bank.board.log.folder import TileFolder
from bank.board.log.note import KeyKind, VerifierKey, cosign_text
from bank.board.log.policy import NO_POLICY, Policy, parse_policy
from bank.board.log.reader import LogReader
from bank.board.log.source import CHECKPOINT, FolderSource, HttpSource
from bank.board.log.tiles import Edge, new_tiles
from bank.board.reading.client import BoardReader, Cursor
from bank.board.reading.fork import ForkedLog
from bank.board.rounds import leaves_of
from bank.formats.entry import AccountEntry
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S, LogMaker
from tests.unit.bank.board.webserver import WebServer

KEY = SigningKey(b"k" * 32)


def account(number: int) -> bytes:
    return AccountEntry(number.to_bytes(32)).encode()


def grow(maker: LogMaker, rounds: int, entries: int = 9) -> None:
    """Several rounds at once, then a checkpoint."""
    leaves: list[bytes] = []
    size = maker.edge.size
    for _ in range(rounds):
        maker.round += 1
        first = size + len(leaves)
        made = [account(first + each) for each in range(entries)]
        leaves += leaves_of(maker.round, BEGIN_S + maker.round, first, made)
    maker.append(leaves)
    maker.publish()


@pytest.fixture
def maker(tmp_path: Path) -> LogMaker:
    return LogMaker(tmp_path / "log", KEY)


@pytest.fixture
async def server(maker: LogMaker) -> AsyncIterator[WebServer]:
    async with WebServer(maker.folder.path) as running:
        yield running


@pytest.fixture
def copy(tmp_path: Path) -> TileFolder:
    return TileFolder(tmp_path / "copy")


def mirror_of(
    maker: LogMaker, copy: TileFolder, server: WebServer | None = None, policy: Policy = NO_POLICY
) -> Mirror:
    source = HttpSource(server.url, server.session) if server else FolderSource(maker.folder.path)
    return Mirror(LogReader(source, maker.verifier, policy), copy)


def files(folder: TileFolder) -> dict[str, bytes]:
    found = {path for path in folder.path.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in found}


def expected(maker: LogMaker, shown: int = 0) -> dict[str, bytes]:
    """What a copy made at once has: the log's own files, without partial ones of sizes in between."""
    wanted = [tile.path() for tile in new_tiles(shown, maker.edge.size)]
    return {path: maker.folder.read(path) for path in [CHECKPOINT, *wanted]}


@pytest.mark.parametrize("rounds", [1, 25, 26, 52, 410, 7000])
async def test_a_copy_is_the_same_files(maker, server, copy, rounds: int) -> None:
    """Whether bundles are full or not, over the web from a server that knows nothing."""
    grow(maker, rounds)
    copied = await mirror_of(maker, copy, server).copy()
    assert (copied.before, copied.size, copied.root) == (0, maker.edge.size, maker.edge.root())
    assert files(copy) == expected(maker)


async def test_a_copy_serves_readers_like_the_board_itself(maker, copy) -> None:
    """What it writes can be served by any web server."""
    grow(maker, 60)
    await mirror_of(maker, copy).copy()
    reader = BoardReader(LogReader(FolderSource(copy.path), maker.verifier))
    rounds = await reader.rounds(Cursor())
    assert rounds[-1].after.frontier == maker.edge.frontier()
    assert await reader.head() == rounds[-1].after


async def test_a_copy_follows_a_growing_log(maker, server, copy) -> None:
    """By one mirror or by a new one each time; only what is new is fetched."""
    mirror = mirror_of(maker, copy, server)
    for step in range(12):
        before = maker.edge.size
        grow(maker, 1 + 7 * step)
        server.asked.clear()
        copied = await (mirror if step % 3 else mirror_of(maker, copy, server)).copy()
        assert (copied.before, copied.size) == (before, maker.edge.size)
        bundles = [path for path in server.asked if "entries" in path]
        assert len(bundles) == maker.edge.size // 256 - before // 256 + (maker.edge.size % 256 > 0)
    maker.folder.clean(0, maker.edge.size)
    shown = files(copy)
    assert all(shown[path] == data for path, data in expected(maker).items())
    # Partial tiles whose full ones are there are gone.
    assert not any((copy.path / path.partition(".p")[0]).exists() for path in shown if ".p/" in path)


async def test_nothing_new_is_nothing_done(maker, server, copy) -> None:
    """One small request; but cosignatures that came late are taken over."""
    grow(maker, 30)
    await mirror_of(maker, copy).copy()
    before = files(copy)
    copied = await mirror_of(maker, copy, server).copy()
    assert copied.before == copied.size == maker.edge.size
    assert server.asked == [CHECKPOINT]
    assert files(copy) == before
    note = maker.sign()
    maker.folder.publish(note.plus([cosign_text(SigningKey(b"w" * 32), "w1", note.text, BEGIN_S)]))
    await mirror_of(maker, copy, server).copy()
    assert copy.checkpoint() == maker.folder.checkpoint()
    maker.publish()
    await mirror_of(maker, copy, server).copy()
    assert len(copy.checkpoint().signatures) == 2


async def test_a_policy_may_be_raised_between_two_copies(maker, copy) -> None:
    """What was copied without witnesses grows into what they cosigned, and into nothing else."""
    grow(maker, 30)
    await mirror_of(maker, copy).copy()
    witness = SigningKey(b"w" * 32)
    key = VerifierKey("w1", witness.public, KeyKind.WITNESS)
    policy = parse_policy(f"log {maker.verifier.text()}\nwitness w1 {key.text()}\nquorum w1\n")
    grow(maker, 5)
    with pytest.raises(Unavailable, match="0 of 1 witnesses"):
        await mirror_of(maker, copy, policy=policy).copy()
    note = maker.sign()
    maker.folder.publish(note.plus([cosign_text(witness, "w1", note.text, BEGIN_S)]))
    copied = await mirror_of(maker, copy, policy=policy).copy()
    assert copied.before < copied.size == maker.edge.size
    assert copy.checkpoint() == maker.folder.checkpoint()


class Killed(BaseException):
    """The process ends here, as a kill -9 would end it."""


class Mortal(TileFolder):
    """A folder whose writer dies after some writes, in the middle of a file if it must be."""

    def __init__(self, path: Path, lives: Iterator[bool]) -> None:
        super().__init__(path)
        self._lives = lives

    def write(self, files: object) -> None:
        for file in list(files):
            if not next(self._lives):
                half = self.path / (file.tile.path() + ".new")
                half.parent.mkdir(parents=True, exist_ok=True)
                half.write_bytes(file.data[: len(file.data) // 2])
                raise Killed
            super().write([file])

    def put(self, name: str, data: bytes) -> None:
        if not next(self._lives):
            raise Killed
        super().put(name, data)
        if not next(self._lives):
            raise Killed


@pytest.mark.parametrize("life", [5, 6, 7, 8, 13, 40, 55, 80])
async def test_a_copy_killed_anywhere_is_resumed(maker, tmp_path, monkeypatch, life: int) -> None:
    """Whatever stands there then is a whole log, or none; and every attempt gets further."""
    monkeypatch.setattr("bank.board.copies.mirror._CHUNKS_A_MARK", 1)
    monkeypatch.setattr("bank.board.copies.mirror._AT_ONCE", 2)
    copy = TileFolder(tmp_path / "copy")
    grow(maker, 200)
    await mirror_of(maker, copy).copy()
    old = maker.edge.size
    grow(maker, 700)
    for attempt in range(100):
        lives = iter([*[True] * (life + attempt % 3), *[False] * 9])
        try:
            await mirror_of(maker, Mortal(copy.path, lives)).copy()
            break
        except Killed:
            shown = LogReader(FolderSource(copy.path), maker.verifier)
            size = (await shown.checkpoint()).checkpoint.size
            assert size in (old, maker.edge.size)
            assert (await BoardReader(shown).head()).index == size
    else:
        pytest.fail("it never came to an end")
    assert all(files(copy)[path] == data for path, data in expected(maker).items())
    assert not (copy.path / ".copying").exists()


async def test_what_was_copied_before_a_kill_is_not_fetched_again(maker, server, copy, monkeypatch) -> None:
    """Behind the full tiles that were proved."""
    monkeypatch.setattr("bank.board.copies.mirror._CHUNKS_A_MARK", 1)
    grow(maker, 1000)
    server.bends["tile/entries/030"] = 503
    with pytest.raises(Unavailable):
        await mirror_of(maker, copy, server).copy()
    assert copy.checkpoint() is None
    server.asked.clear()
    server.bends.clear()
    await mirror_of(maker, copy, server).copy()
    assert "tile/entries/023" not in server.asked
    assert "tile/entries/024" in server.asked
    assert files(copy) == expected(maker)


@pytest.mark.parametrize("torn", ["tile/0/007", "tile/0/016", ".copying"])
async def test_a_torn_file_is_never_built_upon(maker, server, copy, monkeypatch, torn: str) -> None:
    """What the mark vouches for is checked; without it the copy begins again."""
    monkeypatch.setattr("bank.board.copies.mirror._CHUNKS_A_MARK", 1)
    grow(maker, 1000)
    server.bends["tile/entries/030"] = 503
    with pytest.raises(Unavailable):
        await mirror_of(maker, copy, server).copy()
    path = copy.path / torn
    path.write_bytes(path.read_bytes()[:-7])
    server.bends.clear()
    server.asked.clear()
    await mirror_of(maker, copy, server).copy()
    assert "tile/entries/000" in server.asked
    assert files(copy) == expected(maker)


async def test_a_fork_is_refused_and_the_copy_stays(maker, copy, tmp_path) -> None:
    """Both signatures are in the error; what was copied before is still served."""
    grow(maker, 100)
    await mirror_of(maker, copy).copy()
    before = files(copy)
    for rounds in (100, 300):
        other = LogMaker(tmp_path / str(rounds), KEY)
        grow(other, rounds, entries=8)
        grow(other, rounds)
        with pytest.raises(ForkedLog) as caught:
            await mirror_of(other, copy).copy()
        assert caught.value.fork.holds(maker.verifier)
        assert files(copy) == before


async def test_a_fork_during_a_copy_is_told_too(maker, server, copy, tmp_path, monkeypatch) -> None:
    """What was seen before the kill counts."""
    monkeypatch.setattr("bank.board.copies.mirror._CHUNKS_A_MARK", 1)
    grow(maker, 1000)
    server.bends["tile/entries/030"] = 503
    with pytest.raises(Unavailable):
        await mirror_of(maker, copy, server).copy()
    other = LogMaker(tmp_path / "other", KEY)
    grow(other, 1001, entries=10)
    with pytest.raises(ForkedLog):
        await mirror_of(other, copy).copy()


async def test_a_source_that_lags_is_waited_for(maker, copy) -> None:
    """An older checkpoint is never taken over."""
    grow(maker, 5)
    old = maker.folder.checkpoint()
    grow(maker, 5)
    await mirror_of(maker, copy).copy()
    maker.folder.publish(old)
    with pytest.raises(Unavailable, match="older state"):
        await mirror_of(maker, copy).copy()
    assert copy.checkpoint() == maker.sign()


def _changed(data: bytes) -> bytes:
    at = min(len(data) - 1, 300)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


LIES: dict[str, tuple[str, Callable[[bytes], bytes | None], type[Exception]]] = {
    "an entry changed": ("tile/entries/001", _changed, PeerError),
    "a bundle missing": ("tile/entries/001", lambda _: None, PeerError),
    "a bundle cut": ("tile/entries/001", lambda data: data[:-1], MalformedMessage),
    "the last entries changed": ("tile/entries/011.p/184", _changed, PeerError),
    "false hashes": ("tile/1/000.p/11", _changed, PeerError),
    "a false checkpoint": (CHECKPOINT, _changed, PeerError),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_source_is_refused(maker, server, copy, monkeypatch, lie: str) -> None:
    """No checkpoint is written over anything that it doesn't prove."""
    monkeypatch.setattr("bank.board.copies.mirror._AT_ONCE", 4)
    grow(maker, 300)
    path, change, kind = LIES[lie]
    server.bends[path] = change((maker.folder.path / path).read_bytes())
    with pytest.raises(kind):
        await mirror_of(maker, copy, server).copy()
    assert copy.checkpoint() is None
    server.bends.clear()
    await mirror_of(maker, copy, server).copy()
    assert files(copy) == expected(maker)


async def test_a_folder_holds_one_log(maker, copy, tmp_path) -> None:
    """Another board's log doesn't overwrite it, nor does anything build on a damaged one."""
    grow(maker, 30)
    await mirror_of(maker, copy).copy()
    other = LogMaker(tmp_path / "other", SigningKey(b"x" * 32))
    grow(other, 50)
    with pytest.raises(UserError, match="holds one log"):
        await mirror_of(other, copy).copy()
    (copy.path / "tile/0/001.p/44").write_bytes(bytes(32 * 44))
    grow(maker, 5)
    with pytest.raises(UserError, match="board verify"):
        await mirror_of(maker, copy).copy()
    (copy.path / CHECKPOINT).write_bytes(b"no note")
    with pytest.raises(UserError, match="damaged"):
        await mirror_of(maker, copy).copy()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 65_536, 65_792, 70_000])
def test_an_edge_is_known_from_the_tiles_that_it_makes(tmp_path, size: int) -> None:
    """From full tiles alone where the size allows it; and the partial ones are the edge's own."""
    folder = TileFolder(tmp_path)
    edge, made = Edge().grow([number.to_bytes(4) for number in range(size)])
    narrow = {file for file in made if not file.tile.full}
    assert set(partial_files(edge)) == narrow
    for file in made:
        if file.tile.full and file.tile.level >= 0:
            path = folder.path / file.tile.path()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
    if size % 256 == 0:
        assert edge_of_full(folder, size) == edge
    else:
        with pytest.raises(MalformedMessage):
            edge_of_full(folder, size)

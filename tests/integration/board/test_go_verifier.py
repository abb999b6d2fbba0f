"""The log, verified over HTTP by code that isn't ours: Go's own tlog and note packages."""

import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from bank.board.feed import Batch
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tiles import Edge
from bank.formats.entry import AccountEntry
from mixmint.keys import SigningKey
from tests.integration.board.conftest import KEY as BOARD_KEY
from tests.integration.board.conftest import BoardProcess, Clients
from tests.integration.board.go_verifier import NoGo, Verifier, build
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN, flip, grow, published
from tests.vectors.make_log import chain

VKEY = LOG.text()


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    """Built once, where programs may run; the compiler's cache is kept, so that the next run is quick."""
    cache = Path.home() / ".cache" / "mixmint-tests"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        try:
            made = build(Path(folder), cache / "go")
        except NoGo as error:
            pytest.fail(str(error))
        yield made


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A web server that knows nothing of logs, over the test's folder."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        file = tmp_path / request.path.lstrip("/")
        return web.FileResponse(file) if file.is_file() else web.Response(status=404)

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 70_000])
async def test_go_verifies_logs_of_every_shape(
    verifier: Verifier, tmp_path: Path, url: str, size: int
) -> None:
    """Checkpoint, all tiles, all entries, proofs of inclusion."""
    folder, _ = published(tmp_path, size)
    verdict = await verifier.run(url, VKEY)
    assert (verdict.code, verdict.complaint) == (0, "")
    assert verdict.checkpoint == folder.read("checkpoint")


async def test_go_verifies_growth(verifier: Verifier, tmp_path: Path, url: str) -> None:
    """From every older checkpoint, while the partial tiles of old go."""
    folder, edge = TileFolder(tmp_path), Edge()
    seen: list[Path] = []
    for size in (0, 1, 3, 200, 256, 300, 1000):
        before = edge.size
        edge = grow(folder, edge, chain(size)[before:])
        folder.clean(before, size)
        verdict = await verifier.run(url, VKEY, *seen[-1:])
        assert (verdict.code, verdict.complaint) == (0, "")
        seen.append(tmp_path / f"seen-{size}")
        seen[-1].write_bytes(verdict.checkpoint)
    for old in seen:
        assert (await verifier.run(url, VKEY, old)).code == 0


async def refused(verifier: Verifier, url: str, *old: Path, key: str = VKEY) -> str:
    verdict = await verifier.run(url, key, *old)
    assert verdict.code == 1
    assert verdict.checkpoint == b""
    return verdict.complaint


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("tile/0/000", 0),
        ("tile/0/000", 8191),
        ("tile/0/002.p/88", 0),
        ("tile/1/000.p/2", 33),
    ],
)
async def test_a_corrupted_hash_tile_is_found(
    verifier: Verifier, tmp_path: Path, url: str, path: str, at: int
) -> None:
    """Any bit of any tile. (Which words are Go's, older ones' differ.)"""
    published(tmp_path, 600)
    assert (await verifier.run(url, VKEY)).code == 0
    flip(tmp_path / path, at)
    assert re.search(r"inconsistent tile|is not what the", await refused(verifier, url))


async def test_a_corrupted_entry_is_found(verifier: Verifier, tmp_path: Path, url: str) -> None:
    """And named; also one that is missing at the end."""
    published(tmp_path, 600)
    flip(tmp_path / "tile/entries/001", at=34 * 7 + 2)
    assert "entry 263 is not what the tree says" in await refused(verifier, url)
    flip(tmp_path / "tile/entries/001", at=34 * 7 + 2)
    last = tmp_path / "tile/entries/002.p/88"
    last.write_bytes(last.read_bytes()[:-34])
    assert "has 87 whole entries instead of 88" in await refused(verifier, url)
    last.unlink()
    assert "not found" in await refused(verifier, url)


async def test_a_false_checkpoint_is_found(verifier: Verifier, tmp_path: Path, url: str) -> None:
    """A changed one, a stranger's, and one of a tree that the tiles don't lead to."""
    folder, edge = published(tmp_path, 600)
    stranger = SigningKey(bytes(32))
    folder.publish(sign_checkpoint(stranger, Checkpoint(ORIGIN, 600, edge.root())))
    assert "checkpoint" in await refused(verifier, url)
    folder.publish(sign_checkpoint(KEY, Checkpoint(ORIGIN, 600, bytes(32))))
    assert "inconsistent tile" in await refused(verifier, url)
    folder.publish(sign_checkpoint(KEY, Checkpoint(ORIGIN, 600, edge.root())))
    flip(tmp_path / "checkpoint", at=len(ORIGIN) + 2)
    assert "checkpoint" in await refused(verifier, url)


async def test_a_forked_and_a_shrunk_log_are_found(verifier: Verifier, tmp_path: Path, url: str) -> None:
    """Each is consistent by itself; only the older checkpoint convicts it."""
    folder, _ = published(tmp_path, 300)
    old = tmp_path / "old"
    old.write_bytes(folder.read("checkpoint") or b"")
    forked = [b"another past", *chain(500)[1:]]
    grow(folder, Edge(), forked)
    assert (await verifier.run(url, VKEY)).code == 0
    assert "growth from 300 to 500 entries" in await refused(verifier, url, old)
    published(tmp_path, 200)
    assert "the log shrank from 300 to 200 entries" in await refused(verifier, url, old)


async def test_go_verifies_a_live_board(
    verifier: Verifier, make_board: Callable[..., BoardProcess], clients: Clients, tmp_path: Path
) -> None:
    """Over HTTP, while rounds close: whatever checkpoint it finds, and growth from the one before."""
    board = make_board(round_ms=20, round_entries=300)
    board.start()
    key = VerifierKey(board.url.removeprefix("http://"), BOARD_KEY.public).text()
    feed, old, number = clients.feed(board), [], 1
    for count in (1, 3, 150, 700):
        groups = [[AccountEntry(each.to_bytes(32)).encode()] for each in range(number, number + count)]
        receipt = await feed.feed(Batch(number, groups))
        number = receipt.next_group
        await clients.until_round(board, receipt.round)
        verdict = await verifier.run(board.url, key, *old)
        assert (verdict.code, verdict.complaint) == (0, "")
        old = [tmp_path / "seen"]
        old[0].write_bytes(verdict.checkpoint)
    assert Checkpoint.parse(Note.decode(verdict.checkpoint).text).size > 854
    board.stop()
    # What was damaged while it stood still is noticed by whoever verifies it, if not at its start.
    flip(board.folder / "log" / "tile/0/000", at=320)
    board.start()
    damaged = await verifier.run(board.url, key, *old)
    assert damaged.code == 1
    assert re.search(r"inconsistent tile|is not what the", damaged.complaint)

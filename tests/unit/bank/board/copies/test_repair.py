"""Every bad file is named, and put right from another copy; no other is touched."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bank.board.copies.repair import Damage, Examination
from bank.board.log.checkpoint import Checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.source import FolderSource, TileSource
from bank.board.log.tiles import Edge, tiles_of

SIZES = [1, 255, 256, 257, 700, 66_300]
LARGE = 66_300
"""259 bundles, the last of 252 entries; two levels of full tiles, three of partial ones."""


def leaf(number: int) -> bytes:
    return b"leaf" + number.to_bytes(8)


def make(path: Path, size: int) -> tuple[TileFolder, Checkpoint]:
    """A log, without the price of making each file durable."""
    edge, files = Edge().grow([leaf(number) for number in range(size)])
    for file in files:
        target = path / file.tile.path()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
    return TileFolder(path), Checkpoint("board.example.org", size, edge.root())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[TileFolder, Checkpoint]:
    return make(tmp_path_factory.mktemp("large"), LARGE)


@pytest.fixture
def folder(large: tuple[TileFolder, Checkpoint], tmp_path: Path) -> TileFolder:
    """A copy of the large log, to be damaged."""
    shutil.copytree(large[0].path, tmp_path / "log", copy_function=os.link)
    return TileFolder(tmp_path / "log")


def put(folder: TileFolder, path: str, data: bytes | None) -> None:
    """Instead of a file, which other copies share: these bytes, or nothing."""
    (folder.path / path).unlink(missing_ok=True)
    if data is not None:
        (folder.path / path).write_bytes(data)


async def examine(
    folder: TileFolder, checkpoint: Checkpoint, source: TileSource | None = None
) -> list[Damage]:
    return [damage async for damage in Examination(folder, checkpoint, source).damages()]


def contents(folder: TileFolder) -> dict[Path, tuple[bytes, int]]:
    """Every file with its bytes and when it was written."""
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    return {path.relative_to(folder.path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("size", [0, *SIZES])
async def test_a_whole_copy_has_no_damage(tmp_path, size: int) -> None:
    """Of any size; a repair of it writes nothing."""
    folder, checkpoint = make(tmp_path / "log", size)
    before = contents(folder)
    assert await examine(folder, checkpoint) == []
    assert await examine(folder, checkpoint, FolderSource(tmp_path / "nowhere")) == []
    assert contents(folder) == before


def flip(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


CHANGES: dict[str, Callable[[bytes], bytes | None]] = {
    "a flipped bit": flip,
    "missing": lambda _: None,
    "truncated": lambda data: data[: len(data) // 2],
    "cut at a hash": lambda data: data[:-32],
    "empty": lambda _: b"",
    "longer": lambda data: data + data[:32],
    "another log's": lambda data: bytes(len(data)),
}
KINDS = [
    "tile/entries/000",
    "tile/entries/258.p/252",
    "tile/0/000",
    "tile/0/255",
    "tile/0/257",
    "tile/0/258.p/252",
    "tile/1/000",
    "tile/1/001.p/2",
    "tile/2/000.p/1",
]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        *[(path, change) for path in KINDS for change in ("a flipped bit", "missing", "truncated")],
        *[(path, change) for path in KINDS[:1] + KINDS[5:7] for change in list(CHANGES)[3:]],
    ],
)
async def test_one_bad_file_is_named_and_repaired(large, folder, path: str, change: str) -> None:
    """Whatever happened to it; nothing else is touched."""
    good, checkpoint = large
    before = contents(folder)
    bad = CHANGES[change]((folder.path / path).read_bytes())
    put(folder, path, bad)
    (found,) = await examine(folder, checkpoint)
    assert (found.path, found.is_missing, found.is_repaired) == (path, bad is None, False)
    (found,) = await examine(folder, checkpoint, FolderSource(good.path))
    assert found.text() == f"{path} was {'missing' if bad is None else 'damaged'}, and is repaired"
    assert await examine(folder, checkpoint) == []
    after = contents(folder)
    assert {name for name in after if after[name] != before[name]} == {Path(path)}
    assert after[Path(path)][0] == before[Path(path)][0]


async def test_many_bad_files_are_repaired_at_once(large, folder) -> None:
    """Parents and children together, so that nothing can be made again from below."""
    good, checkpoint = large
    bad = [
        "tile/2/000.p/1",
        "tile/1/000",
        "tile/1/001.p/2",
        "tile/0/000",
        "tile/0/017",
        "tile/0/258.p/252",
        "tile/entries/000",
        "tile/entries/200",
        "tile/entries/258.p/252",
    ]
    for path in bad:
        put(folder, path, flip((folder.path / path).read_bytes()))
    named = await examine(folder, checkpoint)
    assert {each.path for each in named} <= set(bad)
    assert any(each.below for each in named)
    repaired = await examine(folder, checkpoint, FolderSource(good.path))
    assert {each.path for each in repaired} == set(bad)
    assert all(each.is_repaired for each in repaired)
    assert await examine(folder, checkpoint) == []


async def test_all_is_repaired_when_nothing_is_left(large, tmp_path) -> None:
    """Then a repair is a copy."""
    good, checkpoint = large
    folder = TileFolder(tmp_path / "log")
    named = await examine(folder, checkpoint, FolderSource(good.path))
    assert {each.path for each in named} == {tile.path() for tile in tiles_of(LARGE)}
    assert await examine(folder, checkpoint) == []


async def test_hashes_are_made_again_without_another_copy(large, folder, tmp_path) -> None:
    """They follow from the entries; only entries must come from elsewhere."""
    _, checkpoint = large
    for path in ("tile/0/003", "tile/1/001.p/2", "tile/0/258.p/252"):
        (folder.path / path).unlink()
    found = await examine(folder, checkpoint, FolderSource(tmp_path / "nothing"))
    assert all(each.is_repaired for each in found)
    assert len(found) == 3
    (folder.path / "tile/entries/100").unlink()
    (lost,) = await examine(folder, checkpoint, FolderSource(tmp_path / "nothing"))
    assert lost.text() == "tile/entries/100 is missing"


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/0/000", "tile/1/000", "tile/2/000.p/1"])
async def test_a_bad_source_repairs_nothing(large, folder, tmp_path, path: str) -> None:
    """What it gives counts only when the root vouches for it; what is there is never made worse."""
    good, checkpoint = large
    shutil.copytree(good.path, tmp_path / "bad", copy_function=os.link)
    put(TileFolder(tmp_path / "bad"), path, bytes(len((good.path / path).read_bytes())))
    broken = flip((folder.path / path).read_bytes())
    put(folder, path, broken)
    if not path.startswith("tile/entries"):
        # Else it would be made again from below.
        below = "tile/entries/000" if path == "tile/0/000" else "tile/0/007"
        put(folder, below, b"")
        if path == "tile/2/000.p/1":
            put(folder, "tile/1/000", b"")
    found = await examine(folder, checkpoint, FolderSource(tmp_path / "bad"))
    assert path in {each.path for each in found if not each.is_repaired}
    assert (folder.path / path).read_bytes() == broken


async def test_a_larger_source_serves_as_well(folder, large, tmp_path) -> None:
    """A mirror that has gone on since: narrower tiles are cut from its wider ones, full or not."""
    _, checkpoint = large
    newer, _ = make(tmp_path / "newer", LARGE + 300)
    bad = [path for path in KINDS if "258" in path or "257" in path or "001.p" in path]
    for path in bad:
        put(folder, path, None)
    source = FolderSource(newer.path)
    examination = Examination(folder, checkpoint, source, source_size=LARGE + 300)
    assert {each.path async for each in examination.damages() if each.is_repaired} == set(bad)
    assert await examine(folder, checkpoint) == []


async def test_partial_tiles_of_smaller_sizes_are_examined_too(tmp_path) -> None:
    """Readers of an older checkpoint are served from them."""
    small, _ = make(tmp_path / "log", 300)
    folder, checkpoint = make(tmp_path / "log", 400)
    assert await examine(folder, checkpoint) == []
    for path in ("tile/0/001.p/44", "tile/entries/001.p/44"):
        (folder.path / path).write_bytes(flip((small.path / path).read_bytes()))
    assert {each.path for each in await examine(folder, checkpoint)} == {
        "tile/0/001.p/44",
        "tile/entries/001.p/44",
    }
    await examine(folder, checkpoint, FolderSource(tmp_path / "nothing"))
    assert await examine(folder, checkpoint) == []


async def test_files_of_sizes_that_were_never_published_are_left_alone(tmp_path) -> None:
    """A board was killed between its tiles and its checkpoint; stray files are nobody's business either."""
    folder, _ = make(tmp_path / "log", 400)
    _, checkpoint = make(tmp_path / "other", 300)
    shutil.copytree(tmp_path / "other" / "tile", folder.path / "tile", dirs_exist_ok=True)
    (folder.path / "tile/0/001.p/144").write_bytes(b"half")
    (folder.path / "tile/0/001.p/007").write_bytes(b"stray")
    (folder.path / "tile/0/001.p/x").write_bytes(b"stray")
    before = contents(folder)
    assert await examine(folder, checkpoint, FolderSource(tmp_path / "nothing")) == []
    assert contents(folder) == before


async def test_progress_is_told(large) -> None:
    """Entry by entry, up to all of them."""
    good, checkpoint = large
    told: list[tuple[int, int]] = []
    examination = Examination(good, checkpoint, tell=lambda at, of: told.append((at, of)))
    assert [damage async for damage in examination.damages()] == []
    assert len(told) == 259
    assert max(at for at, _ in told) == LARGE
    assert {of for _, of in told} == {LARGE}

"""Where hashes and entries stand in files: paths, which tiles a size has, bundles, the edge."""

import pytest

from bank.board.log.tiles import (
    ENTRIES,
    Edge,
    Tile,
    hashes_of,
    new_tiles,
    pack,
    place_of,
    tile_at,
    tiles_of,
    unpack,
)
from bank.board.log.tree import Node
from mixmint.errors import MalformedMessage
from tests.vectors.make_log import chain


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 5), "tile/0/005"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(1, 999, 255), "tile/1/999.p/255"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(ENTRIES, 1234067, 8), "tile/entries/x001/x234/067.p/8"),
        (Tile(2, 1000000), "tile/2/x001/x000/000"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    """As tlog-tiles writes them."""
    assert tile.path() == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/005",
        "tile/0/005/",
        "tile/0/5",
        "tile/0/0005",
        "tile/00/005",
        "tile/8/005",
        "tile/-1/005",
        "tile/0/x000/005",
        "tile/0/x001",
        "tile/0/001/005",
        "tile/0/x001/x005",
        "tile/0/005.p/0",
        "tile/0/005.p/01",
        "tile/0/005.p/256",
        "tile/0/005.p/1000",
        "tile/0/005.p",
        "tile/0/005.p/",
        "tile/0/\u0660\u0660\u0665",
        "tile/0/005\n",
        "tile/data/005",
        "tile/entries/../../board.key",
        "tile/0/../../board.key",
        "tile/0/x1/005",
        "tile/0/" + "x001/" * 7 + "005",
    ],
)
def test_what_is_no_path(path: str) -> None:
    """Every tile has one path only, and nothing else in the folder can be asked for."""
    assert Tile.parse(path) is None


def test_the_tiles_of_70000_leaves() -> None:
    """The example of tlog-tiles."""
    tiles = list(tiles_of(70_000))
    assert len(tiles) == len(set(tiles)) == 2 * 274 + 2 + 1
    for level in (ENTRIES, 0):
        own = [tile for tile in tiles if tile.level == level]
        assert own == [*(Tile(level, index) for index in range(273)), Tile(level, 273, 112)]
    assert [tile for tile in tiles if tile.level > 0] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]


def test_256_leaves_have_a_full_tile_and_its_root_above() -> None:
    """No tile is ever empty."""
    assert list(tiles_of(0)) == []
    assert list(tiles_of(1)) == [Tile(ENTRIES, 0, 1), Tile(0, 0, 1)]
    assert list(tiles_of(255)) == [Tile(ENTRIES, 0, 255), Tile(0, 0, 255)]
    assert list(tiles_of(256)) == [Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)]
    with pytest.raises(ValueError, match="no such tile"):
        tile_at(0, 1, 256)
    with pytest.raises(ValueError, match="no such tile"):
        tile_at(1, 0, 255)


def test_new_tiles_are_those_that_changed() -> None:
    """Not a file more: each costs an fsync."""
    assert list(new_tiles(70_000, 70_000)) == []
    assert list(new_tiles(70_000, 70_001)) == [Tile(ENTRIES, 273, 113), Tile(0, 273, 113)]
    assert list(new_tiles(255, 257)) == [
        Tile(ENTRIES, 0),
        Tile(ENTRIES, 1, 1),
        Tile(0, 0),
        Tile(0, 1, 1),
        Tile(1, 0, 1),
    ]
    assert list(new_tiles(65_535, 65_536))[2:] == [Tile(1, 0), Tile(2, 0, 1)]


def test_a_node_stands_where_its_level_says() -> None:
    """Level 9 is made of two hashes of a tile of level 1."""
    place = place_of(Node(9, 3), 70_000)
    assert (place.tile, place.first, place.count) == (Tile(1, 0), 6, 2)
    for node in (Node(0, 70_000), Node(0, 70_144), Node(4, 4375), Node(9, 136)):
        with pytest.raises(ValueError, match="no such"):
            place_of(node, 70_000)
    assert place_of(Node(4, 4374), 70_000).tile == Tile(0, 273, 112)
    with pytest.raises(MalformedMessage):
        place.read(bytes(7 * 32))


def test_bundles() -> None:
    """Each entry behind its length; empty and longest ones too."""
    entries = [b"", b"one", bytes(65_535)]
    assert unpack(pack(entries)) == entries
    assert pack([b"ab"]) == b"\0\2ab"
    assert unpack(b"") == []
    for bad in (b"\0", b"\0\1", b"\0\1a\0", b"\0\3ab", pack(entries)[:-1]):
        with pytest.raises(MalformedMessage):
            unpack(bad)


def test_hash_tiles_are_whole_hashes() -> None:
    """Up to 256 of them."""
    assert hashes_of(bytes(64)) == [bytes(32)] * 2
    for bad in (b"", bytes(31), bytes(33), bytes(257 * 32)):
        with pytest.raises(MalformedMessage):
            hashes_of(bad)


def test_growing_by_nothing_writes_nothing() -> None:
    """And a leaf too long for the format can't be packed."""
    edge, _ = Edge().grow(chain(5))
    assert edge.grow([]) == (edge, [])
    assert Edge().grow([]) == (Edge(), [])
    with pytest.raises(OverflowError):
        edge.grow([bytes(65_536)])

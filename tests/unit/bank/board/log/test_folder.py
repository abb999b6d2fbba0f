"""The log's files: written durably, read as they are, torn ones named."""

import os
from pathlib import Path

import pytest

from bank.board.log import folder as folder_module
from bank.board.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import MOST_NOTE_BYTES
from bank.board.log.tiles import ENTRIES, Edge, Tile, tiles_of
from bank.board.log.tree import Node, inclusion_holds, inclusion_spans, leaf_hash, root_of, span_hash
from mixmint.errors import FatalError, UserError
from tests.unit.bank.board.log import second_log as second
from tests.unit.bank.board.log.logs import KEY, LOG, ORIGIN, flip, grow, leaves, published
from tests.vectors.make_log import chain


def names(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700])
def test_the_files_are_those_of_the_page(tmp_path: Path, size: int) -> None:
    """Every tile and bundle, byte by byte, and nothing else but the checkpoint."""
    published(tmp_path, size)
    wanted = second.files(chain(size))
    assert names(tmp_path) == {*wanted, "checkpoint"}
    assert {path: (tmp_path / path).read_bytes() for path in wanted} == wanted


def test_what_was_published_is_read_again(tmp_path: Path) -> None:
    """The checkpoint, entries from anywhere, the edge, and hashes that prove leaves."""
    folder, edge = published(tmp_path, 700)
    note = folder.checkpoint()
    assert note is not None
    assert open_checkpoint(note, LOG) == Checkpoint(ORIGIN, 700, root_of(leaves(700)))
    assert folder.edge(700) == edge
    for first, stop in ((0, 700), (100, 101), (255, 257), (300, 300), (699, 700)):
        parts = list(folder.entries(first, stop, 700))
        assert [entry for _, part in parts for entry in part] == list(chain(700)[first:stop])
        assert [at for at, _ in parts][1:] == [at for at in (256, 512) if first < at < stop]
    for index in (0, 255, 256, 699):
        proof = [span_hash(span, lambda node: folder.node(node, 700)) for span in inclusion_spans(index, 700)]
        assert inclusion_holds(leaf_hash(chain(700)[index]), index, 700, proof, edge.root())


def test_an_edge_goes_on_from_any_size(tmp_path: Path) -> None:
    """What a restarted board reads is what it had in memory."""
    folder, edge = TileFolder(tmp_path), Edge()
    for size in (1, 2, 255, 256, 257, 511, 513, 768):
        edge = grow(folder, edge, chain(size)[edge.size :])
        assert folder.edge(size) == edge == Edge().grow(chain(size))[0]
    assert folder.edge(0) == Edge()


def test_partial_tiles_stand_as_long_as_they_are_needed(tmp_path: Path) -> None:
    """A partial tile goes when the full one is published; until then each published size has its own."""
    folder = TileFolder(tmp_path)
    edge = grow(folder, Edge(), chain(100))
    edge = grow(folder, edge, chain(255)[100:])
    folder.clean(100, 255)
    assert "tile/0/000.p/100" in names(tmp_path)
    grow(folder, edge, chain(300)[255:])
    assert "tile/0/000.p/255" in names(tmp_path)
    folder.clean(255, 300)
    assert names(tmp_path) == {*second.files(chain(300)), "checkpoint"}
    # Whoever still has the old checkpoint finds his partial tiles in the full ones.
    for tile in tiles_of(255):
        assert folder.tile(tile) == second.files(chain(255))[tile.path()]
    assert folder.edge(255) == Edge().grow(chain(255))[0]
    folder.clean(255, 300)


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    """After a crash between tiles and checkpoint the same files are written again."""
    folder, _ = published(tmp_path, 300)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    folder.write(Edge().grow(chain(300))[1])
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_torn_write_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies in the middle leaves no file under its final name, and the old checkpoint."""
    folder, edge = published(tmp_path, 10)
    note = folder.checkpoint()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", fail)
    _, files = edge.grow(chain(20)[10:])
    with pytest.raises(UserError, match=r"can't write the log in .*No space left"):
        folder.write(files)
    with pytest.raises(UserError, match=r"checkpoint.*No space left"):
        folder.publish(sign_checkpoint(KEY, Checkpoint(ORIGIN, 20, bytes(32))))
    assert folder.read("tile/0/000.p/20") is None
    assert folder.checkpoint() == note
    monkeypatch.undo()
    folder.write(files)
    assert folder.edge(20) == Edge().grow(chain(20))[0]


def test_every_file_and_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's bytes before its name, then the folder that has the name, up to the log's own."""
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(folder_module.os, "fsync", note)
    root = tmp_path / "log"
    _, files = Edge().grow(chain(3))
    TileFolder(root).write(files)
    wanted = {str(root / file.tile.path()) + ".new" for file in files}
    folders = {str(root / file.tile.path()).rpartition("/")[0] for file in files}
    folders |= {
        str(tmp_path),
        str(root),
        str(root / "tile"),
        str(root / "tile/0"),
        str(root / "tile/entries"),
    }
    assert set(synced) == wanted | folders
    last_file = max(at for at, name in enumerate(synced) if name in wanted)
    assert all(at > last_file for at, name in enumerate(synced) if name in folders)


@pytest.mark.parametrize(
    ("path", "spoil"),
    [
        ("tile/0/001.p/44", lambda file: file.unlink()),
        ("tile/0/001.p/44", lambda file: file.write_bytes(b"")),
        ("tile/0/001.p/44", lambda file: file.write_bytes(file.read_bytes()[:-1])),
        ("tile/0/001.p/44", lambda file: file.write_bytes(bytes(9000))),
        ("tile/1/000.p/1", lambda file: file.write_bytes(bytes(31))),
        ("tile/entries/001.p/44", lambda file: file.write_bytes(file.read_bytes()[:-1])),
        ("tile/entries/001.p/44", lambda file: file.write_bytes(file.read_bytes()[34:])),
        ("tile/entries/001.p/44", lambda file: file.unlink()),
    ],
)
def test_damage_is_named(tmp_path: Path, path: str, spoil) -> None:  # type: ignore[no-untyped-def]  # a table of lambdas
    """The operator reads which file to repair."""
    folder, _ = published(tmp_path, 300)
    spoil(tmp_path / path)
    with pytest.raises(FatalError, match=f"{path} is missing or damaged; repair it from a mirror"):
        folder.edge(300)


def test_a_flipped_bit_shows_in_the_root(tmp_path: Path) -> None:
    """Its length is right, so only the tree can tell."""
    folder, edge = published(tmp_path, 300)
    flip(tmp_path / "tile/0/001.p/44", at=700)
    assert folder.edge(300).root() != edge.root()
    proof = [span_hash(span, lambda node: folder.node(node, 300)) for span in inclusion_spans(5, 300)]
    assert not inclusion_holds(leaves(300)[5], 5, 300, proof, edge.root())


@pytest.mark.parametrize("data", [b"", b"garbage", b"x" * (MOST_NOTE_BYTES + 1)])
def test_a_damaged_checkpoint_is_not_an_empty_log(tmp_path: Path, data: bytes) -> None:
    """A board that took it for one would begin anew."""
    folder, _ = published(tmp_path, 3)
    assert TileFolder(tmp_path / "none").checkpoint() is None
    (tmp_path / "checkpoint").write_bytes(data)
    with pytest.raises(FatalError, match="checkpoint is damaged"):
        folder.checkpoint()


def test_a_node_outside_the_log_has_no_hash(tmp_path: Path) -> None:
    """Asking for it is a fault of the asker's, not of the files."""
    folder, _ = published(tmp_path, 300)
    with pytest.raises(ValueError, match="no such"):
        folder.node(Node(0, 300), 300)
    with pytest.raises(FatalError):
        folder.tile(Tile(ENTRIES, 7))

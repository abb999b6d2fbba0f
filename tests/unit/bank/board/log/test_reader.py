"""Reading a log that isn't trusted: its checkpoint is verified, its tiles only lead to proofs that are."""

import time
from pathlib import Path

import pytest

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import Note, VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.log.reader import LogReader
from bank.board.log.source import CHECKPOINT, MOST_BUNDLE_BYTES, FolderSource
from bank.board.log.tiles import Edge
from bank.board.log.tree import (
    Frontier,
    Node,
    consistency_holds,
    extends,
    inclusion_holds,
    leaf_hash,
    root_of,
)
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from mixmint.keys import SigningKey
from tests.unit.bank.board.log.logs import (
    KEY,
    LOG,
    ORIGIN,
    WITNESS,
    WITNESS_KEY,
    flip,
    grow,
    leaves,
    published,
)
from tests.vectors.make_log import chain


def reader_of(path: Path) -> LogReader:
    return LogReader(FolderSource(path), LOG)


class Counting(FolderSource):
    """A folder that counts what is asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []

    async def read(self, path: str) -> bytes | None:
        self.asked.append(path)
        return await super().read(path)


async def test_the_checkpoint(tmp_path: Path) -> None:
    """Of this log, signed, cosigned by enough."""
    folder, edge = published(tmp_path, 5)
    assert (await reader_of(tmp_path).checkpoint()).checkpoint == Checkpoint(ORIGIN, 5, edge.root())
    policy = parse_policy(f"witness w {WITNESS.text()}\nquorum w")
    demanding = LogReader(FolderSource(tmp_path), LOG, policy)
    with pytest.raises(PeerError) as refusal:
        await demanding.checkpoint()
    assert refusal.value.reason == "quorum"
    note = folder.checkpoint()
    assert note is not None
    folder.publish(note.plus([cosign_text(WITNESS_KEY, WITNESS.name, note.text, 7)]))
    seen = await demanding.checkpoint()
    assert [(witness.name, signature.time_s) for witness, signature in seen.cosignatures.items()] == [
        ("w", 7)
    ]
    assert Note.decode(seen.note.encode()) == seen.note


async def test_no_checkpoint_and_false_ones(tmp_path: Path) -> None:
    """Not yet is Unavailable; a stranger's is refused."""
    with pytest.raises(Unavailable, match="no checkpoint yet"):
        await reader_of(tmp_path).checkpoint()
    folder, _ = published(tmp_path, 5)
    folder.publish(sign_checkpoint(SigningKey(bytes(32)), Checkpoint(ORIGIN, 5, bytes(32))))
    with pytest.raises(PeerError):
        await reader_of(tmp_path).checkpoint()
    (tmp_path / CHECKPOINT).write_bytes(b"garbage")
    with pytest.raises(MalformedMessage):
        await reader_of(tmp_path).checkpoint()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
async def test_entries_and_proofs(tmp_path: Path, size: int) -> None:
    """From the files alone, for every leaf and every older size that is asked for."""
    _, edge = published(tmp_path, size)
    reader, root = reader_of(tmp_path), edge.root()
    got = [entry async for _, part in reader.bundles(0, size, size) for entry in part]
    assert got == list(chain(size))
    middle = [entry async for _, part in reader.bundles(size // 3, size // 2, size) for entry in part]
    assert middle == list(chain(size)[size // 3 : size // 2])
    for index in {0, size // 2, size - 1}:
        assert inclusion_holds(
            leaf_hash(chain(size)[index]), index, size, await reader.inclusion(index, size), root
        )
    for old in {1, size // 2, size - 1, size}:
        old_root = root_of(leaves(old))
        assert consistency_holds(old, old_root, size, root, await reader.consistency(old, size))
        assert extends(Frontier().append(leaves(old)), size, root, await reader.right(old, size))
    assert await reader.frontier(size, root) == edge.frontier()
    assert await reader.frontier(0, root_of([])) == Frontier()


async def test_an_older_size_is_read_after_the_log_has_grown(tmp_path: Path) -> None:
    """Its partial tiles are gone: the full ones have them, and a bundle is cut at the old size."""
    folder, edge = published(tmp_path, 200)
    grow(folder, edge, chain(600)[200:])
    folder.clean(200, 600)
    reader = reader_of(tmp_path)
    assert [at async for at, _ in reader.bundles(0, 200, 200)] == [0]
    got = [entry async for _, part in reader.bundles(0, 200, 200) for entry in part]
    assert got == list(chain(200))
    assert await reader.frontier(200, edge.root()) == edge.frontier()
    proof = await reader.inclusion(7, 200)
    assert inclusion_holds(leaf_hash(chain(200)[7]), 7, 200, proof, edge.root())


async def test_lying_tiles_prove_nothing_and_are_fetched_again(tmp_path: Path) -> None:
    """A frontier is checked at once; a reader that forgets finds a source that has healed."""
    _, edge = published(tmp_path, 300)
    reader, tile = reader_of(tmp_path), tmp_path / "tile/0/001.p/44"
    flip(tile, at=40)
    with pytest.raises(PeerError) as refusal:
        await reader.frontier(300, edge.root())
    assert refusal.value.reason == "tile"
    flip(tile, at=40)
    assert await reader.frontier(300, edge.root()) == edge.frontier()
    flip(tmp_path / "tile/0/000", at=320)
    proof = await reader.inclusion(11, 300)
    assert not inclusion_holds(leaf_hash(chain(300)[11]), 11, 300, proof, edge.root())
    flip(tmp_path / "tile/0/000", at=320)
    reader.forget()
    proof = await reader.inclusion(11, 300)
    assert inclusion_holds(leaf_hash(chain(300)[11]), 11, 300, proof, edge.root())


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("tile/entries/001.p/44", None),
        ("tile/entries/001.p/44", b""),
        ("tile/entries/001.p/44", b"\0\1a" * 43),
        ("tile/entries/001.p/44", b"\0\2a"),
        ("tile/0/001.p/44", None),
        ("tile/0/001.p/44", bytes(43 * 32)),
        ("tile/0/001.p/44", bytes(44 * 32 + 1)),
        ("tile/0/001.p/44", bytes(9000)),
    ],
)
async def test_missing_and_short_files_are_the_sources_fault(
    tmp_path: Path, path: str, data: bytes | None
) -> None:
    """One family of errors for all of them."""
    _, edge = published(tmp_path, 300)
    (tmp_path / path).unlink()
    if data is not None:
        (tmp_path / path).write_bytes(data)
    reader = reader_of(tmp_path)

    async def read() -> None:
        _ = [part async for _, part in reader.bundles(0, 300, 300)]
        await reader.frontier(300, edge.root())

    with pytest.raises(MalformedMessage):
        await read()


async def test_a_bundle_of_millions_of_empty_entries_is_not_looked_through(tmp_path: Path) -> None:
    """It is as long as a bundle may be, and took half a second; a hostile log has any number of them."""
    published(tmp_path, 300)
    (tmp_path / "tile" / "entries" / "000").write_bytes(bytes(MOST_BUNDLE_BYTES))
    reader, started_s = reader_of(tmp_path), time.process_time()
    with pytest.raises(MalformedMessage, match="length"):
        _ = [part async for _, part in reader.bundles(0, 300, 300)]
    assert time.process_time() - started_s < 0.1


async def test_hash_tiles_are_fetched_once(tmp_path: Path) -> None:
    """And no more than a bounded number is kept."""
    folder = published(tmp_path, 20_000)[0]
    source = Counting(tmp_path)
    reader = LogReader(source, LOG)
    for _ in range(3):
        await reader.inclusion(3, 20_000)
    assert len(source.asked) == len(set(source.asked))
    for index in range(0, 20_000, 256):
        assert await reader.node(Node(0, index), 20_000) == folder.node(Node(0, index), 20_000)
    assert len(reader._tiles) <= 64


async def test_a_note_from_elsewhere_is_opened_by_the_same_rules(tmp_path: Path) -> None:
    """As a witness's or an accuser's."""
    edge = Edge().grow(chain(3))[0]
    reader = reader_of(tmp_path)
    note = sign_checkpoint(KEY, Checkpoint(ORIGIN, 3, edge.root()))
    assert reader.open(note).checkpoint.size == 3
    with pytest.raises(PeerError):
        LogReader(FolderSource(tmp_path), VerifierKey("other.example", KEY.public)).open(note)

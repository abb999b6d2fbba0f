"""
Before a board signs anything: is what it has the newest that it ever signed, and is it whole?

A board that goes on from an older state signs a second past. So its database and its log's files are
compared with each other, and with what witnesses have seen (``Publisher.start``). When they contradict, it
doesn't run, and says which of them is behind.

Source: docs/spec/board.md, section 8.
"""

from dataclasses import dataclass, replace

from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tiles import ENTRIES, WIDTH, Edge, Tile, hashes_of, new_tiles, tile_at
from bank.board.log.tree import EMPTY_ROOT, leaf_hash, root_of
from bank.board.writing.journal import GENESIS, ClosedRound
from mixmint.errors import FatalError, MalformedMessage, PeerError

_RECOVER = "move the database away and run: mixmint board recover"
_REPAIR = "run: mixmint board repair"


@dataclass(frozen=True, slots=True)
class Head:
    """What the database says: the newest round with a signed checkpoint, that note, the round before."""

    closed: ClosedRound
    note: bytes
    before: ClosedRound


def published_round(head: Head, folder: TileFolder, log: VerifierKey) -> ClosedRound:
    """
    The round whose checkpoint stands in the log's folder: the head's, or the one before it, when the process
    ended between signing and publishing. Blocking.

    Raises FatalError when database and folder don't belong together, or a file is missing or damaged.
    """
    _check_own(head, log)
    shown = _shown(folder, log)
    newest = head.closed
    if shown.size > newest.size:
        what = f"it knows {newest.size} leaves, and this board signed a log of {shown.size}"
        raise FatalError(f"the database is older than {folder.path / 'checkpoint'}: {what}; {_RECOVER}")
    for published in (newest, head.before):
        if (shown.size, shown.root) == (published.size, published.root):
            _check_files(head, folder)
            return published
    if shown.size == newest.size:
        raise FatalError(
            f"database and {folder.path / 'checkpoint'} show two different logs of {shown.size} leaves; "
            f"one of them isn't this board's: {_RECOVER}"
        )
    raise FatalError(
        f"{folder.path} is older than the database: its checkpoint has {shown.size} leaves, and this board "
        f"published {head.before.size}; restore its newest copy, or {_REPAIR}"
    )


def _check_own(head: Head, log: VerifierKey) -> None:
    if head.closed == GENESIS:
        return
    try:
        signed = open_checkpoint(Note.decode(head.note), log)
    except PeerError:
        raise FatalError(
            f"the database's log isn't called {log.name}, or has another key; set origin and key_path back "
            "to what they were: a log keeps both for ever"
        ) from None
    if (signed.size, signed.root) != (head.closed.size, head.closed.root):
        raise FatalError(f"the database's newest round isn't the one that it signed; {_RECOVER}")


def _shown(folder: TileFolder, log: VerifierKey) -> Checkpoint:
    note = folder.checkpoint()
    if note is None:
        if (folder.path / "tile").exists():
            # A board shows the checkpoint of the empty log before it makes any other file.
            raise FatalError(
                f"{folder.path / 'checkpoint'} is missing, and a log is there: beginning anew would fork "
                f"it; {_REPAIR}"
            )
        return Checkpoint(log.name, 0, EMPTY_ROOT)
    try:
        return open_checkpoint(note, log)
    except PeerError:
        raise FatalError(
            f"{folder.path / 'checkpoint'} is not signed by this board's key as {log.name}; set log_path, "
            "origin and key_path to those of one board"
        ) from None


def _check_files(head: Head, folder: TileFolder) -> None:
    """The newest round's files, all of them synced before its checkpoint was signed; and the edge."""
    try:
        for tile in new_tiles(head.before.size, head.closed.size):
            folder.tile(tile)
    except FatalError as error:
        raise FatalError(f"{error}; {_REPAIR}") from None
    sound_edge(folder, head.closed.size, head.closed.root)


def sound_edge(folder: TileFolder, size: int, root: bytes) -> Edge:
    """
    The edge of the log of ``size`` leaves, once it is known to lead to ``root``. Blocking.

    Raises FatalError, which names the file that is missing or damaged.
    """
    try:
        edge = folder.edge(size)
    except FatalError as error:
        raise FatalError(f"{error}; {_REPAIR}") from None
    except MalformedMessage:
        raise FatalError(
            f"{folder.path / tile_at(ENTRIES, size // WIDTH, size).path()} is damaged; {_REPAIR}"
        ) from None
    if edge.root() != root:
        raise FatalError(f"{_damaged(folder, edge, root)} is damaged; {_REPAIR}")
    if edge.levels and edge.levels[0] != _leaves(edge):
        raise FatalError(f"{folder.path / _at(edge, ENTRIES).path()} is damaged; {_REPAIR}")
    return edge


def _leaves(edge: Edge) -> tuple[bytes, ...]:
    return tuple(leaf_hash(entry[2:]) for entry in edge.entries)


def _at(edge: Edge, level: int) -> Tile:
    return tile_at(level, (edge.size >> 8 * max(level, 0)) // WIDTH, edge.size)


def _damaged(folder: TileFolder, edge: Edge, root: bytes) -> str:
    """Which of the partial tiles it is: the one that leads to the root when it is made again from below."""
    for level, hashes in enumerate(edge.levels):
        if not hashes:
            continue
        try:
            below = _leaves(edge) if level == 0 else _tops(folder, edge, level)
        except (FatalError, MalformedMessage):
            continue
        levels = (*edge.levels[:level], below, *edge.levels[level + 1 :])
        if replace(edge, levels=levels).root() == root:
            return str(folder.path / _at(edge, level).path())
    return f"more than one of the newest files in {folder.path / 'tile'}"


def _tops(folder: TileFolder, edge: Edge, level: int) -> tuple[bytes, ...]:
    """The hashes of a partial tile, from the full tiles below it."""
    first = (edge.size >> 8 * level) // WIDTH * WIDTH
    tiles = (Tile(level - 1, first + place) for place in range(len(edge.levels[level])))
    return tuple(root_of(hashes_of(folder.tile(tile))) for tile in tiles)

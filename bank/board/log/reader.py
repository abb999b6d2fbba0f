"""
Reading a log that isn't trusted: its checkpoint under a policy, its entries, and hashes for proofs.

The checkpoint is verified here. Entries and hashes are handed on as they were fetched: whoever asks for them
has a root to check them against (``tree``), and a proof made of false hashes proves nothing.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.note import Note, Signature, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy, Witness
from bank.board.log.source import CHECKPOINT, TileSource
from bank.board.log.tiles import ENTRIES, WIDTH, Place, Tile, place_of, tile_at, unpack
from bank.board.log.tree import (
    HASH_BYTES,
    Frontier,
    Node,
    Span,
    consistency_spans,
    fold,
    inclusion_spans,
    right_spans,
    span_nodes,
)
from mixmint.errors import MalformedMessage, PeerError, Unavailable

_KEPT_TILES = 64
"""Hash tiles held at a time: 8 KiB each, and a proof needs two of each level at most."""


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint whose signatures hold, its note, and the policy's witnesses that cosigned it."""

    checkpoint: Checkpoint
    note: Note
    cosignatures: dict[Witness, Signature]


def open_published(note: Note, log: VerifierKey, policy: Policy) -> Published:
    """
    What a note says, once the log signed it and enough witnesses cosigned it.

    Raises PeerError (``signature``, ``quorum``), MalformedMessage("checkpoint").
    """
    return Published(open_checkpoint(note, log), note, policy.check(note))


class LogReader:
    """
    One log from one source. ``log``: its verifier key; ``policy``: what a checkpoint must have to count.

    Hash tiles are kept a while. After a proof that failed, ``forget`` them: the source may have healed.
    """

    def __init__(self, source: TileSource, log: VerifierKey, policy: Policy = NO_POLICY) -> None:
        self.source = source
        self.log = log
        self.policy = policy
        self._tiles: OrderedDict[Tile, bytes] = OrderedDict()

    def forget(self) -> None:
        """Fetch hash tiles again from now on."""
        self._tiles.clear()

    async def checkpoint(self) -> Published:
        """
        The newest checkpoint.

        Raises Unavailable (can't be read, or the log is empty yet), PeerError (``signature``, ``quorum``),
        MalformedMessage.
        """
        data = await self.source.read(CHECKPOINT)
        if data is None:
            raise Unavailable(f"{self.source.name} has no checkpoint yet")
        return self.open(Note.decode(data))

    def open(self, note: Note) -> Published:
        """A note that was fetched elsewhere. Raises as ``checkpoint``."""
        return open_published(note, self.log, self.policy)

    async def bundles(self, first: int, stop: int, size: int) -> AsyncIterator[tuple[int, list[bytes]]]:
        """
        Entries first .. stop - 1 of the log of ``size`` leaves, bundle by bundle, each with its first index.

        Unverified. Raises Unavailable, PeerError, MalformedMessage (a bundle is missing or too short).
        """
        at = first
        while at < stop:
            tile = tile_at(ENTRIES, at // WIDTH, size)
            bundle = unpack(await self._fetch(tile), WIDTH)
            if len(bundle) < tile.width:
                raise MalformedMessage("tile", f"{tile.path()} is too short")
            start = at % WIDTH
            part = bundle[start : min(tile.width, start + stop - at)]
            yield at, part
            at += len(part)

    async def node(self, node: Node, size: int) -> bytes:
        """The hash of a full subtree, unverified. Raises as ``bundles``."""
        place = place_of(node, size)
        return place.read(await self._hashes(place))

    async def nodes(self, nodes: Sequence[Node], size: int) -> list[bytes]:
        """The hashes of some full subtrees, unverified. Raises as ``bundles``."""
        return [await self.node(node, size) for node in nodes]

    async def spans(self, spans: Sequence[Span], size: int) -> list[bytes]:
        """The hashes of spans, unverified."""
        parts = [span_nodes(span) for span in spans]
        hashes = iter(await self.nodes([node for part in parts for node in part], size))
        return [fold([next(hashes) for _ in part]) for part in parts]

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """A proof that leaf ``index`` is in the log of ``size`` leaves: for ``tree.inclusion_holds``."""
        return await self.spans(inclusion_spans(index, size), size)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """A proof that ``new`` leaves begin with the ``old`` ones: for ``tree.consistency_holds``."""
        return await self.spans(consistency_spans(old, new), new)

    async def right(self, old: int, new: int) -> list[bytes]:
        """What leads from the frontier of ``old`` leaves to the root of ``new``: for ``tree.extends``."""
        return await self.spans(right_spans(old, new), new)

    async def frontier(self, size: int, root: bytes) -> Frontier:
        """The frontier of the log with this size and root. Raises PeerError("tile") when its tiles lie."""
        frontier = Frontier(size, tuple(await self.nodes(span_nodes(Span(0, size)), size)))
        if frontier.root() != root:
            self.forget()
            raise PeerError("tile", "the tiles don't lead to the checkpoint's root")
        return frontier

    async def _hashes(self, place: Place) -> bytes:
        tile = place.tile
        if tile in self._tiles:
            self._tiles.move_to_end(tile)
            return self._tiles[tile]
        data = await self._fetch(tile)
        if len(data) < HASH_BYTES * tile.width:
            raise MalformedMessage("tile", f"{tile.path()} is too short")
        self._tiles[tile] = data
        if len(self._tiles) > _KEPT_TILES:
            self._tiles.popitem(last=False)
        return data

    async def _fetch(self, tile: Tile) -> bytes:
        data = await self.source.read(tile.path())
        if data is None and not tile.full:
            # A partial tile goes when the full one is there.
            data = await self.source.read(Tile(tile.level, tile.index).path())
        if data is None:
            raise MalformedMessage("tile", f"{tile.path()} is missing")
        return data

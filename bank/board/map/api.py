"""Proofs about single coins, over HTTP: for people, and for the page that recomputes them in the browser."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from bank.board.log.checkpoint import Checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.log.tree import inclusion_spans, span_hash
from bank.board.map.coin_proof import CoinProof, make_coin_proof
from bank.board.map.keeper import MapKeeper
from bank.board.map.proof import MOST_PROOF_BYTES, MapProof
from bank.board.web.api import ASK_AGAIN, COIN, answer_cached, answer_json
from bank.board.web.endpoints import Endpoint
from bank.board.web.views import Hex32, MapView, View, entry_view
from bank.board.writing.store import Placed
from bank.formats.entry import MapEntry, decode_entry
from mixmint.errors import Unavailable

PROOF_PATH = "/api/v1/coins/{id}/proof"
FILE_PATH = PROOF_PATH + ".txt"
_ATTEMPTS = 3


class ProofView(View, frozen=True):
    """What the newest published map says of a coin. ``map`` is its entry in the log."""

    coin: Hex32
    state: Literal["certified", "spent", "replaced", "unknown"]
    map: MapView
    proof: Annotated[
        bytes,
        Meta(max_length=MOST_PROOF_BYTES, description="leads to the map's root: docs/spec/map.md, section 3"),
    ]


class CoinProofs:
    """
    Makes coin proofs from the map, the log's files and the newest checkpoint.

    ``published``: the newest published MAP entry, None before the first; the keeper must have been told of it
    (``MapKeeper.published``) by the time it is returned here. ``about``: every entry about a coin, in the
    log's order.
    """

    def __init__(
        self,
        keeper: MapKeeper,
        log: TileFolder,
        published: Callable[[], Placed | None],
        about: Callable[[bytes], Awaitable[Sequence[Placed]]],
    ) -> None:
        self._keeper = keeper
        self._log = log
        self._published = published
        self._about = about

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                PROOF_PATH,
                "A coin's state by the newest map of coins, with its proof. For people, like the page",
                self.json,
                ProofView,
                parameters=(COIN,),
                statuses=(503,),
            ),
            Endpoint(
                FILE_PATH,
                "The same as a file that proves itself offline, for `mixmint board check-proof`",
                self.file,
                media_type="text/plain",
                parameters=(COIN,),
                statuses=(503,),
            ),
        ]

    async def json(self, request: web.Request) -> web.Response:
        coin = COIN.data(request)
        placed, entry, proof = await self._proved(coin)
        state = proof.verify(coin, entry.root)
        view = ProofView(
            coin.hex(),
            state.name.lower() if state else "unknown",  # type: ignore[arg-type]  # one of the four words
            entry_view(placed.index, placed.round, placed.entry),  # type: ignore[arg-type]  # it is a MAP entry
            proof.encode(),
        )
        return answer_json(request, view)

    async def file(self, request: web.Request) -> web.Response:
        proof = await self.make(COIN.data(request))
        return answer_cached(request, proof.encode(), "text/plain", ASK_AGAIN)

    async def make(self, coin: bytes) -> CoinProof:
        """
        The file about a coin (id, 32 bytes), by the newest published map.

        Raises Unavailable: no map is published yet, too many ask, it is being made again.
        """
        placed, entry, proof = await self._proved(coin)
        about = [found.entry for found in await self._about(coin) if found.index < entry.size]
        hashes, note = await asyncio.to_thread(self._place, placed.index)
        return make_coin_proof(coin, proof, entry, (placed.index, hashes), note, about)

    async def _proved(self, coin: bytes) -> tuple[Placed, MapEntry, MapProof]:
        for _ in range(_ATTEMPTS):
            placed = self._published()
            if placed is None:
                raise Unavailable("the board has published no map yet; try again later")
            size, proof = await self._keeper.prove(coin)
            entry = decode_entry(placed.entry)
            # While this one was asked for, a newer map may have been published.
            if isinstance(entry, MapEntry) and entry.size == size:
                return placed, entry, proof
        raise Unavailable("a new map is just being published; try again in a moment")

    def _place(self, index: int) -> tuple[list[bytes], Note]:
        note = self._log.checkpoint()
        if note is None:
            raise Unavailable("the board has published no checkpoint yet; try again later")
        size = Checkpoint.parse(note.text).size
        spans = inclusion_spans(index, size)
        return [span_hash(span, lambda node: self._log.node(node, size)) for span in spans], note

"""
The customer's end: puts an entry on the board over HTTP or over the mixes, and checks the receipt.

Source: docs/spec/claim.md, sections 4 and 5.
"""

import asyncio

import aiohttp

from bank.board.anonymous import Ask, Kind
from bank.board.claims.desk import WaitYourTurn
from bank.board.claims.doors import CLAIMS_PATH, KNOWN, MORE, TAKEN, WAIT
from bank.board.claims.parts import cut
from bank.board.log.tree import leaf_hash
from bank.board.receipts import ENTRY_RECEIPT_BYTES, EntryReceipt
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from replyblocks.formats import REQUEST_BODY_BYTES

_MOST_WAIT_S = 3600


async def submit(
    url: str, board_key: bytes, entry: bytes, session: aiohttp.ClientSession, *, timeout_s: float = 20.0
) -> EntryReceipt:
    """
    Submit an entry over HTTP; the board sees from where. Submitting the same again is harmless.

    The receipt may be for another leaf, which the board has already and which says the same. Raises
    WaitYourTurn, Unavailable (nothing is known: submit it again), PeerError (the board refuses it, or its
    answer isn't its own).
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.post(
            url.rstrip("/") + CLAIMS_PATH, data=entry, timeout=timeout, allow_redirects=False
        ) as response:
            status, body = response.status, await _read(response)
            wait = response.headers.get("Retry-After", "")
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
        raise Unavailable(
            f"the board at {url} can't be reached ({type(error).__name__}); is it running?"
        ) from None
    if status in (200, 202):
        return _receipt(body, entry, board_key, fresh=status == 202)
    if status == 429 and wait.isascii() and wait.isdecimal() and len(wait) < 6:
        raise WaitYourTurn(min(int(wait), _MOST_WAIT_S))
    if status in (429, 503):
        raise Unavailable(f"the board at {url} takes nothing now; try again later")
    raise PeerError("refused", f"the board answered {status}")


async def submit_over_mixes(ask: Ask, board_key: bytes, entry: bytes) -> EntryReceipt:
    """
    Submit an entry by packets, so that nobody sees from where. Errors as ``submit``, and as ``ask``.

    Raises MalformedMessage("length") when the entry is too long for the mixes.
    """
    answer = b""
    for part in cut(entry, REQUEST_BODY_BYTES - 1):
        request = Kind.CLAIM.to_bytes(1) + part
        answer = await ask(request)
        if answer[:1] != request[:1]:
            raise PeerError("refused", "the board refuses it")
        answer = answer[1:]
        if answer != MORE.to_bytes(1):
            break
    reader = Reader(answer)
    what = reader.number(1)
    if what in (TAKEN, KNOWN):
        return _receipt(reader.rest(), entry, board_key, fresh=what == TAKEN)
    if what == WAIT:
        raise WaitYourTurn(min(reader.number(4), _MOST_WAIT_S))
    # The board dropped a part meanwhile.
    raise Unavailable("the board has not all parts of it; submit it again")


def _receipt(data: bytes, entry: bytes, board_key: bytes, *, fresh: bool) -> EntryReceipt:
    receipt = EntryReceipt.decode(data)
    if not receipt.is_signed(board_key) or (fresh and receipt.leaf != leaf_hash(entry)):
        raise PeerError("receipt", "not signed by the board for this entry")
    return receipt


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """A receipt, or an error's few words."""
    body = await response.content.read(1024)
    if response.status in (200, 202) and len(body) != ENTRY_RECEIPT_BYTES:
        raise MalformedMessage("length")
    return body

"""
The bank's feed: how its outbox reaches the board exactly once and in order. Both ends of the wire.

The outbox is a list of groups, numbered from 1 without gaps; one group is one order's entries and is never
split over two rounds. The bank posts a batch of groups; the board takes it only if it begins with the number
it waits for, and stores groups and next number in one transaction. So whichever side crashes, and whichever
answer is lost, the next receipt says where to go on. A group without entries stands for a change of the
bank's books that shows nothing: the board counts it and stores nothing.

    body    = signature 64 || batch                              at most 1 MiB
    batch   = number of the first group 8 || count of groups 2 || groups
    group   = count of entries 1 || entries
    entry   = length 2 || bytes                                  (numbers big-endian)

The bank signs label, board public key 32, batch: what one board was given can't be shown to another.

Source: docs/spec/board.md, section 3.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import aiohttp
from msgspec import Meta

from bank.formats.entry import FROM_THE_BANK, check_entry
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from mixmint.keys import SIGNATURE_BYTES, Label, SigningKey, labelled_hash, verify
from mixmint.wire import Bytes64, Message, UInt32, decode

FEED_LABEL = Label("mixmint/feed/v1")
UNKNOWN = 0
"""As the next group: the board was recovered from a copy of its log, and doesn't know the number."""
RECEIPT_LABEL = Label("mixmint/feed-receipt/v1")
WAITS_LABEL = Label("mixmint/feed-waits/v1")
"""Of a receipt for a batch that the board did not take: else a bank that has fed some groups could post
others under their numbers, and show the answer as a promise to publish those."""
BATCH_LABEL = Label("mixmint/feed-batch/v1")

FEED_PATH = "/api/v1/feed"
MOST_FEED_BYTES = 1 << 20
MOST_BATCH_BYTES = MOST_FEED_BYTES - SIGNATURE_BYTES
MOST_GROUPS = 2**16 - 1
MOST_RECEIPT_BYTES = 128
_HEAD_BYTES = 10
CLOCK_ONLY_BYTES = SIGNATURE_BYTES + _HEAD_BYTES
"""The body of a batch without groups."""

UInt63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""SQLite counts this far."""


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Groups of the outbox, the first with number ``first`` (from 1). No groups: only the clock is asked for.
    """

    first: int
    groups: Sequence[Sequence[bytes]]

    @property
    def next(self) -> int:
        """The number of the group after it."""
        return self.first + len(self.groups)

    def encode(self) -> bytes:
        parts = [self.first.to_bytes(8), len(self.groups).to_bytes(2)]
        for group in self.groups:
            parts.append(len(group).to_bytes(1))
            parts.extend([len(entry).to_bytes(2) + entry for entry in group])
        return b"".join(parts)

    @classmethod
    def fill(cls, first: int, groups: Iterable[Sequence[bytes]]) -> "Batch":
        """As many of the groups, from the front, as one feed may carry."""
        taken: list[Sequence[bytes]] = []
        size = _HEAD_BYTES
        for group in groups:
            size += 1 + sum(2 + len(entry) for entry in group)
            if size > MOST_BATCH_BYTES or len(taken) == MOST_GROUPS:
                break
            taken.append(group)
        return cls(first, taken)

    @classmethod
    def decode(cls, data: bytes) -> "Batch":
        """
        Read a batch from hostile bytes, with the structural check of every entry. No signature is checked.

        Raises MalformedMessage: ``size``, ``length``, ``number``, ``kind``, ``value``, and what a statement's
        reader raises.
        """
        if len(data) > MOST_BATCH_BYTES:
            raise MalformedMessage("size")
        first, count, at = int.from_bytes(data[:8]), int.from_bytes(data[8:_HEAD_BYTES]), _HEAD_BYTES
        if len(data) < _HEAD_BYTES:
            raise MalformedMessage("length")
        if not 1 <= first <= 2**63 - 1 - MOST_GROUPS:
            raise MalformedMessage("number")
        groups: list[list[bytes]] = []
        try:
            for _ in range(count):
                group, at = _read_group(data, at)
                groups.append(group)
        except IndexError:
            raise MalformedMessage("length") from None
        if at != len(data):
            raise MalformedMessage("length")
        return cls(first, groups)


def _read_group(data: bytes, at: int) -> tuple[list[bytes], int]:
    """One group and where the next begins. Raises IndexError past the end, MalformedMessage."""
    group = []
    count = data[at]
    at += 1
    for _ in range(count):
        start = at + 2
        at = start + (data[at] << 8 | data[at + 1])
        # A slice past the end comes out short. That is refused here, since most widths are fixed by kind, or
        # when the batch turns out to end before its last group does.
        entry = data[start:at]
        check_entry(entry)
        if entry[0] not in FROM_THE_BANK:
            raise MalformedMessage("kind")
        group.append(entry)
    return group, at


def sign_feed(bank: SigningKey, board_key: bytes, batch: bytes) -> bytes:
    """The body of a feed request."""
    return bank.sign(FEED_LABEL, board_key, batch) + batch


def open_feed(bank_key: bytes, board_key: bytes, body: bytes) -> bytes:
    """
    The batch's bytes, once the bank's signature is known to hold.

    Raises MalformedMessage("size"), PeerError("signature").
    """
    if not SIGNATURE_BYTES + _HEAD_BYTES <= len(body) <= MOST_FEED_BYTES:
        raise MalformedMessage("size")
    batch = body[SIGNATURE_BYTES:]
    if not verify(bank_key, FEED_LABEL, body[:SIGNATURE_BYTES], board_key, batch):
        raise PeerError("signature")
    return batch


class FeedReceipt(Message, frozen=True):
    """
    The board's answer. ``next_group``: the number it waits for; all before it are durable. ``round``: that of
    the last of them; all are on the board when it is closed. ``newest_closed``: the board's clock, the newest
    published round; 0 before the first.

    A board that was recovered from a copy of its log says ``next_group`` 0 (UNKNOWN), and takes nothing,
    until two batches in a row, the first without groups, begin with the same number: that of the group after
    all that its log shows, which only the bank can tell. Two, because a bank that knows of no recovery yet
    would go on with the number after all that it fed.

    Signed: label (one for a batch that was taken, another for one that wasn't), hash of the batch 32, next
    group 8, round 4, newest closed 4.
    """

    next_group: UInt63
    round: UInt32
    newest_closed: UInt32
    signature: Bytes64

    def holds(self, board_key: bytes, batch: bytes, *, taken: bool = True) -> bool:
        """Whether the board signed it, in answer to this batch, which it took or not."""
        return self.newest_closed <= self.round and self.is_signed(
            board_key, batch_digest(batch), taken=taken
        )

    def is_signed(self, board_key: bytes, digest: bytes, *, taken: bool) -> bool:
        """As ``holds``, by the batch's hash alone."""
        parts = _receipt_parts(digest, self.next_group, self.round, self.newest_closed)
        return verify(board_key, RECEIPT_LABEL if taken else WAITS_LABEL, self.signature, *parts)


def batch_digest(batch: bytes) -> bytes:
    """The hash (32 bytes) by which a receipt names its batch."""
    return labelled_hash(BATCH_LABEL, batch)


def _receipt_parts(digest: bytes, next_group: int, round_: int, newest_closed: int) -> tuple[bytes, ...]:
    return digest, next_group.to_bytes(8), round_.to_bytes(4), newest_closed.to_bytes(4)


def sign_receipt(
    key: SigningKey, batch: bytes, next_group: int, round_: int, newest_closed: int, *, taken: bool = True
) -> FeedReceipt:
    """The board answers a batch. ``newest_closed``: as it was before the batch was looked at, or earlier."""
    parts = _receipt_parts(batch_digest(batch), next_group, round_, newest_closed)
    signature = key.sign(RECEIPT_LABEL if taken else WAITS_LABEL, *parts)
    return FeedReceipt(next_group, round_, newest_closed, signature)


class FeedClient:
    """
    The bank's end. One feed at a time; no retries of its own: the bank's loop keeps the groups until a
    receipt says that the board has them.
    """

    def __init__(
        self,
        url: str,
        board_key: bytes,
        bank: SigningKey,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        self._url = url.rstrip("/") + FEED_PATH
        self._board_key = board_key
        self._bank = bank
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def feed(self, batch: Batch) -> FeedReceipt:
        """
        Post a batch. ``receipt.next_group == batch.next`` when the board took it; any other number means that
        it took nothing and waits for that group (an earlier receipt was lost, or one side was restored).

        Raises Unavailable (no network, board down or its disk full: try again later), PeerError (the answer
        isn't the board's, or the board refused the batch as malformed or not signed by its bank).
        """
        encoded = batch.encode()
        status, body = await self._post(sign_feed(self._bank, self._board_key, encoded))
        if status == 503:
            raise Unavailable(f"the board at {self._url} can't write now; its operator should look")
        if status not in (200, 409):
            raise PeerError("refused", f"the board answered {status}")
        receipt = decode(body, FeedReceipt, MOST_RECEIPT_BYTES)
        if not receipt.holds(self._board_key, encoded, taken=status == 200):
            raise PeerError("receipt", "not signed by the board for this batch")
        taken = receipt.next_group == batch.next if status == 200 else receipt.next_group != batch.first
        if not taken:
            raise PeerError("receipt", "its number contradicts its status")
        return receipt

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            async with self._session.post(
                self._url, data=body, timeout=self._timeout, allow_redirects=False
            ) as response:
                # One byte more than allowed tells "too long" from "just fits"; no more is ever held.
                answer = await response.content.read(MOST_RECEIPT_BYTES + 1)
                while not response.content.at_eof() and len(answer) <= MOST_RECEIPT_BYTES:
                    answer += await response.content.read(MOST_RECEIPT_BYTES + 1)
                return response.status, answer
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise Unavailable(
                f"the board at {self._url} can't be reached ({type(error).__name__}); is it running?"
            ) from None

"""
Takes submissions: read, looked up, verified, then put on the way to a round, each once.

    known already        whoever submits the same again gets a receipt that names where it is
    verified             beside the event loop, two at a time; no more than a few dozen wait for that
    index and waiting    one transaction: a crash leaves a submission in both or in neither, and of two that
                         come at one moment the second finds the first

Source: docs/spec/claim.md, sections 3 and 4.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry, Counter

from bank.board.board import Board
from bank.board.claims import index
from bank.board.claims.index import SUBMITTED, Place
from bank.board.claims.limits import EVERY_S, MOST_ACCUSATIONS, Bucket
from bank.board.claims.rules import (
    ClaimSubmission,
    KeyChangeSubmission,
    Parties,
    PostedSubmission,
    Submission,
    read_submission,
)
from bank.board.log.tree import leaf_hash
from bank.board.receipts import EntryReceipt
from bank.board.web.api import parted
from bank.board.writing import bank_keys, journal
from bank.board.writing.store import Placed
from bank.formats.claim import Claim
from bank.formats.coin import certificate_holds, coin_id
from bank.formats.entry import CertifiedEntry, Kind, decode_entry
from bank.formats.succession import Cut
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError

_AT_ONCE = 2
_MOST_CHECKING = 32
"""Each holds at most 32 KiB, and costs a few milliseconds."""


class WaitYourTurn(Unavailable):
    """Nothing was taken; come again in ``after_s`` seconds."""

    def __init__(self, after_s: int) -> None:
        super().__init__(f"too many like this one; submit it again in {after_s} s")
        self.after_s = after_s


class _Known(PeerError):
    """Somebody was quicker by a moment."""

    def __init__(self, place: Place) -> None:
        super().__init__("known")
        self.place = place


class _NoRoom(PeerError):
    """It stands on nothing that has room for it."""

    def __init__(self) -> None:
        super().__init__("no-room")


class _RoundFull(PeerError):
    """The round has enough of these."""

    def __init__(self) -> None:
        super().__init__("round-full")


@dataclass(frozen=True, slots=True)
class Accepted:
    """``receipt`` names the round; ``fresh``: it wasn't there before."""

    receipt: EntryReceipt
    fresh: bool


class SubmissionMetrics:
    """What the operator may watch."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.submissions = Counter(
            "mixmint_board_submissions",
            "Claims, answers, certificates and accusations submitted, by outcome",
            ["kind", "result"],
            registry=registry,
        )


class Desk:
    """
    One board's desk. ``parties``: the bank's keys are looked up anew each time. ``clock``: seconds that never
    descend.
    """

    def __init__(
        self,
        board: Board,
        parties: Parties,
        metrics: SubmissionMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._parties = parties
        self._metrics = metrics
        self._clock = clock
        self._buckets = {kind: Bucket(clock()) for kind in SUBMITTED}
        self._checking = 0
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def submit(self, data: bytes) -> Accepted:
        """
        Take a submission, or say where it is already.

        Raises MalformedMessage, PeerError("unproved") (it doesn't verify), WaitYourTurn, Unavailable,
        UserError when the disk is full; then nothing was taken.
        """
        try:
            submission = read_submission(data)
        except MalformedMessage:
            self._metrics.submissions.labels("unknown", "malformed").inc()
            raise
        result = "failed"
        try:
            accepted = await self._submit(submission)
            result = "taken" if accepted.fresh else "known"
        except WaitYourTurn:
            result = "waits"
            raise
        except PeerError as error:
            result = error.reason
            raise
        finally:
            self._metrics.submissions.labels(submission.kind.name.lower(), result).inc()
        return accepted

    async def _submit(self, submission: Submission) -> Accepted:
        # Before the signatures: a replay costs a look-up. What it gets is public, and its own proof or not.
        known = await self._find(submission)
        if known is None:
            await self._verify(submission)
            try:
                return Accepted(await self._take(submission), fresh=True)
            except _Known as error:
                known = error.place
        return Accepted(self._board.receipt(known.leaf, known.round), fresh=False)

    async def _find(self, submission: Submission) -> Place | None:
        store = self._board.store
        known = await store.read(lambda connection: index.find(connection, submission))
        if known is None and isinstance(submission, PostedSubmission):
            counting, _ = parted(await store.coin(submission.posted.coin), self._board.keys)
            return _published(submission, counting)
        return known

    async def _verify(self, submission: Submission) -> None:
        account = submission.account
        if account is not None and not await self._board.store.read(
            lambda connection: index.is_account(connection, account)
        ):
            raise PeerError("unproved", "there is no such account")
        if self._checking >= _MOST_CHECKING:
            raise Unavailable("the board has too many submissions to check; try again in a moment")
        self._checking += 1
        try:
            async with self._turn:
                objection = await asyncio.to_thread(submission.objection, self._now())
        finally:
            self._checking -= 1
        if objection is None and isinstance(submission, KeyChangeSubmission):
            objection = await self._cut_objection(submission.change.cut)
        if objection is None and isinstance(submission, ClaimSubmission):
            objection = await self._void_objection(submission.claim)
        if objection is not None:
            raise PeerError("unproved", objection)

    def _now(self) -> Parties:
        return replace(self._parties, keys=self._board.keys)

    async def _cut_objection(self, cut: Cut) -> str | None:
        """Published means: cosigned as the board's policy wants, unless its operator lets it fail open."""
        closed = await self._board.store.round_ending(cut.size)
        if closed is None or closed.root != cut.root:
            return "its cut isn't the end of a round of this log, or has another root"
        return None

    async def _void_objection(self, claim: Claim) -> str | None:
        """Who has a key that was replaced certifies what he likes: only what stands on the board counts."""
        keys = self._board.keys
        if not keys.changes or claim.order is None:
            return None
        if claim.hold is not None:
            current = claim.hold.holds(keys.current, keys.id)
            return None if current else "a key that was replaced held the order"
        for public, shown in zip(claim.order.order.inputs, claim.certificates, strict=True):
            coin = coin_id(public)
            signed = (shown.signature, keys.id, shown.exponent, shown.epoch, coin)
            if certificate_holds(keys.current, *signed):
                continue
            counting, _ = parted(await self._board.store.coin(coin), keys)
            if not any(isinstance(decode_entry(placed.entry), CertifiedEntry) for placed in counting):
                return (
                    "a key that was replaced certified a coin that goes in, and the board shows no such coin"
                )
        return None

    async def _take(self, submission: Submission) -> EntryReceipt:
        """Raises _Known, WaitYourTurn, Unavailable, UserError."""
        try:
            try:
                return await self._put(submission, paid=False)
            except _NoRoom:
                bucket = self._buckets[submission.kind]
                wait_s = bucket.take(self._clock())
                if wait_s:
                    raise WaitYourTurn(wait_s) from None
                try:
                    return await self._put(submission, paid=True)
                except (PeerError, UserError):
                    # Nothing was taken: else who asks again and again would make the others wait.
                    bucket.give_back()
                    raise
        except _RoundFull:
            raise WaitYourTurn(int(EVERY_S)) from None

    async def _put(self, submission: Submission, *, paid: bool) -> EntryReceipt:
        def within(connection: sqlite3.Connection, round_: int) -> None:
            place = index.find(connection, submission)
            if place is not None:
                raise _Known(place)
            if not (paid or index.has_room(connection, submission)):
                raise _NoRoom
            accusation = submission.kind is Kind.ACCUSATION
            if accusation and index.in_round(connection, Kind.ACCUSATION, round_) >= MOST_ACCUSATIONS:
                raise _RoundFull
            fed_by = bank_keys.feeding(connection, self._parties.keys.founding)
            index.note(connection, submission, round_)
            if bank_keys.feeding(connection, self._parties.keys.founding) != fed_by:
                journal.begin_feed(connection, round_)

        (receipt,) = await self._board.submit([submission.entry], within)
        return receipt


def _published(submission: PostedSubmission, found: list[Placed]) -> Place | None:
    """Where the bank published this very coin, value and epoch."""
    posted = submission.posted
    for placed in found:
        entry = decode_entry(placed.entry)
        if isinstance(entry, CertifiedEntry) and (entry.exponent, entry.epoch) == (
            posted.exponent,
            posted.epoch,
        ):
            return Place(leaf_hash(placed.entry), placed.round)
    return None

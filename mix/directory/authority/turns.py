"""
What an authority does by itself: read up to the others, and in its turn propose the next directory.

Source: docs/spec/agreement.md, section 4.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from mix.directory.agreement.acceptor import Acceptor
from mix.directory.agreement.judging import Wishes, is_due, judge, wanted
from mix.directory.agreement.messages import Refused, seal, unseal
from mix.directory.agreement.proposer import Attempt, next_ballot
from mix.directory.authority.files import Files
from mix.directory.belief import News
from mix.directory.build import Parameters
from mix.directory.fetching import Fetched
from mix.directory.network import Authorities
from mixmint.errors import MalformedMessage, Unavailable, UserError
from mixmint.keys import SigningKey
from mixmint.wire import Message

SLOTS_PER_EPOCH = 50
SHORTEST_SLOT_S = 1.0
LONGEST_SLOT_S = 600.0
_log = logging.getLogger("mix.directory")


class Peer(Protocol):
    """Another authority."""

    @property
    def name(self) -> str:
        """For the log."""

    async def ask(self, envelope: bytes) -> bytes:
        """Its answer's envelope. Raises Unavailable."""

    async def give(self, signed: bytes) -> None:
        """Hand it a new directory. Raises Unavailable."""

    async def fetch(self, sequence: int | None = None) -> Fetched | None:
        """See `mix.directory.fetching.Source`."""


class Authority:
    """One authority, whatever carries its messages. For one event loop."""

    def __init__(
        self,
        key: SigningKey,
        authorities: Authorities,
        files: Files,
        parameters: Parameters,
        cascades: Sequence[tuple[str, ...]],
        peers: Sequence[Peer],
        now_s: Callable[[], float],
    ) -> None:
        if key.public not in authorities.keys:
            raise UserError("the network file doesn't name this authority's key; is it the right one?")
        if 2 * authorities.threshold <= len(authorities.keys):
            raise UserError("more than half of the authorities must sign; raise the threshold")
        self.files = files
        self._key = key
        self._authorities = authorities
        self._acceptor = Acceptor(key, authorities)
        self._parameters = parameters
        self._cascades = cascades
        self.peers = list(peers)
        self._now_s = now_s
        self._highest = 0
        self._forks: set[bytes] = set()
        self.unheard: set[str] = set()
        """Peers that didn't answer when asked last."""
        self.why_not = ""
        """Why the last attempt in our turn came to nothing; empty when it didn't."""

    @property
    def network(self) -> str:
        return self._parameters.network

    @property
    def sequence(self) -> int:
        """The number that is next."""
        return 0 if self.files.newest is None else self.files.newest.sequence + 1

    @property
    def forks(self) -> int:
        """Directories seen that contradict ours."""
        return len(self._forks)

    def wishes(self) -> Wishes:
        """What our operator wants, as it is now."""
        files = self.files
        admitted, newest = files.admitted(), files.descriptors()
        return Wishes(self._parameters, self._cascades, admitted, newest, files.successors())

    def slot_s(self) -> float:
        return min(max(self._parameters.epoch_s / SLOTS_PER_EPOCH, SHORTEST_SLOT_S), LONGEST_SLOT_S)

    def is_our_turn(self, slot: int) -> bool:
        keys = self._authorities.keys
        return keys[slot % len(keys)] == self._key.public

    def answer(self, envelope: bytes) -> bytes:
        """
        Another authority's message, answered; what we say is on disk before.

        Raises MalformedMessage for what isn't one, UserError when it can't be written.
        """
        _, message = unseal(envelope, self.network, self._authorities)
        return seal(self.network, self._key, self._reply(message))

    def offer(self, signed: bytes) -> News:
        """A directory from anywhere. Raises MalformedMessage, UserError."""
        news = self.files.offer(signed)
        if news is News.NEXT:
            _log.info("directory %d is agreed on", self.sequence - 1)
        elif news is News.FORKED and signed not in self._forks:
            self._forks.add(signed)
            _log.error("a second directory of number %d is signed; some authorities lie", self.sequence - 1)
        return news

    async def turn(self, slot: int) -> bool:
        """One slot: read up; propose, if it is our turn and one is due. Whether a directory came of it."""
        await self.read_up()
        if not self.is_our_turn(slot) or not is_due(self.wishes(), self.files.newest, self._now_s()):
            return False
        return await self.propose()

    async def read_up(self) -> None:
        """Take what others have beyond ours."""
        for peer in self.peers:
            try:
                fetched = await peer.fetch()
                while fetched is not None and self.offer(fetched.signed) is News.LATER:
                    before = self.sequence
                    between = await peer.fetch(before)
                    if between is None or self.offer(between.signed) is not News.NEXT:
                        break
            except (Unavailable, MalformedMessage) as error:
                _log.debug("%s: %s", peer.name, error)

    async def propose(self) -> bool:
        """An attempt at the next directory; whether it succeeded. Raises UserError: the disk is full."""
        self._highest = max(self._highest, self.files.said().promised)
        ballot = next_ballot(self._authorities, self._key.public, self._highest)
        attempt = Attempt(self._authorities, self.sequence, ballot, self._compose)
        try:
            while attempt.to_send is not None:
                message = attempt.to_send
                attempt.take(self._key.public, self._reply(message))
                await asyncio.gather(*(self._ask(peer, message, attempt) for peer in self.peers))
                if not attempt.go_on():
                    break
        except UserError as error:
            self.why_not = str(error)
            return False
        self._highest = max(self._highest, attempt.highest_ballot)
        if attempt.signed is None:
            unheard = [f"{name} isn't heard" for name in sorted(self.unheard)]
            self.why_not = "; ".join([*sorted(set(attempt.reasons)), *unheard])
            _log.warning("no directory %d yet: %s", self.sequence, self.why_not)
            return False
        self.why_not = ""
        self.offer(attempt.signed)
        await asyncio.gather(*(self._give(peer, attempt.signed) for peer in self.peers))
        return True

    def _compose(self) -> tuple[bytes, tuple[bytes, ...]]:
        return wanted(self.wishes(), self.files.newest, self._now_s())

    def _reply(self, message: Message) -> Message:
        before = self.files.said()
        state, answer = self._acceptor.answer(before, self.sequence, message, self._judge)
        if state != before:
            self.files.say(state)
        if isinstance(answer, Refused):
            _log.info("refused: %s", answer.reason)
        return answer

    def _judge(self, document: bytes, descriptors: Sequence[bytes], is_old: bool) -> None:
        judge(document, descriptors, self.wishes(), self.files.newest, self._now_s(), is_old=is_old)

    async def _ask(self, peer: Peer, message: Message, attempt: Attempt) -> None:
        try:
            answer = await peer.ask(seal(self.network, self._key, message))
            attempt.take(*unseal(answer, self.network, self._authorities))
            self.unheard.discard(peer.name)
        except (Unavailable, MalformedMessage) as error:
            self.unheard.add(peer.name)
            _log.debug("%s: %s", peer.name, error)

    async def _give(self, peer: Peer, signed: bytes) -> None:
        try:
            await peer.give(signed)
        except Unavailable as error:
            # It reads up by itself.
            _log.debug("%s: %s", peer.name, error)

"""
An authority's part in agreeing: state and message in, state and answer out. Pure.

The caller writes the new state to disk before the answer leaves; a state that was forgotten could let this
authority vote, or sign, twice.

Source: docs/spec/agreement.md, section 3.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from mix.directory.agreement.messages import (
    NOTHING,
    PROMISE,
    VOTE,
    Ballot,
    Commit,
    Prepare,
    Promise,
    Promised,
    Proposal,
    Refused,
    Signed,
    Vote,
    is_quorum,
    may_be_decided,
    signed_by,
)
from mix.directory.document import Count
from mix.directory.network import Authorities
from mix.directory.verify import DIRECTORY, Signature, document_hash
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey
from mixmint.wire import Message

Judge = Callable[[bytes, Sequence[bytes], bool], None]
"""
Raises MalformedMessage for a document (with its descriptors) that this authority doesn't want. The last one:
whether it was proposed before, and may be decided already; it isn't refused for its age then.
"""


class AcceptorState(Message, frozen=True):
    """
    What an authority has said about directory ``sequence``: the highest ballot it promised to, what it voted
    for last, and the document that it signed (empty for none).
    """

    sequence: Count
    promised: Ballot = 0
    voted_ballot: Ballot = 0
    voted: bytes = b""
    descriptors: tuple[bytes, ...] = ()
    signed: bytes = b""


Answer = Promised | Vote | Signed | Refused


class Acceptor:
    """One authority: its key, and whose votes count."""

    def __init__(self, key: SigningKey, authorities: Authorities) -> None:
        self._key = key
        self._authorities = authorities

    def answer(
        self, state: AcceptorState, sequence: int, message: Message, judge: Judge
    ) -> tuple[AcceptorState, Answer]:
        """
        The state to be written down, and then the answer to be given.

        ``sequence``: of the directory to agree on, the one after the newest that is signed.
        """
        if state.sequence != sequence:
            state = AcceptorState(sequence)
        if not isinstance(message, Prepare | Proposal | Commit):
            return state, self._refused(state, "kind")
        if message.sequence != sequence:
            return state, self._refused(state, "sequence")
        if isinstance(message, Prepare):
            return self._prepare(state, message)
        if isinstance(message, Proposal):
            return self._vote(state, message, judge)
        return self._sign(state, message)

    def _prepare(self, state: AcceptorState, message: Prepare) -> tuple[AcceptorState, Answer]:
        # The same ballot again is the same proposer, whom our answer didn't reach.
        if message.ballot < max(state.promised, 1):
            return state, self._refused(state, "ballot")
        state = replace(state, promised=message.ballot)
        voted = document_hash(state.voted) if state.voted else NOTHING
        promise = Promise(
            self._key.public, state.sequence, state.promised, state.voted_ballot, voted, bytes(64)
        )
        promise = signed_by(self._key, PROMISE, promise)
        return state, Promised(promise, state.voted, state.descriptors)

    def _vote(self, state: AcceptorState, message: Proposal, judge: Judge) -> tuple[AcceptorState, Answer]:
        if message.ballot < max(state.promised, 1):
            return state, self._refused(state, "ballot")
        hashed = document_hash(message.document)
        if message.ballot == state.voted_ballot and hashed != document_hash(state.voted):
            return state, self._refused(state, "two proposals in one ballot")
        if not is_quorum(message.promises, PROMISE, self._authorities) or any(
            (one.sequence, one.ballot) != (message.sequence, message.ballot) for one in message.promises
        ):
            return state, self._refused(state, "promises")
        decided = may_be_decided(message.promises, self._authorities)
        if decided not in (None, hashed):
            return state, self._refused(state, "another may be decided")
        try:
            judge(message.document, message.descriptors, decided is not None)
        except MalformedMessage as error:
            return state, self._refused(state, f"document: {error}"[:200])
        state = replace(
            state,
            promised=message.ballot,
            voted_ballot=message.ballot,
            voted=message.document,
            descriptors=message.descriptors,
        )
        vote = Vote(self._key.public, state.sequence, message.ballot, hashed, bytes(64))
        return state, signed_by(self._key, VOTE, vote)

    def _sign(self, state: AcceptorState, message: Commit) -> tuple[AcceptorState, Answer]:
        hashed = document_hash(message.document)
        if not is_quorum(message.votes, VOTE, self._authorities) or any(
            (vote.sequence, vote.ballot, vote.document) != (message.sequence, message.ballot, hashed)
            for vote in message.votes
        ):
            return state, self._refused(state, "votes")
        # Only authorities that break their promises can bring us here with another document.
        if state.signed and state.signed != message.document:
            return state, self._refused(state, "signed another")
        state = replace(state, signed=message.document)
        signature = Signature(self._key.public, self._key.sign(DIRECTORY, message.document))
        return state, Signed(state.sequence, signature)

    def _refused(self, state: AcceptorState, reason: str) -> Refused:
        return Refused(reason, state.sequence, state.promised)

"""
One attempt to get a directory agreed on: what to send next, and what the answers add up to. Pure.

Source: docs/spec/agreement.md, section 4.
"""

from collections.abc import Callable, Sequence

from mix.directory.agreement.messages import (
    PROMISE,
    VOTE,
    Commit,
    Prepare,
    Promise,
    Promised,
    Proposal,
    Refused,
    Signed,
    Vote,
    is_signed,
    may_be_decided,
)
from mix.directory.network import Authorities
from mix.directory.verify import DIRECTORY, Signature, SignedDirectory, document_hash
from mixmint.keys import verify
from mixmint.wire import Message, encode

Compose = Callable[[], tuple[bytes, tuple[bytes, ...]]]
"""The document that this authority wants, and the descriptors that it is made of."""


def next_ballot(authorities: Authorities, public: bytes, above: int) -> int:
    """The lowest ballot of the authority with this key that is higher than ``above``."""
    place, count = authorities.keys.index(public), len(authorities.keys)
    first = place + 1
    return first if above < first else first + ((above - first) // count + 1) * count


class Attempt:
    """
    Prepare, propose, commit, each sent to all (ourselves included) and answered by whoever is there.

    ``to_send`` is the message of the step; `take` each answer, with its sender; `go_on` when no more come.
    """

    def __init__(self, authorities: Authorities, sequence: int, ballot: int, compose: Compose) -> None:
        self._authorities = authorities
        self._compose = compose
        self._sequence = sequence
        self._ballot = ballot
        self._promises: dict[bytes, Promised] = {}
        self._votes: dict[bytes, Vote] = {}
        self._signatures: dict[bytes, Signature] = {}
        self.highest_ballot = ballot
        """The highest that anybody told of: the next attempt begins above it."""
        self.reasons: list[str] = []
        """Why others refused."""
        self.to_send: Message | None = Prepare(sequence, ballot)
        self.signed: bytes | None = None
        """The signed directory, once a threshold has signed."""

    def take(self, sender: bytes, answer: Message) -> None:
        """An answer from an authority; what doesn't belong to this step is ignored."""
        step = self.to_send
        if isinstance(answer, Refused):
            self.highest_ballot = max(self.highest_ballot, answer.ballot)
            self.reasons.append(answer.reason)
        elif isinstance(answer, Promised) and isinstance(step, Prepare):
            promise = answer.promise
            if self._is_ours(promise) and promise.authority == sender and _is_whole(answer):
                self._promises[sender] = answer
        elif isinstance(answer, Vote) and isinstance(step, Proposal):
            is_for_it = answer.document == document_hash(step.document)
            if self._is_ours(answer) and answer.authority == sender and is_for_it:
                self._votes[sender] = answer
        elif isinstance(answer, Signed) and isinstance(step, Commit):
            signature = answer.signature
            if signature.authority == sender and verify(
                sender, DIRECTORY, signature.signature, step.document
            ):
                self._signatures[sender] = signature

    def go_on(self) -> bool:
        """Whether a threshold answered, and there is a next step (or ``signed``)."""
        step, enough = self.to_send, self._authorities.threshold
        self.to_send = None
        if isinstance(step, Prepare) and len(self._promises) >= enough:
            self.to_send = self._proposal(list(self._promises.values()))
        elif isinstance(step, Proposal) and len(self._votes) >= enough:
            self.to_send = Commit(self._sequence, self._ballot, step.document, tuple(self._votes.values()))
        elif isinstance(step, Commit) and len(self._signatures) >= enough:
            signatures = sorted(self._signatures.values(), key=lambda one: one.authority)
            self.signed = encode(SignedDirectory(step.document, tuple(signatures)))
        return self.to_send is not None or self.signed is not None

    def _proposal(self, promised: Sequence[Promised]) -> Proposal:
        promises = tuple(one.promise for one in promised)
        decided = may_be_decided(promises, self._authorities)
        if decided is None:
            document, descriptors = self._compose()
        else:
            voted = next(one for one in promised if one.promise.voted == decided)
            document, descriptors = voted.document, voted.descriptors
        return Proposal(self._sequence, self._ballot, document, descriptors, promises)

    def _is_ours(self, message: Promise | Vote) -> bool:
        label = PROMISE if isinstance(message, Promise) else VOTE
        mine = (message.sequence, message.ballot) == (self._sequence, self._ballot)
        return mine and is_signed(message, label, self._authorities)


def _is_whole(answer: Promised) -> bool:
    """Whether the document that comes along is the one voted for."""
    promise = answer.promise
    if not promise.voted_ballot:
        return not answer.document
    return document_hash(answer.document) == promise.voted

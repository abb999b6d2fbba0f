"""
What authorities say to each other. Each message is inside an envelope that its sender signed.

Source: docs/spec/agreement.md, section 2.
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from msgspec import Meta
from msgspec.structs import replace

from mix.directory.document import Count
from mix.directory.network import Authorities
from mix.directory.verify import MOST_BYTES, Signature
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify
from mixmint.wire import Bytes32, Bytes64, Message, decode, encode

ENVELOPE = Label("mixmint/agreement/v1")
PROMISE = Label("mixmint/directory-promise/v1")
VOTE = Label("mixmint/directory-vote/v1")
MOST_ENVELOPE_BYTES = 8 * MOST_BYTES
NOTHING = bytes(32)

Ballot = Annotated[int, Meta(ge=0, le=2**62)]
"""Ballots of authority i of n are i + 1, i + 1 + n, i + 1 + 2n ...: none is anybody else's. 0 is none."""


class Prepare(Message, frozen=True):
    """I want to propose directory ``sequence`` in this ballot."""

    sequence: Count
    ballot: Ballot


class Promise(Message, frozen=True):
    """
    I take part in no lower ballot; my last vote was for the document of hash ``voted`` in ``voted_ballot``
    (zeros for none). Signed by itself, so that others can be shown it.
    """

    authority: Bytes32
    sequence: Count
    ballot: Ballot
    voted_ballot: Ballot
    voted: Bytes32
    signature: Bytes64

    def covered(self) -> tuple[bytes, ...]:
        """What the signature is over."""
        numbers = (self.sequence, self.ballot, self.voted_ballot)
        return (*(number.to_bytes(8) for number in numbers), self.voted)


class Promised(Message, frozen=True):
    """A promise, with the document that was voted for, and its descriptors (empty for none)."""

    promise: Promise
    document: bytes
    descriptors: tuple[bytes, ...]


class Proposal(Message, frozen=True):
    """
    This document, made of these descriptors. ``promises``: a threshold's for this ballot; they bind the
    proposer to what was voted for before.
    """

    sequence: Count
    ballot: Ballot
    document: bytes
    descriptors: tuple[bytes, ...]
    promises: tuple[Promise, ...]


class Vote(Message, frozen=True):
    """I vote for the document of hash ``document`` in this ballot. Signed by itself, like a promise."""

    authority: Bytes32
    sequence: Count
    ballot: Ballot
    document: Bytes32
    signature: Bytes64

    def covered(self) -> tuple[bytes, ...]:
        """What the signature is over."""
        return self.sequence.to_bytes(8), self.ballot.to_bytes(8), self.document


class Commit(Message, frozen=True):
    """A threshold voted for this document in this ballot: sign it."""

    sequence: Count
    ballot: Ballot
    document: bytes
    votes: tuple[Vote, ...]


class Signed(Message, frozen=True):
    """My signature of the directory."""

    sequence: Count
    signature: Signature


class Refused(Message, frozen=True):
    """
    No. ``reason`` as in acceptor.py; ``ballot``: the highest one I promised to; ``sequence``: the one that I
    am to agree on next.
    """

    reason: Annotated[str, Meta(max_length=200)]
    sequence: Count
    ballot: Ballot


KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Prepare, Promised, Proposal, Vote, Commit, Signed, Refused)
}


class Envelope(Message, frozen=True):
    """``body``: a message of this kind; signed by its sender, for one network."""

    network: Annotated[str, Meta(max_length=32)]
    kind: Annotated[str, Meta(max_length=16)]
    sender: Bytes32
    body: bytes
    signature: Bytes64


def seal(network: str, key: SigningKey, message: Message) -> bytes:
    """The signed envelope's bytes."""
    kind, body = type(message).__name__, encode(message)
    signature = key.sign(ENVELOPE, _head(network, kind), body)
    return encode(Envelope(network, kind, key.public, body, signature))


def unseal(data: bytes, network: str, authorities: Authorities) -> tuple[bytes, Message]:
    """
    The sender's key (32 bytes) and the message in an envelope.

    Raises MalformedMessage: not canonical, not for this network, not from one of the authorities.
    """
    envelope = decode(data, Envelope, MOST_ENVELOPE_BYTES)
    kind = KINDS.get(envelope.kind)
    if envelope.network != network or kind is None or envelope.sender not in authorities.keys:
        raise MalformedMessage("envelope")
    head = _head(network, envelope.kind)
    if not verify(envelope.sender, ENVELOPE, envelope.signature, head, envelope.body):
        raise MalformedMessage("signature")
    return envelope.sender, decode(envelope.body, kind, MOST_ENVELOPE_BYTES)


def _head(network: str, kind: str) -> bytes:
    return f"{network}/{kind}/".ljust(64).encode("ascii")


M = TypeVar("M", Promise, Vote)


def signed_by(key: SigningKey, label: Label, message: M) -> M:
    """The promise or vote with its signature."""
    return replace(message, signature=key.sign(label, *message.covered()))


def is_signed(message: Promise | Vote, label: Label, authorities: Authorities) -> bool:
    """Whether one of the authorities said so."""
    return message.authority in authorities.keys and verify(
        message.authority, label, message.signature, *message.covered()
    )


def is_quorum(
    messages: tuple[Promise, ...] | tuple[Vote, ...], label: Label, authorities: Authorities
) -> bool:
    """Whether these are a threshold's, each well signed, each authority once."""
    named = {message.authority for message in messages}
    return len(named) == len(messages) >= authorities.threshold and all(
        is_signed(message, label, authorities) for message in messages
    )


def may_be_decided(promises: Sequence[Promise], authorities: Authorities) -> bytes | None:
    """
    The hash of the document that a threshold may have voted for already, as far as these promises tell; None
    when there can't be one, so that anything may be proposed.

    Whoever isn't among them may have voted for it, too. Of several that are possible the one of the highest
    ballot is it: had a lower one been decided, that ballot's proposer would have been bound to it.
    """
    silent = len(authorities.keys) - len(promises)
    possible = [
        one
        for one in promises
        if one.voted_ballot
        and sum(other.voted == one.voted for other in promises) + silent >= authorities.threshold
    ]
    return max(possible, key=lambda one: one.voted_ballot).voted if possible else None

"""
Which submission may go on the board, and what makes two of them the same. Pure.

A submission is an entry's bytes: kind 1, body. Its *subject* is what the board takes once: whoever submits
the same thing again, in whatever words, is told where it is. Its *grounds* are what it stands on that can't
be had for nothing: coins that the bank certified, accounts that it opened, claims that wait for an answer. On
each ground a few submissions are taken at once; without one, or beyond those few, they wait their turn
(limits.py).

Source: docs/spec/claim.md, sections 2 and 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.evidence import ConfirmedLog
from bank.board.accusation.file import MOST_LOGGED_BYTES, Evidence, check, decode_accusation
from bank.board.accusation.successor import OfSuccessor
from bank.board.log.tree import leaf_hash
from bank.formats.answer import Answer
from bank.formats.claim import Claim
from bank.formats.coin import BankId, coin_id
from bank.formats.entry import (
    MOST_ENTRY_BYTES,
    AccusationEntry,
    AnswerEntry,
    ClaimEntry,
    KeyChangeEntry,
    Kind,
    PostedEntry,
    decode_entry,
)
from bank.formats.succession import BankKeys, KeyChange
from mix.directory.network import Authorities
from mixmint.errors import MalformedMessage, PeerError


@dataclass(frozen=True, slots=True)
class Parties:
    """
    The public key (32 bytes) of the board that takes submissions, the keys of the bank whose coins it shows,
    and the network's authorities, who may change those. None: this board knows of no authorities.
    """

    board_key: bytes
    keys: BankKeys
    authorities: Authorities | None = None

    @property
    def bank_key(self) -> bytes:
        """What the bank signs with now, 32 bytes."""
        return self.keys.current

    @property
    def bank(self) -> BankId:
        return self.keys.id


class Submission(Protocol):
    """What each kind of submission is."""

    kind: ClassVar[Kind]

    @property
    def entry(self) -> bytes:
        """As it would stand in the log."""

    @property
    def subject(self) -> bytes:
        """What may be on the board once, among submissions of this kind."""

    @property
    def account(self) -> bytes | None:
        """The account (key, 32 bytes) that must be on the board already."""

    def grounds(self) -> Iterator[bytes]:
        """What it stands on; none: it waits its turn."""

    def objection(self, parties: Parties) -> str | None:
        """Why it may not go on the board; None when it verifies. Costly: up to some hundred signatures."""


@dataclass(frozen=True, slots=True)
class ClaimSubmission:
    """A claim: one for each order, for each execution of one, for each account request."""

    kind: ClassVar[Kind] = Kind.CLAIM
    entry: bytes
    claim: Claim

    @property
    def subject(self) -> bytes:
        return self.claim.name

    @property
    def account(self) -> bytes | None:
        return None if self.claim.account is None else self.claim.account.request.account

    def grounds(self) -> Iterator[bytes]:
        """
        The coins that go in; of a withdrawal the account.

        One coin can sign endless orders, so it isn't ground for more than a few; a coin is spent by one.
        """
        if self.claim.order is not None:
            for key in self.claim.order.order.inputs:
                yield _ground(Kind.CLAIM, coin_id(key))
        elif self.account is not None:
            yield _ground(Kind.CLAIM, self.account)

    def objection(self, parties: Parties) -> str | None:
        """Whether a certificate by an earlier key stands where that counts is the desk's to look up."""
        return self.claim.objection(parties.keys.all, parties.bank)


@dataclass(frozen=True, slots=True)
class AnswerSubmission:
    """
    The bank's answer to a claim. Ground is the claim: the bank signs answers for nothing, so those to what
    nobody claimed could fill the board.
    """

    kind: ClassVar[Kind] = Kind.ANSWER
    entry: bytes
    answer: Answer
    account: ClassVar[None] = None

    @property
    def subject(self) -> bytes:
        return leaf_hash(self.entry)

    def grounds(self) -> Iterator[bytes]:
        yield _ground(Kind.ANSWER, self.answer.subject)

    def objection(self, parties: Parties) -> str | None:
        return None if self.answer.holds(parties.bank_key, parties.bank) else "the bank did not sign it"


@dataclass(frozen=True, slots=True)
class PostedSubmission:
    """
    A certificate that the bank didn't publish: one for each coin, value and epoch. A second one with another
    value or epoch convicts the bank, so it belongs on the board too.
    """

    kind: ClassVar[Kind] = Kind.POSTED
    entry: bytes
    posted: PostedEntry
    account: ClassVar[None] = None

    @property
    def subject(self) -> bytes:
        return self.posted.coin + self.posted.exponent.to_bytes(1) + self.posted.epoch.to_bytes(4)

    def grounds(self) -> Iterator[bytes]:
        yield _ground(Kind.POSTED, self.posted.coin)

    def objection(self, parties: Parties) -> str | None:
        return None if self.posted.holds(parties.bank_key, parties.bank) else "the bank did not sign it"


@dataclass(frozen=True, slots=True)
class AccusationSubmission:
    """
    An accusation of this board or its bank: one for each kind, accused and sentence, whichever evidence
    proves it. Ground is what it is about and whom it convicts.
    """

    kind: ClassVar[Kind] = Kind.ACCUSATION
    entry: bytes
    evidence: Evidence
    account: ClassVar[None] = None

    @property
    def subject(self) -> bytes:
        # All of it follows from the evidence, so two that say the same are about the same deed.
        accused, sentence = self.evidence.accused().text(), self.evidence.sentence()
        return f"{self.evidence.kind.word}\n{accused}\n{sentence}".encode()

    def grounds(self) -> Iterator[bytes]:
        accused = self.evidence.accused()
        if accused.bank is not None and accused.board is None:
            yield _ground(Kind.ACCUSATION, self.evidence.kind.to_bytes(1) + accused.bank)

    def objection(self, parties: Parties) -> str | None:
        accused = self.evidence.accused()
        own_board = accused.board is not None and accused.board.public == parties.board_key
        # An earlier key too: what it signed while it counted is the bank's own word for ever.
        own_bank = accused.bank in parties.keys.all and accused.bank_id == parties.bank
        if not (own_board or own_bank):
            # Anyone can make a key of his own and convict it of anything.
            return "it accuses neither this board nor its bank"
        if not (own_board or accused.board is None) or not (own_bank or accused.bank is None):
            # "The one or the other" with a key that anyone can make up says nothing of the one that is ours.
            return "it accuses somebody else beside this board or its bank, and it may be him alone"
        if accused.bank is not None and _is_void(self.evidence, parties.keys.end_of(accused.bank)):
            return "the bank had another key by then, so it proves nothing"
        verdict = check(self.evidence, parties.authorities)
        return None if verdict.holds else verdict.sentence


@dataclass(frozen=True, slots=True)
class KeyChangeSubmission:
    """
    A change of the bank's key, whoever brings it. One that contradicts an earlier one is taken too: it
    changes nothing, and shows what the authorities signed.
    """

    kind: ClassVar[Kind] = Kind.KEY_CHANGE
    entry: bytes
    change: KeyChange
    account: ClassVar[None] = None

    @property
    def subject(self) -> bytes:
        # The same with other authorities' signatures is the same change.
        return self.change.signed_part()

    def grounds(self) -> Iterator[bytes]:
        yield _ground(Kind.KEY_CHANGE, self.change.bank)

    def objection(self, parties: Parties) -> str | None:
        """Whether its cut is one of this board's own rounds is the desk's to look up."""
        change, who = self.change, parties.authorities
        if who is None:
            return "this board knows no authorities: its settings name no network file"
        if change.bank != parties.bank:
            return "it is about another bank"
        if not change.holds(who.keys, who.threshold):
            return f"fewer than {who.threshold} of the network's authorities signed it"
        try:
            BankKeys(parties.keys.founding, parties.keys.changes[: change.number - 1]).after(change)
        except PeerError as error:
            return error.detail
        return None


def read_submission(data: bytes) -> Submission:
    """
    Read what somebody wants on the board; no signature is checked here.

    Raises MalformedMessage: ``length``, ``kind`` (not his to submit), and what the parts' readers raise.
    """
    if not 1 < len(data) <= MOST_ENTRY_BYTES:
        raise MalformedMessage("length")
    match decode_entry(data):
        case ClaimEntry(body):
            return ClaimSubmission(data, Claim.decode(body))
        case AnswerEntry(body):
            return AnswerSubmission(data, Answer.decode(body))
        case PostedEntry() as posted:
            return PostedSubmission(data, posted)
        case AccusationEntry(body):
            if len(body) > MOST_LOGGED_BYTES:
                raise MalformedMessage("length")
            return AccusationSubmission(data, decode_accusation(body))
        case KeyChangeEntry(change):
            return KeyChangeSubmission(data, change)
    raise MalformedMessage("kind")


def _is_void(evidence: Evidence, end: int | None) -> bool:
    """
    Whether it is shown in a log that the accused key confirmed above the place where it ceased to count:
    whoever stole it may call everything there his own. Or it is silent there, where nothing it says counts.
    """
    shown = evidence.evidence if isinstance(evidence, OfSuccessor) else evidence
    if isinstance(shown, ClaimUnanswered):
        return end is not None and shown.leaves.indexes[-1] >= end
    log = getattr(shown, "log", None) or getattr(shown, "confirmed", None)
    return end is not None and isinstance(log, ConfirmedLog) and log.size > end


def _ground(kind: Kind, what: bytes) -> bytes:
    return kind.to_bytes(1) + what

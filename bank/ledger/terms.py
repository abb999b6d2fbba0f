"""The bank's terms, the moment by which requests are judged, and the bank's hand: key and id."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bank.formats.answer import Body, Certificates, sign_answer
from bank.formats.coin import BankId, bank_id, sign_certificate
from bank.formats.order import Output
from bank.formats.terms import PublishedTerms
from mixmint.keys import SigningKey

MOST_ROUND = 2**32 - 1
MOST_BALANCE = 2**62
"""Units. Far below what SQLite counts to, so that no sum on file can overflow."""


class Age(Enum):
    """What may be done with a coin, by its epoch."""

    GOOD = 1
    LAST = 2
    """Its last epoch of life: no hold is given any more, since no hold may outlive its coins."""
    GRACE = 3
    """It can only be exchanged."""
    EXPIRED = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What the bank promises to everyone alike.

    A coin epoch lasts ``epoch_s`` seconds; a coin lives for ``life_epochs`` of them, its own included, and
    can be exchanged for ``grace_epochs`` more. A hold lasts ``hold_rounds`` of the board; entries are public
    ``promise_rounds`` after the newest closed round at the latest; a claim on the board is answered there
    within ``claim_rounds``.
    """

    epoch_s: int = 30 * 86400
    life_epochs: int = 12
    grace_epochs: int = 3
    hold_rounds: int = 60
    promise_rounds: int = 60
    claim_rounds: int = 600

    @classmethod
    def of(cls, published: PublishedTerms) -> "Terms":
        """What a bank has published, as the rules use it."""
        return cls(
            published.epoch_s,
            published.life_epochs,
            published.grace_epochs,
            published.hold_rounds,
            published.promise_rounds,
            published.claim_rounds,
        )

    @property
    def expiry_epochs(self) -> int:
        """Epochs after its own in which a coin can still be used: life and grace."""
        return self.life_epochs + self.grace_epochs

    def published(self, key: SigningKey, bank: bytes, number: int) -> PublishedTerms:
        """These terms as an entry of the board says them, signed."""
        return PublishedTerms(
            bank,
            number,
            self.epoch_s,
            self.life_epochs,
            self.grace_epochs,
            self.hold_rounds,
            self.promise_rounds,
            self.claim_rounds,
        ).signed_by(key)

    def objection_after(self, before: "Terms") -> str | None:
        """
        Why these terms can't follow those that coins were made under; None when they can.

        A coin carries the number of its epoch, so another length would move every coin's age; and a shorter
        life or grace would take from coins that are out (docs/adr/0023).
        """
        if self.epoch_s != before.epoch_s:
            return f"a coin epoch stays {before.epoch_s} seconds long: coins carry their epoch's number"
        if self.life_epochs < before.life_epochs:
            return f"coins that are out were promised a life of {before.life_epochs} epochs"
        if self.expiry_epochs < before.expiry_epochs:
            return (
                f"coins that are out were promised {before.expiry_epochs} epochs of life and grace together"
            )
        return None

    def epoch_at(self, now_s: float) -> int:
        """The coin epoch of a time (Unix seconds)."""
        return int(now_s) // self.epoch_s

    def age(self, epoch: int, now: int) -> Age:
        """The age, in epoch ``now``, of a coin certified in ``epoch``."""
        lived = now - epoch
        if lived < self.life_epochs - 1:
            return Age.GOOD
        if lived < self.life_epochs:
            return Age.LAST
        return Age.GRACE if lived < self.life_epochs + self.grace_epochs else Age.EXPIRED


@dataclass(frozen=True, slots=True)
class Moment:
    """
    The clock of one batch of requests: the board's newest closed round (0 before the first), the coin epoch.

    Rounds are the only clock for last rounds, holds and promises, because both sides can prove them.

    ``asked``: what was newest when the request was put on the board as a claim, if it was: by that it is
    judged too late. Else a bank could keep silent until every claim is. ``asked_epoch``: the coin epoch of
    that round, by which the age of coins is judged then, for the same reason.
    """

    closed: int
    epoch: int
    asked: int | None = None
    asked_epoch: int | None = None

    @property
    def age_epoch(self) -> int:
        """The epoch by which coins are judged too old; never a later one than now."""
        return self.epoch if self.asked_epoch is None else min(self.epoch, self.asked_epoch)

    def is_past(self, last_round: int) -> bool:
        """Whether a request with this last round comes too late."""
        return (self.closed if self.asked is None else self.asked) >= last_round


class Signer:
    """
    The bank's hand: everything that it signs in answers goes through here.

    ``bank``: the bank's id (32 bytes), where ``key`` isn't its founding key (bank/formats/succession.py).
    ``answers_until``: while rounds before this one are the newest closed, a successor answers what his
    predecessor left unanswered.
    """

    __slots__ = ("answers_until", "bank", "key", "terms")

    def __init__(
        self, key: SigningKey, terms: Terms, bank: BankId | None = None, answers_until: int = 0
    ) -> None:
        self.answers_until = answers_until
        self.key = key
        self.bank: BankId = bank_id(key.public) if bank is None else bank
        self.terms = terms

    @property
    def is_successor(self) -> bool:
        """Whether the bank had another key before."""
        return self.answers_until > 0

    def promised_round(self, moment: Moment) -> int:
        """The round in which entries decided now are public, at the latest."""
        return min(moment.closed + self.terms.promise_rounds, MOST_ROUND)

    def certificates(self, outputs: Sequence[Output], epoch: int, round_: int) -> Certificates:
        """
        Certify outputs. Ed25519 is deterministic: certifying the same outputs in the same epoch again gives
        the same bytes, so no certificate is ever stored.
        """
        signatures = tuple(
            sign_certificate(self.key, self.bank, output.exponent, epoch, output.coin) for output in outputs
        )
        return Certificates(round_, epoch, signatures)

    def answer(self, subject: bytes, body: Body) -> bytes:
        """A signed answer's bytes."""
        return sign_answer(self.key, self.bank, subject, body)

    def __repr__(self) -> str:
        return f"Signer(bank={self.bank.hex()[:16]}...)"

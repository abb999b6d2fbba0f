"""
The file of an accusation: a header for people, and the evidence in base64. Pure.

    mixmint accusation v1
    kind: <word>
    against: <whom, by public keys>
    <one sentence>

    <base64 of kind 1 || evidence, 76 characters to a line>

ASCII. The header is a function of the evidence, so nobody can put other words over somebody's signatures; and
each accusation has one file.

Source: docs/spec/accusation.md, section 1.
"""

from base64 import b64decode, b64encode
from typing import Protocol, Self

from bank.board.accusation.answers import OverlappingHolds
from bank.board.accusation.books import (
    CertifiedTwice,
    EntryFalse,
    SpentTwice,
    StatementsContradict,
    ValueCreated,
)
from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.denied import ExecutionDenied
from bank.board.accusation.lies import AccountForked, AnswerFalse
from bank.board.accusation.log import BoardEquivocation, LogInvalid, MapFalse, TwoViews, WholeLog
from bank.board.accusation.receipts import FeedReceiptBroken, ReceiptBroken
from bank.board.accusation.successor import OfBank, OfSuccessor
from bank.board.accusation.verdict import Accused, Kind, Verdict
from bank.formats.fields import Reader
from mix.directory import Authorities
from mixmint.errors import MalformedMessage

TITLE = "mixmint accusation v1"
SUCCESSORS_TITLE = "mixmint accusation v2"
"""Of a bank whose key was changed: what shows that stands before the evidence."""
MOST_FILE_BYTES = 1 << 24
MOST_LOGGED_BYTES = 32_000
"""An accusation that fits one entry of a board's log."""
_LINE = 76


class Evidence(Protocol):
    """What each kind of evidence is."""

    @property
    def kind(self) -> Kind:
        """What it is about."""

    def encode(self) -> bytes:
        """Its one encoding, without the kind."""

    def accused(self) -> Accused:
        """Whom it accuses, true or not."""

    def sentence(self) -> str:
        """What it says, true or not: one line of ASCII."""

    def objection(self) -> str | None:
        """Why it proves nothing; None when it proves its sentence."""


class Readable(Evidence, Protocol):
    """Evidence that is read by itself."""

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Raises MalformedMessage."""


class ReadableOfBank(OfBank, Readable, Protocol):
    """The same, of a bank."""


_OF_BANKS: dict[Kind, type[ReadableOfBank]] = {
    Kind.COIN_SPENT_TWICE: SpentTwice,
    Kind.CERTIFIED_TWICE: CertifiedTwice,
    Kind.VALUE_CREATED: ValueCreated,
    Kind.STATEMENTS_CONTRADICT: StatementsContradict,
    Kind.OVERLAPPING_HOLDS: OverlappingHolds,
    Kind.CLAIM_UNANSWERED: ClaimUnanswered,
    Kind.ENTRY_FALSE: EntryFalse,
    Kind.TWO_VIEWS: TwoViews,
    Kind.ANSWER_FALSE: AnswerFalse,
    Kind.ACCOUNT_FORKED: AccountForked,
    Kind.EXECUTION_DENIED: ExecutionDenied,
}
_READERS: dict[Kind, type[Readable]] = {
    **_OF_BANKS,
    Kind.BOARD_EQUIVOCATION: BoardEquivocation,
    Kind.RECEIPT_BROKEN: ReceiptBroken,
    Kind.FEED_RECEIPT_BROKEN: FeedReceiptBroken,
    Kind.LOG_INVALID: LogInvalid,
    Kind.MAP_FALSE: MapFalse,
    Kind.WHOLE_LOG: WholeLog,
}


def encode_accusation(evidence: Evidence) -> bytes:
    """The file's bytes."""
    body = b64encode(evidence.kind.to_bytes(1) + evidence.encode()).decode()
    lines = [body[at : at + _LINE] for at in range(0, len(body), _LINE)]
    header = (
        SUCCESSORS_TITLE if isinstance(evidence, OfSuccessor) else TITLE,
        f"kind: {evidence.kind.word}",
        f"against: {evidence.accused().text()}",
        evidence.sentence(),
        "",
    )
    return "".join(line + "\n" for line in (*header, *lines)).encode("ascii")


def decode_accusation(data: bytes) -> Evidence:
    """
    Read a file; nothing is checked but its form.

    Raises MalformedMessage: ``size``, ``text`` (no accusation, or other words than its evidence's), ``kind``
    (unknown), and what the evidence's readers raise.
    """
    if len(data) > MOST_FILE_BYTES:
        raise MalformedMessage("size")
    title, _, _ = data.partition(b"\n")
    if not data.isascii() or title not in {TITLE.encode(), SUCCESSORS_TITLE.encode()}:
        raise MalformedMessage("text")
    _, _, body = data.partition(b"\n\n")
    try:
        reader = Reader(b64decode(body.replace(b"\n", b""), validate=True))
    except ValueError:
        raise MalformedMessage("text") from None
    number = reader.number(1)
    if number not in _READERS:
        raise MalformedMessage("kind", f"accusations of kind {number} are unknown here")
    evidence: Evidence
    if title == TITLE.encode():
        evidence = _READERS[Kind(number)].read(reader)
    elif Kind(number) not in _OF_BANKS:
        raise MalformedMessage("kind", f"accusations of kind {number} are of no bank")
    else:
        head = OfSuccessor.read_head(reader)
        evidence = OfSuccessor(*head, _OF_BANKS[Kind(number)].read(reader))
    reader.end()
    if encode_accusation(evidence) != data:
        raise MalformedMessage("text", "the header doesn't say what the evidence says")
    return evidence


def check(evidence: Evidence, who: Authorities | None = None) -> Verdict:
    """
    Check an accusation, offline and whole. ``who``: the network's authorities, without whom nobody can tell
    whose key a bank's later one is.
    """
    objection = evidence.objection(who) if isinstance(evidence, OfSuccessor) else evidence.objection()
    return Verdict(objection is None, evidence.accused(), objection or evidence.sentence())


def check_file(data: bytes, who: Authorities | None = None) -> Verdict:
    """Read and check. Raises MalformedMessage: it is no accusation."""
    return check(decode_accusation(data), who)

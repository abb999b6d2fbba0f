"""Phases, events and effects, as every machine here uses them."""

from dataclasses import dataclass
from enum import Enum

from bank.formats.account import Statement
from bank.formats.answer import Answer
from bank.formats.order import Output


class Phase(Enum):
    """How far an operation is. The last three are final; *kept* and *lapsed* wait for somebody else."""

    READING = "reading"
    """An account's new statements are being read."""
    ASKED = "asked"
    """It is with the bank, or may be: outcome unknown."""
    HELD = "held"
    """Another order holds one of its coins; it is asked again after that hold."""
    LOOKING = "looking"
    """It was executed, and the certificates are picked up from the board."""
    ANSWERED = "answered"
    """The bank has signed what it asked for; the board will show it."""
    KEPT = "kept"
    """Somebody else may carry it out: the payee, who has the h of a hold, or the whole signed order."""
    LAPSED = "lapsed"
    """That is over. Its coins are exchanged, so that it can't happen any more."""
    WORKING = "working"
    """A plan of several orders is under way, or a payment is waited for."""
    SETTLED = "settled"
    REFUSED = "refused"
    EXPIRED = "expired"


FINAL = frozenset((Phase.SETTLED, Phase.REFUSED, Phase.EXPIRED))
RESTING = FINAL | {Phase.KEPT, Phase.LAPSED}
"""Nothing is asked of the bank: it is over, or another's turn."""


@dataclass(frozen=True, slots=True)
class Begin:
    """It was just written to disk, or the process has started again. ``round``: the board's newest known."""

    round: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The bank's answer, verified (wallet/answers.py)."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Wrong:
    """
    An answer that isn't the bank's, or doesn't answer what was asked. ``signed``: how long the answer is, at
    the beginning of ``data``, if the bank signed it; 0 if not.
    """

    data: bytes
    reason: str
    signed: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What one closed round of the board shows of this operation: ids certified (of those it asks for), coin
    keys spent under its seal, and which of the ids were posted by a holder, not by the bank.
    """

    round: int
    certified: frozenset[bytes]
    spent: frozenset[bytes]
    posted: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Clock:
    """The board's newest closed round, everything up to it having been seen."""

    round: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """Fresh outputs, where the ones asked for were taken; the order was signed anew with them."""

    outputs: tuple[Output, ...]
    signed: bytes = b""


@dataclass(frozen=True, slots=True)
class Revoke:
    """The member takes back what he has handed out and nobody has carried out yet."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The coins of an order that lapsed were exchanged by the wallet itself."""


@dataclass(frozen=True, slots=True)
class Blamed:
    """
    The bank says, in an answer to another order (``proof``), that this one spent a coin of both. If so, the
    board shows it by round ``until``.
    """

    proof: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim for it is made: the CLAIM entry's bytes."""

    entry: bytes


@dataclass(frozen=True, slots=True)
class Planned:
    """It is to be claimed, in the round after this one."""

    round: int


@dataclass(frozen=True, slots=True)
class Posted:
    """The board has taken the claim."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The board shows the claim, in this round."""

    round: int


@dataclass(frozen=True, slots=True)
class Told:
    """The bank's answer to the claim, on the board, verified (wallet/answers.py)."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """
    The board shows, in ``round``, that the bank's key was changed; ``cut``: the last round that counts of the
    old key. ``unbooked``: of a deposit that the successor's statement of the account hasn't.
    """

    cut: int
    round: int
    unbooked: bool = False


Event = (
    Begin
    | Answered
    | Wrong
    | Seen
    | Clock
    | Renewed
    | Revoke
    | Returned
    | KeyChanged
    | Blamed
    | Claimed
    | Planned
    | Posted
    | Shown
    | Told
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Send ``body`` to the bank as the conversation with this number (of the operation's)."""

    attempt: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Certify:
    """These own outputs are certified; the board will show them by ``round``."""

    outputs: tuple[Output, ...]
    certificates: tuple[bytes, ...]
    epoch: int
    round: int


@dataclass(frozen=True, slots=True)
class Spend:
    """These own coins (ids) are spent for good."""

    coins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """These own coins (ids) went back to the account, unspent, for good."""

    coins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """These own coins (ids) were kept for the operation and are not any more."""

    coins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Lose:
    """Somebody else spent this coin: its key, that order's seal and the coin key's signature of it."""

    coin_key: bytes
    seal: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Dispute:
    """The bank refuses this coin (id) although its certificate is the bank's: set it aside."""

    coin: bytes


@dataclass(frozen=True, slots=True)
class Void:
    """These ids were never certified. Their secrets stay on file: if the board shows one, it is ours."""

    coins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Extend:
    """The account's chain goes on with this statement (222 bytes, signed)."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class MakeOutputs:
    """Make fresh ids with these exponents instead of the taken ones, and feed ``Renewed``."""

    exponents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """The conversations up to this number are over; the post may delete them."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Evidence against the bank: a file, to be shown to anyone."""

    reason: str
    data: bytes


Effect = (
    Ask | Certify | Spend | Replaced | Free | Lose | Dispute | Void | Extend | MakeOutputs | Forget | Keep
)

Head = Statement | None

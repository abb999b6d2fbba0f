"""A coin of the purse's: what is known of it, and what became of it."""

from enum import Enum

import msgspec

from bank.formats.coin import Coin, CoinId, Secret, coin_id
from mixmint.errors import FatalError
from mixmint.keys import SigningKey


class CoinState(Enum):
    """What became of a coin."""

    EXPECTED = "expected"
    """Its id was asked for; not certified yet, as far as we know."""
    PENDING = "pending"
    """Certified by the bank's answer; the board doesn't show it yet."""
    FREE = "free"
    RESERVED = "reserved"
    """Kept for an operation whose outcome isn't known."""
    SPENT = "spent"
    HANDED = "handed over"
    """Written into a bearer file."""
    LOST = "lost"
    """Spent by an order that isn't ours; the proof is on file."""
    DISPUTED = "disputed"
    """Refused by the bank, although its certificate is the bank's."""
    EXPIRED = "expired"
    """Its grace is over, by the board's clock: no money any more."""
    REPLACED = "replaced"
    """Never spent, and back in the account."""
    VOID = "void"
    """The order that asked for it was refused. If the board shows it all the same, it is ours."""


class CoinRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    A coin of ours, or one that may become ours. The repr hides its secret.

    ``exchanges``: own exchanges since it came in. ``recognisable``: somebody else has seen its id as ours (a
    payment request named it). ``operation``: the row of the operation that made or keeps it. ``posted``:
    whether its certificate was put on the board by us, since the bank hadn't. ``proof``: coin key, seal and
    signature of the order that took it away. ``beside``: how many coins of its value and epoch its round
    certified, itself included (0: not known). ``device``: the copy of this wallet that made the secret.
    ``elsewhere``: it came by another copy, or was found by a restore; how often it was exchanged isn't known
    then, and counts as never. ``leaf``: of what a restore found, the first leaf of its certificate's round.
    ``reclaimed``: the bank denied it, and its exchange was claimed on the board.
    """

    secret: bytes
    exponent: int
    state: CoinState
    purpose: int
    counter: int
    exchanges: int = 0
    recognisable: bool = False
    operation: int = 0
    epoch: int = 0
    certificate: bytes = b""
    round: int = 0
    posted: bool = False
    proof: bytes = b""
    beside: int = 0
    device: int = 0
    elsewhere: bool = False
    leaf: int = 0
    reclaimed: bool = False

    @property
    def units(self) -> int:
        return 1 << self.exponent

    @property
    def is_clean(self) -> bool:
        """Whether neither a payer nor the account's withdrawal leads to it."""
        return self.exchanges > 0 and not self.recognisable

    def coin(self) -> Coin:
        """The coin as it is handed over. Raises FatalError when it was never certified."""
        if not self.certificate:
            raise FatalError("a coin without a certificate was about to be used")
        return Coin(Secret(self.secret), self.exponent, self.epoch, self.certificate)

    def key(self) -> SigningKey:
        return SigningKey(self.secret)

    def id(self) -> CoinId:
        return coin_id(self.key().public)

    def __repr__(self) -> str:
        return f"CoinRecord(units={self.units}, state={self.state.value})"

"""What is on file of a withdrawal, a deposit or a replacement. Pure."""

from functools import cached_property

import msgspec

from bank.formats.account import Operation, SignedAccountRequest, SignedStatement
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder, input_ids
from wallet.machines.record import ClaimRecord
from wallet.machines.steps import Phase


class AccountState(msgspec.Struct, frozen=True, kw_only=True, tag="account", dict=True):
    """
    A withdrawal (``outputs``: coin id and exponent each), a deposit (``order``: the signed order), or a
    replacement (``replaced``: as outputs, coins of a withdrawal; ``receipt``: that withdrawal's signed
    request, then the bank's signed statement).

    ``requests``: every account request that was ever signed for it, the newest last. ``current``: the one
    that is asked. ``since``: the first statement that is asked for; on file, because the head may move on
    while the question is under way, and one conversation carries one question. ``round``: promised when
    answered, the board's when settled. ``shown``: the round in which the board showed it before the bank's
    answer came. ``late``: outputs that the board has shown without the rest.
    """

    operation: int
    bank: bytes
    request_id: bytes
    last_round: int
    outputs: tuple[tuple[bytes, int], ...] = ()
    order: bytes = b""
    parent: int = 0
    phase: Phase = Phase.READING
    requests: tuple[bytes, ...] = ()
    current: int = 0
    since: int = 0
    attempt: int = 0
    round: int = 0
    shown: int = 0
    overdue: bool = False
    late: tuple[bytes, ...] = ()
    reason: str = ""
    proof: bytes = b""
    claim: ClaimRecord = ClaimRecord()
    replaced: tuple[tuple[bytes, int], ...] = ()
    receipt: bytes = b""

    @cached_property
    def opened(self) -> SignedOrder:
        return SignedOrder.decode(self.order)

    @property
    def is_deposit(self) -> bool:
        return self.operation == Operation.DEPOSIT

    @property
    def is_replacement(self) -> bool:
        return self.operation == Operation.REPLACE

    @cached_property
    def withdrawal(self) -> tuple[SignedAccountRequest, SignedStatement]:
        """What a replacement shows: the withdrawal that made its coins."""
        reader = Reader(self.receipt)
        return SignedAccountRequest.read(reader), SignedStatement.read(reader)

    @property
    def mine(self) -> tuple[bytes, ...]:
        return tuple(coin for coin, _ in self.outputs)

    def inputs(self) -> tuple[bytes, ...]:
        """The ids of the coins that a deposit spends."""
        return input_ids(self.opened.order) if self.is_deposit else ()

    def signed(self) -> SignedAccountRequest:
        """The request that is asked."""
        return SignedAccountRequest.read(Reader(self.requests[self.current]))

    def wanted(self) -> frozenset[bytes]:
        """The coin ids that the board must show."""
        return frozenset(self.mine)

    def __repr__(self) -> str:
        return f"AccountState({Operation(self.operation).name.lower()}, {self.phase.value})"

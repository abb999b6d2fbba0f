"""
What an operation's row in the purse holds: the state of one machine, or a plan made of several orders.

A plan remembers only what was wanted. Which orders come next is worked out anew from the coins that are there
(wallet/plans.py), so a plan that a crash interrupted goes on from wherever its orders came to.
"""

from enum import Enum
from typing import Any

import msgspec

from mixmint.errors import FatalError
from wallet.machines import account, claim, foreign, invoice, order, promised, succession
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, Effect, Event, Head, KeyChanged, Phase


class Want(Enum):
    """What a plan is for."""

    PAY = "pay"
    HAND_OVER = "hand over"
    RECEIVE = "receive"
    EXCHANGE = "exchange"
    DEPOSIT = "deposit"
    TAKE_BACK = "take back"
    """Exchange the coins of a hold or a sealed payment that lapsed."""
    CHURN = "churn"


STOCK = "stock"
"""The purpose of exchanges that nobody asked for singly: they keep coins ready, and hidden."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """
    One output of a request that is paid coin by coin. ``coin``: the id of the coin that is kept for it, empty
    while none is. ``due_s``: when its order goes (Unix seconds); 0 before that is drawn, and of the first.
    ``orders``: the rows of the orders that pay it, the oldest first. The repr hides the coin.
    """

    coin: bytes = b""
    due_s: float = 0.0
    orders: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Part(orders={self.orders})"


class PlanState(msgspec.Struct, frozen=True, kw_only=True, tag="plan"):
    """
    Something the member asked for that may take several orders. The repr hides coins and requests.

    ``request``: PAY, the payment request's bytes. ``path``: HAND_OVER, the file. ``coins``: RECEIVE, the
    bearer coins as they came (101 bytes each); HAND_OVER, the ids of the coins once chosen; EXCHANGE, the ids
    to exchange. ``last``: the order or deposit that does it, once there is one; TAKE_BACK: the order that
    lapsed. ``tries``: how many of those were refused. ``units``: what came of it. ``note``, ``statement``:
    PAY, what the order binds. ``is_sealed``: PAY, the order is handed over whole; ``path``: to this file, if
    any; ``blocks``: how many of the request's reply blocks its payee was told by. ``refunds``: PAY, the row
    of the request whose payer gets his money back. CHURN: coins of the values
    ``exponents`` (all, when there are none) are exchanged ``to`` times, and while fewer than ``public`` look
    like them in an old epoch; the
    next one is due at ``next_s``, the last one at ``until_s`` (Unix seconds).
    ``opened``: EXCHANGE, the wallet began it by itself, since a claim showed these coins to everyone;
    ``from_round``: the board's, from which on it may leave; 0 before that is drawn.
    ``is_apart``: PAY, each output by an order of its own, within ``spread_s`` seconds, but without waiting
    once the board has closed ``until_round``; ``parts``: for each of the request's outputs, in their order,
    once their coins are kept. ``last`` is then the order that was settled last. ``shown``: those of the
    request's ids that the board shows, whoever paid them.
    """

    want: Want
    amount: int = 0
    now: bool = False
    request: bytes = b""
    path: str = ""
    coins: tuple[bytes, ...] = ()
    last: int = 0
    tries: int = 0
    phase: Phase = Phase.WORKING
    reason: str = ""
    units: int = 0
    note: str = ""
    statement: str = ""
    is_sealed: bool = False
    refunds: int = 0
    to: int = 0
    public: int = 0
    exponents: tuple[int, ...] = ()
    next_s: float = 0.0
    until_s: float = 0.0
    opened: bool = False
    from_round: int = 0
    blocks: int = 0
    is_apart: bool = False
    spread_s: float = 0.0
    until_round: int = 0
    parts: tuple[Part, ...] = ()
    shown: tuple[bytes, ...] = ()

    @property
    def is_partly_paid(self) -> bool:
        """A payment that came to its end with only some of its coins, and nobody else paid the others."""
        return self._is_cut_short and len(self.shown) < len(self.parts)

    @property
    def is_paid_with_others(self) -> bool:
        """One of which somebody else paid the rest: another copy of this wallet, it may be."""
        return self._is_cut_short and not self.is_partly_paid

    @property
    def _is_cut_short(self) -> bool:
        return self.is_apart and self.phase is Phase.SETTLED and self.units < self.amount

    def __repr__(self) -> str:
        return f"PlanState({self.want.value}, {self.phase.value})"


Machine = OrderState | AccountState | InvoiceState


def is_wish(state: Machine | PlanState) -> bool:
    """Whether the member asked for it himself: no part of a plan, and not what the agent does by itself."""
    return not getattr(state, "parent", 0) and getattr(state, "purpose", "") != STOCK


class Stored(msgspec.Struct, frozen=True):
    """A row's content. ``made_s``: when, in whole hours (Unix seconds): a history, not a log of moments."""

    state: OrderState | PromisedState | ForeignState | AccountState | InvoiceState | PlanState
    made_s: int

    @property
    def is_open(self) -> bool:
        return self.state.phase not in FINAL

    def __repr__(self) -> str:
        return f"Stored({self.state!r})"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Stored)


def encode_stored(stored: Stored) -> bytes:
    return _encoder.encode(stored)


def decode_stored(data: bytes) -> Stored:
    """Raises FatalError: written by a newer version, or by nobody of ours."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise FatalError(f"a stored operation can't be read ({error}); update mixmint") from None


def _of_order(state: OrderState, event: Event) -> tuple[OrderState, list[Effect]]:
    return foreign.advance(state, event) if isinstance(state, ForeignState) else order.advance(state, event)


def advance(state: Machine, event: Event, head: Head, key: Any) -> tuple[Machine, list[Effect]]:
    """One step of whichever machine it is."""
    if isinstance(event, KeyChanged):
        if isinstance(state, InvoiceState):
            return invoice.advance(state, event)
        if isinstance(state, OrderState):
            return succession.order_after(state, event)
        return succession.account_after(state, event, key)
    if isinstance(state, PromisedState):
        return promised.advance(state, event)
    if isinstance(state, OrderState):
        return claim.advance(state, event, _of_order)
    if isinstance(state, InvoiceState):
        return invoice.advance(state, event)
    return claim.advance(state, event, lambda state, event: account.advance(state, event, head, key))

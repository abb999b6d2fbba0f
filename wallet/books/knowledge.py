"""What the wallet knows of its account, its bank and the board: read from the purse, never written."""

from collections.abc import Sequence

from bank.board.reading.client import Cursor
from bank.formats.account import SignedAccountRequest, SignedStatement, Statement
from bank.formats.answer import Answer, Certificates
from bank.formats.coin import total_units
from bank.formats.entry import PostedEntry
from bank.formats.fields import Reader
from bank.formats.terms import PublishedTerms
from mixmint.errors import FatalError, MalformedMessage
from wallet.anonymity.crowd import Crowd
from wallet.answers import Bank, Booking, Known
from wallet.lookout import seals_of
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState
from wallet.machines.order import MOST_PROMISED_ROUNDS, OrderState
from wallet.machines.steps import Phase
from wallet.operations import Machine
from wallet.purse import CoinState, Purse
from wallet.restoring.copies import Copies
from wallet.succession import with_known_changes

FORGOTTEN_ROUNDS = 2
"""So long after the promised round the wallet takes it that the bank forgot."""


class Knowledge:
    """``bank``: its names and keys, as far as the board was read."""

    def __init__(self, purse: Purse, bank: Bank) -> None:
        """``bank``: as the directory and the network file say; how its key was changed, the purse knows."""
        self.purse = purse
        self.bank = with_known_changes(purse, bank)
        self.copies = Copies(purse)

    def head(self) -> Statement | None:
        """The last verified statement of the account's chain."""
        signed = self.purse.fact("chain")
        return None if not signed else SignedStatement.read(Reader(signed)).statement

    def cursor(self) -> Cursor | None:
        """How far the board was read; None before the first time. Raises FatalError when it can't be read."""
        stored = self.purse.fact("cursor")
        try:
            return None if stored is None else Cursor.decode(stored)
        except MalformedMessage:
            raise FatalError(
                "the purse's place on the board is damaged, or of a board without a log"
            ) from None

    @property
    def closed(self) -> int:
        """The newest round of the board that was read; 0 before the first."""
        cursor = self.cursor()
        return cursor.round if cursor else 0

    def crowd(self) -> Crowd:
        """How many unspent coins of each value and epoch the board has, as far as it was read."""
        stored = self.purse.fact("crowd")
        return Crowd() if stored is None else Crowd.decode(stored)

    def terms(self) -> PublishedTerms | None:
        """The bank's newest terms that the board has shown; None before the first."""
        stored = self.purse.fact("terms")
        return None if stored is None else PublishedTerms.read(Reader(stored))

    def known(self, state: Machine) -> Known:
        """What an answer to this operation is checked against."""
        closed, seals = self.closed, frozenset(seals_of(state))
        if isinstance(state, ForeignState):
            return Known(self.head(), closed, seals=seals, foreign=state.opened)
        if not isinstance(state, AccountState):
            return Known(self.head(), closed, seals=seals)
        units = sum(self.worth(state.inputs()).values())
        return Known(self.head(), closed, units, seals, self._bookings(), shared=self.copies.may_sign)

    def _bookings(self) -> dict[bytes, Booking]:
        """What the bank may book on the account: every request that was ever signed, by its digest."""
        bookings = {}
        for stored in self.purse.operations().values():
            state = stored.state
            if isinstance(state, AccountState):
                deposited = sum(self.worth(state.inputs()).values())
                for data in state.requests:
                    request = SignedAccountRequest.read(Reader(data)).request
                    units = deposited + total_units(output.exponent for output in request.outputs)
                    bookings[request.digest()] = Booking(request.sequence, request.operation, units)
        return bookings

    def worth(self, coins: Sequence[bytes]) -> dict[bytes, int]:
        """What each of these coins of ours is worth, in units."""
        found = {coin: self.purse.coin(coin) for coin in coins}
        return {coin: each[1].units for coin, each in found.items() if each is not None}

    def forgotten(self) -> dict[int, PostedEntry]:
        """
        Certificates that the bank promised to publish, and hadn't when its round was well past: as entries
        for the board, by the coin's row.
        """
        cursor = self.cursor()
        if cursor is None:
            return {}
        return {
            row: PostedEntry(coin.id(), coin.exponent, coin.epoch, coin.certificate)
            for row, coin in self.purse.coins(CoinState.PENDING).items()
            if coin.certificate and not coin.posted and coin.round + FORGOTTEN_ROUNDS <= cursor.round
        }

    def withheld(self) -> dict[int, tuple[PostedEntry, ...]]:
        """The same of what orders of ours paid to others, by the order's row: the bank's answer has them."""
        return {
            row: _paid_to_others(state)
            for row, state in self._answered().items()
            if not state.posted and state.round + FORGOTTEN_ROUNDS <= self.closed and _paid_to_others(state)
        }

    def _answered(self) -> dict[int, OrderState]:
        stored = self.purse.open_operations().items()
        # What we carry out for somebody else is in his wallet's care, but for our own coins.
        return {
            row: each.state
            for row, each in stored
            if type(each.state) is OrderState and each.state.phase is Phase.ANSWERED
        }

    def public_by(self) -> int:
        """The round by which the board shows what the bank has done by now."""
        terms = self.terms()
        promised = MOST_PROMISED_ROUNDS if terms is None else terms.promise_rounds
        return self.closed + promised + FORGOTTEN_ROUNDS


def _paid_to_others(state: OrderState) -> tuple[PostedEntry, ...]:
    """The certificates of outputs that aren't ours, which the board hasn't shown; none without the answer."""
    body = Answer.decode(state.proof).body if state.proof else None
    if not isinstance(body, Certificates):
        return ()
    return tuple(
        PostedEntry(output.coin, output.exponent, body.epoch, certificate)
        for output, certificate in zip(state.order.outputs, body.certificates, strict=True)
        if output.coin not in state.mine and output.coin not in state.late
    )

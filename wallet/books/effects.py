"""
What an effect does to coins. All of it inside the purse's transaction, with the state that it follows from.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bank.formats.account import Operation, SignedStatement
from bank.formats.coin import coin_id
from bank.formats.fields import Reader
from bank.formats.order import input_ids
from wallet.books.evidence import Evidence
from wallet.books.knowledge import Knowledge
from wallet.books.signing import void
from wallet.lookout import is_to_come, seals_of
from wallet.machines.account import AccountState
from wallet.machines.claim import RECLAIM
from wallet.machines.order import OrderState
from wallet.machines.steps import (
    Blamed,
    Certify,
    Dispute,
    Effect,
    Event,
    Extend,
    Free,
    Keep,
    Lose,
    Phase,
    Replaced,
    Spend,
    Void,
)
from wallet.purse import CoinState
from wallet.reviving import revive
from wallet.statements import keep_statement

_IN_HAND = (CoinState.FREE, CoinState.RESERVED, CoinState.PENDING, CoinState.DISPUTED)


class Effects:
    """
    ``feed`` hands an event to another operation; ``recovered`` is told of a successor's first statement of
    the account.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        evidence: Evidence,
        feed: Callable[[int, Event], object],
        recovered: Callable[[bytes], None],
    ) -> None:
        self._knowledge = knowledge
        self._purse = knowledge.purse
        self._evidence = evidence
        self._feed = feed
        self._recovered = recovered

    def apply(self, row: int, effect: Effect) -> None:
        """Carry out an effect of operation ``row`` that stays inside the purse."""
        if isinstance(effect, Certify):
            self._certify(effect)
        elif isinstance(effect, Spend):
            self._move(effect.coins, CoinState.SPENT, operation=row)
        elif isinstance(effect, Free):
            self._free(row, effect.coins)
        elif isinstance(effect, Lose):
            proof = effect.coin_key + effect.seal + effect.signature
            self._lose(coin_id(effect.coin_key), proof, self._signed_by_us(effect.seal), row)
        elif isinstance(effect, Dispute):
            self._move((effect.coin,), CoinState.DISPUTED)
        elif isinstance(effect, Void):
            void(self._purse, effect.coins)
        elif isinstance(effect, Replaced):
            self._move(effect.coins, CoinState.REPLACED, operation=row)
        elif isinstance(effect, Extend):
            keep_statement(self._purse, effect.statement)
            self._purse.set_fact("chain", effect.statement)
            if _operation(effect.statement) is Operation.RECOVERED:
                self._recovered(effect.statement)
        elif isinstance(effect, Keep):
            self._evidence.keep(effect.reason, effect.data)

    def _certify(self, effect: Certify) -> None:
        for output, certificate in zip(effect.outputs, effect.certificates, strict=True):
            found = self._purse.coin(output.coin)
            if found is not None and is_to_come(found[1]):
                kept = found[1].state is CoinState.RESERVED
                self._purse.change_coin(
                    *found,
                    state=CoinState.RESERVED if kept else CoinState.PENDING,
                    exponent=output.exponent,
                    certificate=certificate,
                    epoch=effect.epoch,
                    round=effect.round,
                )

    def _move(self, coins: Sequence[bytes], state: CoinState, **changes: Any) -> None:
        for coin in coins:
            found = self._purse.coin(coin)
            # Coins from a bearer file are not in the purse; the plan that received them has them.
            if found is not None:
                self._purse.change_coin(*found, state=state, **changes)

    def _free(self, row: int, coins: Sequence[bytes]) -> None:
        for coin in coins:
            found = self._purse.coin(coin)
            if found is not None and found[1].state is CoinState.RESERVED and found[1].operation == row:
                # Without a certificate, after a change of the bank's key, it is no money yet.
                state = CoinState.FREE if found[1].certificate else CoinState.EXPECTED
                self._purse.change_coin(*found, state=state)

    def _lose(self, coin: bytes, proof: bytes, row: int, said_to: int) -> None:
        """
        A coin is spent: by our own order ``row`` (a payee was quicker than we), or (0) by a stranger's. The
        bank's answer to operation ``said_to`` says so.
        """
        found = self._purse.coin(coin)
        if found is None or found[1].state not in _IN_HAND:
            return
        if row and (refusal := self._refusal_of(row)):
            # The bank has said, signed and for good, that this order of ours isn't executed; and it has our
            # signature of it for ever. Only the board can say now that it was.
            self._evidence.keep("refused-and-spent", refusal + proof)
            self._purse.change_coin(*found, state=CoinState.DISPUTED, proof=proof)
            if getattr(self._purse.operation(said_to), "purpose", "") == RECLAIM:
                revive(self._purse, row)
        elif row:
            self._purse.change_coin(*found, state=CoinState.SPENT, operation=row)
            self._feed(row, Blamed(self._refusal_of(said_to), self._knowledge.public_by()))
        else:
            self._knowledge.copies.spent(*found, proof)

    def _refusal_of(self, row: int) -> bytes:
        """The bank's signed answer that refused an operation of ours for good; empty when it didn't."""
        state = self._purse.operation(row)
        if isinstance(state, OrderState | AccountState) and state.phase is Phase.REFUSED:
            return state.proof
        return b""

    def _signed_by_us(self, seal: bytes) -> int:
        """The row of the order of ours with this seal; 0 when there is none."""
        stored = self._purse.operations().items()
        return next((row for row, each in stored if seal in seals_of(each.state)), 0)

    def opened(self, state: OrderState | AccountState) -> None:
        """Everyone will see what goes in and what comes out: these coins are recognisable from now on."""
        inputs = state.inputs() if isinstance(state, AccountState) else input_ids(state.order)
        for coin in {*inputs, *state.mine}:
            found = self._purse.coin(coin)
            if found is not None:
                self._purse.change_coin(*found, recognisable=True)


def _operation(statement: bytes) -> Operation:
    return SignedStatement.read(Reader(statement)).statement.operation

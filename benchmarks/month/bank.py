"""
The bank of a simulated month: the real ledger rules on real books, and the log of what it saw.

The log is all that a bank which keeps everything has: each order's inputs and outputs and its time, and of
withdrawals and deposits the account. What really happened stands beside it, for the judge only.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from bank.formats.account import AccountRequest, Operation, sign_request
from bank.formats.answer import Answer, Certificates, Credited, Withdrawn
from bank.formats.coin import CoinKey, coin_id
from bank.formats.order import NOTHING, SALT_BYTES, Order, Output, SignedOrder, sign_order
from bank.formats.request import BankRequest, Deposit, Withdraw, encode_request
from bank.ledger import Moment, Signer, Terms, prepare, settle
from bank.ledger.accounts import credit, open_account
from bank.stores.interface import Books
from bank.stores.sqlite import open_books, run_once
from mixmint.keys import SigningKey

T = TypeVar("T")

ROUND_S = 10
"""How often the board closes a round, as in configs/example."""
EPOCH = 700
"""All in one coin epoch: a month is the default's length."""
MUCH = 10**9
MOST_WAITING = 256
"""Orders that share a transaction."""


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin by its number; ``exponent``."""

    number: int
    exponent: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What an order was: who gave it, whom it paid (-1: nobody), how much, in which coins."""

    holder: int
    payee: int = -1
    amount: int = 0
    paid: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """
    One entry of the bank's log. ``account``: of a withdrawal (no inputs) or a deposit (no outputs), else -1.
    ``inputs`` and ``outputs``: coins by number.
    """

    at_s: float
    account: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    truth: Truth


class MonthBank:
    """Coins are numbered as they are made; ``exponents[number]`` is a coin's value."""

    def __init__(self, accounts: int, rng: Random, folder: Path) -> None:
        self._rng = rng
        self._signer = Signer(SigningKey(rng.randbytes(32)), Terms())
        self._connection = open_books(folder / "bank.db", self._signer.bank)
        self._accounts = [SigningKey(rng.randbytes(32)) for _ in range(accounts)]
        self._keys: list[SigningKey] = []
        self.exponents: list[int] = []
        self.log: list[Seen] = []
        self._waiting: list[tuple[bytes, Moment, type]] = []
        for account in self._accounts:
            self._run(partial(open_account, self._signer.bank, account.public))
            self._run(partial(credit, self._signer.bank, account.public, MUCH))

    def close(self) -> None:
        """Raises RuntimeError when the rules refused anything: a mistake of this program."""
        try:
            self._decide()
        finally:
            self._connection.close()

    def _run(self, work: Callable[[Books], T]) -> T:
        return run_once(self._connection, work)

    def _make(self, exponent: int) -> tuple[Coin, Output]:
        key = SigningKey(self._rng.randbytes(32))
        self._keys.append(key)
        self.exponents.append(exponent)
        return Coin(len(self._keys) - 1, exponent), Output(coin_id(key.public), exponent)

    def withdraw(self, at_s: float, account: int, exponents: Sequence[int]) -> list[Coin]:
        """Coins from an account."""
        made = [self._make(exponent) for exponent in exponents]
        request = self._request(account, Operation.WITHDRAW, outputs=_sorted(made))
        signed = sign_request(self._accounts[account], request)
        self._ask(at_s, Withdraw(signed), Withdrawn)
        self._note(at_s, account, (), made, Truth(account))
        return [coin for coin, _ in made]

    def order(self, at_s: float, inputs: Sequence[int], exponents: Sequence[int], holder: int) -> list[Coin]:
        """An exchange for oneself."""
        made = [self._make(exponent) for exponent in exponents]
        self._ask(at_s, self._sign(inputs, made), Certificates)
        self._note(at_s, -1, inputs, made, Truth(holder))
        return [coin for coin, _ in made]

    def pay(
        self,
        at_s: float,
        inputs: Sequence[int],
        paid: Sequence[int],
        change: Sequence[int],
        payer: int,
        payee: int,
        amount: int = 0,
    ) -> tuple[list[Coin], list[Coin]]:
        """
        The order that pays; the payee's coins and the payer's change. ``paid``, ``change``: exponents.
        ``amount``: of the whole payment, when this order pays only a part.
        """
        theirs = [self._make(exponent) for exponent in paid]
        ours = [self._make(exponent) for exponent in change]
        self._ask(at_s, self._sign(inputs, [*theirs, *ours]), Certificates)
        numbers = tuple(coin.number for coin, _ in theirs)
        truth = Truth(payer, payee, amount or sum(1 << exponent for exponent in paid), numbers)
        self._note(at_s, -1, inputs, [*theirs, *ours], truth)
        return [coin for coin, _ in theirs], [coin for coin, _ in ours]

    def deposit(self, at_s: float, account: int, inputs: Sequence[int]) -> None:
        """Coins to an account."""
        key = self._accounts[account]
        order = self._sign(inputs, (), key.public)
        signed = sign_request(key, self._request(account, Operation.DEPOSIT, seal=order.seal))
        self._ask(at_s, Deposit(signed, order), Credited)
        self._note(at_s, account, inputs, [], Truth(account))

    def _request(
        self, account: int, operation: Operation, seal: bytes = NOTHING, outputs: tuple[Output, ...] = ()
    ) -> AccountRequest:
        key = self._accounts[account].public
        state = self._run(lambda book: book.account(key))
        if state is None:
            raise RuntimeError("an account that was opened is gone")
        return AccountRequest(
            self._signer.bank,
            key,
            state.sequence + 1,
            state.head,
            operation,
            self._rng.randbytes(16),
            MUCH,
            seal,
            outputs,
        )

    def _sign(
        self, inputs: Sequence[int], made: Sequence[tuple[Coin, Output]], account: bytes = NOTHING
    ) -> SignedOrder:
        keys = [self._keys[number] for number in inputs]
        order = Order(
            self._signer.bank,
            self._rng.randbytes(16),
            MUCH,
            tuple(sorted(CoinKey(key.public) for key in keys)),
            _sorted(made),
            account,
        )
        return sign_order(order, keys, self._rng.randbytes(SALT_BYTES))

    def _ask(self, at_s: float, request: BankRequest, expected: type) -> None:
        """The rules decide; what asks about an account needs what came before, so it is decided at once."""
        self._waiting.append((encode_request(request), Moment(int(at_s) // ROUND_S, EPOCH), expected))
        if not isinstance(request, SignedOrder) or len(self._waiting) >= MOST_WAITING:
            self._decide()

    def _decide(self) -> None:
        waiting, self._waiting = self._waiting, []

        def settle_all(book: Books) -> list[bytes]:
            return [
                settle(prepare(data, self._signer, moment), self._signer, book, moment)
                for data, moment, _ in waiting
            ]

        for answer, (_, _, expected) in zip(self._run(settle_all), waiting, strict=True):
            body = Answer.decode(answer).body
            if not isinstance(body, expected):
                raise RuntimeError(f"the bank answered {body}")

    def _note(
        self,
        at_s: float,
        account: int,
        inputs: Sequence[int],
        made: Sequence[tuple[Coin, Output]],
        truth: Truth,
    ) -> None:
        outputs = tuple(sorted(coin.number for coin, _ in made))
        self.log.append(Seen(at_s, account, tuple(inputs), outputs, truth))


def _sorted(made: Sequence[tuple[Coin, Output]]) -> tuple[Output, ...]:
    return tuple(sorted((output for _, output in made), key=lambda output: output.coin))


def books_folder() -> "tempfile.TemporaryDirectory[str]":
    """Memory-backed, where there is any: a month's books are thrown away."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)

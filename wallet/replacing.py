"""
Which expired coins can be replaced to the account, and with which receipts. Reads the purse only.

A coin can be replaced when it came by a withdrawal, was never spent, and the receipt is at hand: the
withdrawal's request as it was signed, and the bank's signed statement for it. Who restored a wallet from its
words alone has no receipts: the bank still has the statements, but the requests are in old copies only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bank.formats.account import MOST_REPLACED, Operation, SignedAccountRequest, SignedStatement
from wallet.machines.account import AccountState
from wallet.purse import CoinRecord, CoinState, Purse
from wallet.statements import kept_statements, signed_requests


@dataclass(frozen=True, slots=True)
class Replaceable:
    """Coins of one withdrawal, at most eight (id, exponent), and its receipt."""

    coins: tuple[tuple[bytes, int], ...]
    request: SignedAccountRequest
    statement: SignedStatement

    @property
    def units(self) -> int:
        return sum(1 << exponent for _, exponent in self.coins)


@dataclass(frozen=True, slots=True)
class Found:
    """What can be asked for, and the expired coins that can't: exchanged ones, those without a receipt."""

    parts: tuple[Replaceable, ...]
    exchanged_units: int
    without_receipt_units: int


def replaceable(purse: Purse) -> Found:
    """Everything that is expired and not being replaced already, by withdrawal."""
    asked = _being_replaced(purse)
    expired = {
        bytes(record.id()): record
        for record in purse.coins(CoinState.EXPIRED).values()
        if bytes(record.id()) not in asked
    }
    requests = signed_requests(purse)
    parts: list[Replaceable] = []
    covered: set[bytes] = set()
    for signed in kept_statements(purse):
        request = requests.get(signed.statement.digest)
        if request is None or request.request.operation is not Operation.WITHDRAW:
            continue
        outputs = request.request.outputs
        coins = [(bytes(each.coin), each.exponent) for each in outputs if bytes(each.coin) in expired]
        covered |= {coin for coin, _ in coins}
        parts += [
            Replaceable(tuple(coins[first : first + MOST_REPLACED]), request, signed)
            for first in range(0, len(coins), MOST_REPLACED)
        ]
    rest = [record for coin, record in expired.items() if coin not in covered]
    withdrawn = _units(record for record in rest if _was_withdrawn(record))
    return Found(tuple(parts), _units(rest) - withdrawn, withdrawn)


def _was_withdrawn(record: CoinRecord) -> bool:
    return record.exchanges == 0 and not record.recognisable


def _being_replaced(purse: Purse) -> set[bytes]:
    return {
        coin
        for stored in purse.open_operations().values()
        if isinstance(stored.state, AccountState)
        for coin, _ in stored.state.replaced
    }


def _units(records: Iterable[CoinRecord]) -> int:
    return sum(record.units for record in records)

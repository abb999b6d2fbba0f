"""Somebody with a coin, for a bank or a board to lie to; and the bank's own hand."""

from typing import Any

from bank.formats.answer import Answer, Body, sign_answer
from tests.unit.wallet.town import Town, Wallet


def signed(town: Town, answer: Answer, body: Body) -> bytes:
    """The bank's own hand."""
    return sign_answer(town.key, town.signer.bank, answer.subject, body)


async def funded(town: Town, units: int = 8, **settings: Any) -> Wallet:
    ann = town.wallet("ann", **settings)
    await town.fund(ann, units)
    await ann.cashier.withdraw(units)
    return ann

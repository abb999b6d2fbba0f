"""
What the bank is asked for an account: its statements, or a request that is signed for the chain's next place.
Pure.
"""

import msgspec

from bank.formats.account import NO_HEAD, AccountRequest, Operation, sign_request
from bank.formats.coin import CoinId
from bank.formats.order import NOTHING, Output
from bank.formats.request import Deposit, Replace, Withdraw, encode_request, sign_read
from mixmint.keys import SigningKey
from wallet.machines.account.state import AccountState
from wallet.machines.steps import Ask, Effect, Head, Phase


def after(head: Head) -> int:
    """The sequence of the statement after the chain's head."""
    return 1 if head is None else head.sequence + 1


def read(state: AccountState, key: SigningKey) -> Ask:
    return Ask(state.attempt, encode_request(sign_read(key, state.bank, state.since)))


def ask(state: AccountState) -> Ask:
    signed = state.signed()
    if state.is_replacement:
        return Ask(state.attempt, encode_request(Replace(signed, *state.withdrawal)))
    body = Deposit(signed, state.opened) if state.is_deposit else Withdraw(signed)
    return Ask(state.attempt, encode_request(body))


def going_on(state: AccountState, phase: Phase, **changes: object) -> AccountState:
    """The state for another conversation: each asks for other bytes, so each has a number of its own."""
    return msgspec.structs.replace(state, phase=phase, attempt=state.attempt + 1, **changes)


def sign(
    state: AccountState, head: Head, key: SigningKey, before: list[Effect]
) -> tuple[AccountState, list[Effect]]:
    request = AccountRequest(
        bank=state.bank,
        account=key.public,
        sequence=after(head),
        head=NO_HEAD if head is None else head.head(),
        operation=Operation(state.operation),
        request_id=state.request_id,
        last_round=state.last_round,
        seal=_seal(state),
        outputs=tuple(
            Output(CoinId(coin), exponent) for coin, exponent in sorted(state.outputs or state.replaced)
        ),
    )
    requests = (*state.requests, sign_request(key, request).encode())
    asked = going_on(state, Phase.ASKED, requests=requests, current=len(requests) - 1)
    return asked, [*before, ask(asked)]


def _seal(state: AccountState) -> bytes:
    """Of the deposit's order, or the digest of the withdrawal that a replacement is about."""
    if state.is_replacement:
        return state.withdrawal[0].request.digest()
    return state.opened.seal if state.is_deposit else NOTHING

"""
What becomes of an operation when the bank's key was changed. Beside the machines' own tables.

    what                                        phase             next     effects
    ------------------------------------------  ----------------  -------  ---------------------------------
    an order that stands on the board at the    settled           the same -
    cut
    an order that was answered, looked for, or  answered,         asked    Ask, the very same bytes again
    seen behind the cut; or is with the bank    looking, settled,
                                                asked
    a hold of ours that its payee may execute   kept, lapsed      the same -
    a hold that we execute                      as any order      asked    Ask that it be held anew
    a withdrawal that stands at the cut         settled           the same -
    the same, its answer still under way        asked             settled  Forget
    any other withdrawal, any deposit that      reading, asked,   reading  Ask for the statements, from the
    isn't settled                               answered, settled          first on
    a deposit that the successor hasn't booked  any but refused   reading  the same

What the old bank answered and the board doesn't show at the cut is worth nothing any more. But the orders
that asked for it are as good as before: a successor answers them by what the board shows. Of an order whose
inputs come of another one it may hear first, so *unknown certificate* isn't final for a while.
"""

import msgspec

from bank.formats.request import encode_request, sign_read
from mixmint.keys import SigningKey
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.machines.steps import Ask, Effect, Forget, KeyChanged, Phase

PATIENCE_ROUNDS = 1000
"""So long a request may still be answered, and so long an unknown certificate isn't final."""


def order_after(state: OrderState, event: KeyChanged) -> tuple[OrderState, list[Effect]]:
    """An order of any kind, after the change."""
    void = state.phase is Phase.SETTLED and state.round > event.cut
    if not void and state.phase not in (Phase.ASKED, Phase.ANSWERED, Phase.LOOKING):
        if state.phase is Phase.HELD:
            state = msgspec.structs.replace(state, claim=state.claim.after_change(event.round))
        return state, []
    again = msgspec.structs.replace(
        state,
        phase=Phase.ASKED,
        attempt=state.attempt + 1,
        round=0,
        overdue=False,
        late=(),
        proof=b"" if state.phase is Phase.ANSWERED else state.proof,
        posted=False,
        patient_until=event.round + PATIENCE_ROUNDS,
        claim=state.claim.after_change(event.round),
    )
    if isinstance(again, ForeignState):
        # What the old key held is held no more.
        again = msgspec.structs.replace(again, unheld=bool(again.h))
    body = again.question() if isinstance(again, ForeignState) else encode_request(again.opened)
    return again, [Forget(state.attempt), Ask(again.attempt, body)]


def account_after(
    state: AccountState, event: KeyChanged, key: SigningKey
) -> tuple[AccountState, list[Effect]]:
    """A withdrawal or a deposit, after the change; ``key``: the account's."""
    if state.phase in (Phase.REFUSED, Phase.EXPIRED):
        return state, []
    shown = state.round if state.phase is Phase.SETTLED else state.shown
    if not state.is_deposit and 0 < shown <= event.cut:
        if state.phase is Phase.SETTLED:
            return state, []
        settled = msgspec.structs.replace(state, phase=Phase.SETTLED, round=shown)
        return settled, [Forget(state.attempt)]
    if state.is_deposit and state.phase is Phase.SETTLED and not event.unbooked:
        # Its coins are spent wherever that stands; whether it is booked, the successor's statement says.
        return state, []
    reading = msgspec.structs.replace(
        state,
        phase=Phase.READING,
        attempt=state.attempt + 1,
        since=1,
        round=0,
        # Spent coins are spent wherever the board shows it, and it shows that once.
        shown=shown if state.is_deposit else 0,
        overdue=False,
        late=(),
        last_round=max(state.last_round, event.round + PATIENCE_ROUNDS),
        claim=state.claim.after_change(event.round),
    )
    # From the first: the successor has the newest statement that was listed, and those since.
    body = encode_request(sign_read(key, state.bank, 1))
    return reading, [Forget(state.attempt), Ask(reading.attempt, body)]

"""One order: every row of the table, with the exact list of effects."""

import msgspec
import pytest

from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Held,
    Promise,
    Refusal,
    Refused,
    Spent,
    Taken,
    sign_answer,
)
from bank.formats.coin import CoinKey, coin_id, sign_certificate
from bank.formats.order import NOTHING, Order, Output, input_ids, sign_order
from bank.formats.request import encode_request
from mixmint.keys import SigningKey
from wallet.machines import claim
from wallet.machines.order import MOST_FORMS, MOST_PROMISED_ROUNDS, OrderState, advance
from wallet.machines.record import ClaimRecord
from wallet.machines.steps import (
    Answered,
    Ask,
    Begin,
    Certify,
    Clock,
    Dispute,
    Forget,
    Free,
    Keep,
    KeyChanged,
    Lose,
    MakeOutputs,
    Phase,
    Renewed,
    Seen,
    Spend,
    Void,
    Wrong,
)
from wallet.machines.succession import order_after

BANK = SigningKey(bytes(32))
KEYS = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
OUTPUTS = tuple(sorted((Output(coin_id(bytes([n]) * 32), 2) for n in (7, 8)), key=lambda each: each.coin))
MINE, PAYEES = OUTPUTS


def order_state(**changes: object) -> OrderState:
    """A payment: two coins in, one output for the payee, one of change."""
    inputs = tuple(sorted(CoinKey(key.public) for key in KEYS))
    order = Order(BANK.public, bytes(16), 50, inputs, OUTPUTS, note=NOTHING)
    state = OrderState(
        signed=sign_order(order, KEYS, bytes(16)).encode(),
        mine=(MINE.coin,),
        purpose="payment",
        conversation=bytes(16),
    )
    return msgspec.structs.replace(state, **changes)


def answered(body: Body, state: OrderState) -> Answered:
    return Answered(Answer.decode(sign_answer(BANK, bytes(32), state.opened.seal, body)))


def certificates() -> Certificates:
    return Certificates(
        40, 3, tuple(sign_certificate(BANK, BANK.public, each.exponent, 3, each.coin) for each in OUTPUTS)
    )


def spent(state: OrderState, seal: bytes) -> Spent:
    key = state.order.inputs[0]
    return Spent(0, key, seal, bytes(64))


def test_begin_asks_the_very_same_bytes_again() -> None:
    """Before and after a restart."""
    state = order_state()
    ask = Ask(0, encode_request(state.opened))
    assert advance(state, Begin()) == (state, [ask])
    assert advance(advance(state, Begin())[0], Begin()) == (state, [ask])


def test_certificates_spend_the_inputs_and_keep_the_own_outputs() -> None:
    """The payee's certificate is not ours to keep."""
    state = order_state()
    after, effects = advance(state, answered(certificates(), state))
    assert (after.phase, after.round) == (Phase.ANSWERED, 40)
    own = certificates().certificates[0]
    assert effects == [Spend(input_ids(state.order)), Certify((MINE,), (own,), 3, 40)]


def test_the_board_settles_with_or_without_an_answer() -> None:
    """All inputs spent under the seal and all outputs certified, in one round."""
    seen = Seen(33, frozenset(each.coin for each in OUTPUTS), frozenset(order_state().order.inputs))
    for phase in (Phase.ASKED, Phase.ANSWERED, Phase.LOOKING, Phase.HELD, Phase.REFUSED):
        state = order_state(phase=phase, attempt=2)
        after, effects = advance(state, seen)
        assert (after.phase, after.round) == (Phase.SETTLED, 33)
        assert effects == [Spend(input_ids(state.order)), Forget(2)]


def test_an_order_split_over_rounds_is_kept_as_evidence() -> None:
    """Half of its entries is not a settled order."""
    state = order_state(phase=Phase.ANSWERED)
    after, effects = advance(state, Seen(33, frozenset(), frozenset(state.order.inputs[:1])))
    assert after == state
    assert effects == [Keep("split-order", state.signed)]


def test_outputs_that_come_one_by_one_settle_what_was_answered() -> None:
    """Posted by their holders, since the bank forgot them: no rule is broken by that, and nothing is kept."""
    state = order_state(phase=Phase.ANSWERED, attempt=1)
    mine, payees = frozenset((MINE.coin,)), frozenset((PAYEES.coin,))
    after, effects = advance(state, Seen(43, mine, frozenset(), mine))
    assert (after.phase, after.late, effects) == (Phase.ANSWERED, (MINE.coin,), [])
    assert advance(after, Seen(44, mine, frozenset(), mine)) == (after, [])
    settled, effects = advance(after, Seen(45, payees, frozenset(), payees))
    assert (settled.phase, settled.round, settled.late, effects) == (Phase.SETTLED, 45, (), [Forget(1)])


def test_outputs_without_an_answer_settle_nothing() -> None:
    """Whether our inputs were spent for them isn't known then."""
    state = order_state()
    every = frozenset(each.coin for each in OUTPUTS)
    after, effects = advance(state, Seen(43, every, frozenset()))
    assert (after.phase, effects) == (Phase.ASKED, [])


def test_a_broken_promise_is_kept_as_evidence_once() -> None:
    """The promised round is closed and shows nothing of it."""
    state = order_state(phase=Phase.ANSWERED, round=40)
    assert advance(state, Clock(39)) == (state, [])
    after, effects = advance(state, Clock(40))
    assert effects == [Keep("overdue", state.signed)]
    assert advance(after, Clock(41)) == (after, [])


def test_spent_by_a_stranger_loses_that_coin_and_frees_the_other() -> None:
    """With the proof."""
    state = order_state()
    event = answered(spent(state, bytes(32)), state)
    after, effects = advance(state, event)
    first, second = input_ids(state.order)
    key = state.order.inputs[0]
    assert (after.phase, after.reason, after.proof) == (Phase.REFUSED, "spent", event.answer.encode())
    assert effects == [Lose(key, bytes(32), bytes(64)), Free((second,)), Void((MINE.coin,)), Forget(0)]
    assert first not in effects[1].coins


def test_spent_by_itself_means_executed_and_its_coins_are_looked_for() -> None:
    """Also by a form of it that had been refused with *taken*."""
    state = order_state(earlier=(b"\x05" * 32,))
    for seal in (state.opened.seal, b"\x05" * 32):
        after, effects = advance(state, answered(spent(state, seal), state))
        assert (after.phase, effects) == (Phase.LOOKING, [])


def test_taken_own_output_is_made_anew_with_the_same_inputs() -> None:
    """Then asked in another conversation; the earlier seal stays known."""
    state = order_state()
    proof = CertifiedBefore(MINE.coin, 2, 3, bytes(64))
    after, effects = advance(state, answered(Taken(0, proof), state))
    assert (after, effects) == (state, [MakeOutputs((2,))])
    fresh = Output(coin_id(b"\x09" * 32), 2)
    order = Order(
        BANK.public, bytes(16), 50, state.order.inputs, tuple(sorted((fresh, PAYEES), key=lambda o: o.coin))
    )
    signed = sign_order(order, KEYS, bytes(16)).encode()
    renewed, effects = advance(state, Renewed((fresh,), signed))
    assert renewed.mine == (fresh.coin,)
    assert renewed.earlier == (state.opened.seal,)
    assert effects == [Ask(1, encode_request(renewed.opened))]


def test_own_outputs_that_are_always_taken_are_not_made_for_ever() -> None:
    """A bank that says so again and again fills no purse and uses up no counter: it is asked later."""
    state = order_state(earlier=(b"\x05" * 32,) * (MOST_FORMS - 1))
    taken = answered(Taken(0, Promise(MINE.coin, bytes(32), 44, bytes(64))), state)
    assert advance(state, taken)[1] == [MakeOutputs((2,))]
    state = order_state(earlier=(b"\x05" * 32,) * MOST_FORMS)
    after, effects = advance(state, taken)
    assert (after.phase, after.attempt, after.signed) == (Phase.ASKED, 1, state.signed)
    assert effects == [Forget(0), Keep("taken-again", taken.answer.encode() + state.signed)]


def test_taken_payees_output_ends_the_payment() -> None:
    """His ids can be certified once; the coins are free again."""
    state = order_state()
    proof = CertifiedBefore(PAYEES.coin, 2, 3, bytes(64))
    after, effects = advance(state, answered(Taken(1, proof), state))
    assert (after.phase, after.reason) == (Phase.REFUSED, "taken")
    assert effects == [Free(input_ids(state.order)), Void((MINE.coin,)), Forget(0)]


def test_held_waits_for_the_end_of_the_hold_and_asks_again() -> None:
    """By the board's clock, in a new conversation."""
    state = order_state()
    held, effects = advance(state, answered(Held(0, state.order.inputs[0], bytes(32), bytes(64), 44), state))
    assert (held.phase, held.round, effects) == (Phase.HELD, 44, [])
    assert advance(held, Begin()) == (held, [])
    assert advance(held, Clock(43)) == (held, [])
    again, effects = advance(held, Clock(44))
    assert again.phase is Phase.ASKED
    assert effects == [Forget(0), Ask(1, encode_request(state.opened))]


def test_too_late_frees_everything() -> None:
    """The board's clock never goes back, so it can't be executed any more."""
    state = order_state()
    after, effects = advance(state, answered(Refused(Refusal.TOO_LATE), state))
    assert (after.phase, after.reason) == (Phase.REFUSED, "too-late")
    assert effects == [Free(input_ids(state.order)), Void((MINE.coin,)), Forget(0)]


@pytest.mark.parametrize("reason", [Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN])
def test_a_coin_that_the_bank_denies_is_set_aside_with_the_evidence(reason: Refusal) -> None:
    """It isn't used again; the other one is free."""
    state = order_state()
    event = answered(Refused(reason, 1), state)
    after, effects = advance(state, event)
    first, second = input_ids(state.order)
    name = reason.name.lower().replace("_", "-")
    assert after.phase is Phase.REFUSED
    assert effects == [
        Dispute(second),
        Keep(name, event.answer.encode() + state.signed),
        Free((first,)),
        Void((MINE.coin,)),
        Forget(0),
    ]


def test_a_wrong_answer_decides_nothing() -> None:
    """It is kept, and the same is asked in another conversation when resumed."""
    state = order_state()
    after, effects = advance(state, Wrong(b"bytes", "not-signed"))
    assert (after.phase, after.attempt) == (Phase.ASKED, 1)
    assert effects == [Forget(0), Keep("not-signed", b"bytes")]


def test_settled_takes_no_step() -> None:
    """Whatever comes late."""
    state = order_state(phase=Phase.SETTLED)
    for event in (Begin(), Clock(99), Wrong(b"", "x"), answered(certificates(), state)):
        assert advance(state, event) == (state, [])


def test_a_hold_without_end_is_waited_for_until_the_orders_last_round() -> None:
    """A bank that names a far round doesn't keep the coins for good."""
    state = order_state()
    held, _ = advance(state, answered(Held(0, state.order.inputs[0], bytes(32), bytes(64), 2**32 - 1), state))
    assert held.round == 50
    again, effects = advance(held, Clock(50))
    assert again.phase is Phase.ASKED
    assert isinstance(effects[-1], Ask)


def test_a_payees_id_that_is_only_promised_frees_no_coin() -> None:
    """The promise may lapse and the order still be executed: another payment would be a second one."""
    state = order_state()
    index = [output.coin for output in state.order.outputs].index(PAYEES.coin)
    promise = Promise(PAYEES.coin, bytes(32), 44, bytes(64))
    held, effects = advance(state, answered(Taken(index, promise), state))
    assert (held.phase, held.round, effects) == (Phase.HELD, 44, [])


def test_executed_as_the_bank_says_but_never_on_the_board_is_kept() -> None:
    """*Spent* by the order itself, and the board is silent: pending, with evidence, once."""
    state = order_state()
    looking, _ = advance(state, answered(spent(state, state.opened.seal), state))
    assert looking.phase is Phase.LOOKING
    assert advance(looking, Clock(50)) == (looking, [])
    late, effects = advance(looking, Clock(50 + MOST_PROMISED_ROUNDS))
    assert [effect.reason for effect in effects] == ["overdue"]
    assert advance(late, Clock(9999)) == (late, [])


def test_after_a_hold_that_was_named_on_the_board_it_is_signed_anew() -> None:
    """Its claim had its turn. A bank that is silent from then on would else keep the coins."""
    held = order_state(
        phase=Phase.HELD, round=9, claim=ClaimRecord(asked=2, entry=b"claim", posted=True, round=5)
    )
    again, effects = claim.advance(held, Clock(9), advance)
    assert (again.phase, effects) == (Phase.ASKED, [Forget(0), MakeOutputs((2,))])
    never = msgspec.structs.replace(held, claim=ClaimRecord(asked=2))
    assert isinstance(claim.advance(never, Clock(9), advance)[1][-1], Ask)
    others = msgspec.structs.replace(held, mine=())
    assert isinstance(claim.advance(others, Clock(9), advance)[1][-1], Ask)


def resigned(state: OrderState) -> bytes:
    return sign_order(state.order, KEYS, bytes([1]) * 16).encode()


@pytest.mark.parametrize(("shown", "ends"), [(5, True), (7, True), (8, False), (0, False)])
def test_a_claim_from_before_a_change_of_key_keeps_no_coin(shown: int, ends: bool) -> None:
    """The successor answers claims since the change; of one from before his direct answer counts."""
    state = order_state(claim=ClaimRecord(asked=2, entry=b"claim", posted=True, round=shown))
    late = answered(Refused(Refusal.TOO_LATE), state)
    assert claim.advance(state, late, advance) == (state, [])
    after, _ = order_after(state, KeyChanged(6, 7))
    assert after.phase is Phase.ASKED
    refused, effects = claim.advance(after, late, advance)
    assert (refused.phase is Phase.REFUSED) == ends
    assert (Free(input_ids(state.order)) in effects) == ends


def test_another_form_may_be_claimed_in_its_turn() -> None:
    """What the claim remembers is of the request that it shows."""
    state = order_state(claim=ClaimRecord(asked=2, entry=b"claim", posted=True, round=5))
    renewed, _ = claim.advance(state, Renewed((MINE,), resigned(state)), advance)
    assert renewed.claim == ClaimRecord()


def test_certificates_of_an_earlier_key_are_asked_for_and_posted_anew() -> None:
    """What was posted under the old key is worth nothing behind the cut."""
    state = order_state(phase=Phase.ANSWERED, proof=b"certificates", posted=True)
    after, _ = order_after(state, KeyChanged(6, 7))
    assert (after.phase, after.proof, after.posted) == (Phase.ASKED, b"", False)
    looking, _ = order_after(order_state(phase=Phase.LOOKING, proof=b"spent"), KeyChanged(6, 7))
    assert looking.proof == b"spent"

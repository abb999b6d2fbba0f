"""An order that somebody else carries out, on its payer's side and on its payee's: event by event."""

import os

import msgspec
import pytest

from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Held,
    Hold,
    Refusal,
    Refused,
    Spent,
    Taken,
)
from bank.formats.coin import coin_id
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order, tau_of
from bank.formats.request import Execute, encode_request
from mixmint.keys import SigningKey
from wallet.machines import claim, foreign, promised
from wallet.machines.foreign import BROKEN, ForeignState
from wallet.machines.order import MOST_PROMISED_ROUNDS
from wallet.machines.promised import SILENT_ROUNDS, PromisedState
from wallet.machines.steps import (
    Answered,
    Ask,
    Begin,
    Blamed,
    Certify,
    Clock,
    Dispute,
    Forget,
    Keep,
    Phase,
    Returned,
    Revoke,
    Seen,
    Spend,
    Told,
    Void,
)

KEY, H, BANK = SigningKey(b"\x01" * 32), b"\x02" * 32, b"\x03" * 32
PAID = Output(coin_id(b"\x04" * 32), 3)
LAST, UNTIL = 500, 40


def signed(tau: bytes) -> SignedOrder:
    order = Order(BANK, bytes(16), LAST, (KEY.public,), (PAID,), tau=tau)
    return sign_order(order, [KEY], bytes(16))


def answer(order: SignedOrder, body: Body) -> Answered:
    """Signatures are checked elsewhere."""
    return Answered(Answer(order.seal, body, bytes(64)))


def seen(order: SignedOrder, round_: int = 30) -> Seen:
    return Seen(round_, frozenset((PAID.coin,)), frozenset(order.order.inputs))


def ours(tau: bytes = tau_of(H), **changes: object) -> PromisedState:
    state = PromisedState(signed=signed(tau).encode(), mine=(), purpose="hold", conversation=bytes(16))
    return msgspec.structs.replace(state, **changes)


def kept(tau: bytes = tau_of(H)) -> PromisedState:
    return ours(tau, phase=Phase.KEPT, round=UNTIL)


def theirs(h: bytes = H, **changes: object) -> ForeignState:
    order = signed(tau_of(H) if h else NOTHING)
    hold = answer(order, Hold(1, UNTIL)).answer.encode() if h else b""
    state = ForeignState(
        signed=order.encode(), mine=(PAID.coin,), purpose="capture", conversation=bytes(16), h=h, hold=hold
    )
    return msgspec.structs.replace(state, **changes)


def test_hold_is_asked_and_kept_until_its_last_round() -> None:
    """The bank's word stays on file: the payee is shown it."""
    state = ours()
    assert promised.advance(state, Begin()) == (state, [Ask(0, encode_request(state.opened))])
    yes = answer(state.opened, Hold(1, UNTIL))
    state, effects = promised.advance(state, yes)
    assert (state.phase, state.round, state.hold, effects) == (Phase.KEPT, UNTIL, yes.answer.encode(), [])
    assert promised.advance(state, Clock(UNTIL - 1)) == (state, [])
    assert promised.advance(state, Begin()) == (state, [])
    assert promised.advance(state, Clock(UNTIL))[0].phase is Phase.LAPSED


@pytest.mark.parametrize("phase", [Phase.KEPT, Phase.LAPSED])
def test_executed_whenever_the_board_says_so(phase: Phase) -> None:
    """Within the hold, and late while the coins were still free."""
    state = msgspec.structs.replace(kept(), phase=phase)
    done, effects = promised.advance(state, seen(state.opened))
    assert (done.phase, done.round) == (Phase.SETTLED, 30)
    assert effects == [Spend((coin_id(KEY.public),)), Forget(0)]


def test_lapsed_is_over_only_when_the_coins_are_exchanged() -> None:
    """No round ends it: a late h would still execute it."""
    state = msgspec.structs.replace(kept(), phase=Phase.LAPSED)
    assert promised.advance(state, Clock(LAST + 1000)) == (state, [])
    over, effects = promised.advance(state, Returned())
    assert (over.phase, effects) == (Phase.EXPIRED, [Void(()), Forget(0)])
    assert promised.advance(kept(), Returned()) == (kept(), [])


def test_only_a_sealed_payment_can_be_taken_back_early() -> None:
    """A hold is the bank's word to the payee."""
    assert promised.advance(kept(NOTHING), Revoke())[0].phase is Phase.LAPSED
    assert promised.advance(kept(), Revoke()) == (kept(), [])


def test_hold_that_is_refused_frees_the_coins() -> None:
    """As any order."""
    state, _ = promised.advance(ours(), answer(ours().opened, Refused(Refusal.TOO_LATE)))
    assert (state.phase, state.reason) == (Phase.REFUSED, "too-late")


def test_bank_that_holds_too_much_already_is_believed() -> None:
    """No evidence; the coins are free, and the payer may pay otherwise."""
    state, effects = promised.advance(ours(), answer(ours().opened, Refused(Refusal.BUSY)))
    assert (state.phase, state.reason) == (Phase.REFUSED, "busy")
    assert not any(isinstance(effect, Keep) for effect in effects)


@pytest.mark.parametrize("phase", [Phase.ASKED, Phase.HELD])
def test_hold_that_the_bank_never_answers_is_over_with_its_order(phase: Phase) -> None:
    """Nothing can be kept beyond the order's last round; until well after it the bank may say so itself."""
    state = ours(phase=phase, round=LAST + 2 * SILENT_ROUNDS)
    assert promised.advance(state, Clock(LAST + SILENT_ROUNDS - 1)) == (state, [])
    over, effects = promised.advance(state, Clock(LAST + SILENT_ROUNDS))
    assert (over.phase, effects) == (Phase.LAPSED, [])
    assert promised.advance(over, answer(over.opened, Hold(1, UNTIL))) == (over, [])


def test_hold_that_was_executed_on_no_board_is_disputed() -> None:
    """The bank has the coin's signature and can say so at once; its entries it would have to show."""
    coin = coin_id(KEY.public)
    said = answer(ours().opened, Spent(0, KEY.public, ours().opened.seal, ours().opened.signatures[0]))
    state, _ = promised.advance(ours(), said)
    assert state.phase is Phase.LOOKING
    end = LAST + MOST_PROMISED_ROUNDS
    assert promised.advance(state, Clock(end - 1)) == (state, [])
    over, effects = promised.advance(state, Clock(end))
    assert (over.phase, over.reason) == (Phase.REFUSED, "spent")
    assert effects[:2] == [Dispute(coin), Keep("overdue", said.answer.encode() + state.signed)]
    assert promised.advance(over, seen(state.opened))[0].phase is Phase.SETTLED


@pytest.mark.parametrize("h", [H, b""])
def test_payee_carries_it_out(h: bytes) -> None:
    """By its h, or whole; then the certificates are his."""
    state = theirs(h)
    body = Execute(state.opened.seal, h) if h else state.opened
    assert foreign.advance(state, Begin()) == (state, [Ask(0, encode_request(body))])
    done, effects = foreign.advance(state, answer(state.opened, Certificates(20, 1, (bytes(64),))))
    assert (done.phase, done.round) == (Phase.ANSWERED, 20)
    assert Certify((PAID,), (bytes(64),), 1, 20) in effects
    assert foreign.advance(done, seen(state.opened))[0].phase is Phase.SETTLED


def test_executed_before_means_looking_for_it_on_the_board() -> None:
    """An answer was lost, and the bank has forgotten which outputs there were."""
    state = theirs()
    done, _ = foreign.advance(state, answer(state.opened, Spent(0, KEY.public, state.opened.seal, bytes(64))))
    assert done.phase is Phase.LOOKING


@pytest.mark.parametrize(("round_", "evidence"), [(UNTIL - 10, True), (UNTIL, False), (None, True)])
@pytest.mark.parametrize("kind", [Spent, Held])
def test_coin_given_to_another_order_under_a_hold_is_evidence(
    kind: type[Body], round_: int | None, evidence: bool
) -> None:
    """Once the hold is over (or so near that the bank may know it is) the bank is right."""
    state = theirs()
    if round_ is not None:
        state, _ = foreign.advance(state, Clock(round_))
    other = (0, KEY.public, os.urandom(32), bytes(64))
    no = answer(state.opened, Spent(*other) if kind is Spent else Held(*other, 45))
    done, effects = foreign.advance(state, no)
    assert done.phase is (Phase.REFUSED if kind is Spent else Phase.HELD)
    kept = [effect for effect in effects if isinstance(effect, Keep)]
    assert [each.reason for each in kept] == ([BROKEN] if evidence else [])
    if kept:
        assert kept[0].data == state.word() + no.answer.encode()


def test_our_ids_can_not_be_made_anew_in_an_order_that_is_not_ours() -> None:
    """Certified before: this order pays nothing any more."""
    state = theirs(b"")
    body = Taken(0, CertifiedBefore(PAID.coin, PAID.exponent, 1, bytes(64)))
    done, effects = foreign.advance(state, answer(state.opened, body))
    assert (done.phase, done.reason) == (Phase.REFUSED, "taken")
    assert Void((PAID.coin,)) in effects


def test_what_the_bank_says_of_strangers_coins_may_be_true() -> None:
    """No evidence, and nothing disputed."""
    for reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.SUMS, Refusal.NO_HOLD):
        done, effects = foreign.advance(theirs(b""), answer(theirs(b"").opened, Refused(reason)))
        assert done.phase is Phase.REFUSED
        assert not any(isinstance(effect, Keep) for effect in effects)


def test_blamed_for_a_spent_coin_it_is_looked_for_on_the_board() -> None:
    """The bank's word alone ends nothing: the board shows the whole order, or its coins are asked for."""
    blamed = Blamed(b"an answer", 60)
    for phase in (Phase.KEPT, Phase.LAPSED):
        looking, effects = promised.advance(ours(phase=phase, round=UNTIL), blamed)
        assert (looking.phase, looking.proof, effects) == (Phase.LOOKING, b"an answer", [])
        assert promised.advance(looking, Clock(59)) == (looking, [])
        settled, _ = promised.advance(looking, seen(looking.opened))
        assert settled.phase is Phase.SETTLED
        refused, effects = promised.advance(looking, Clock(60))
        assert (refused.phase, refused.reason) == (Phase.REFUSED, "spent")
        assert Dispute(coin_id(KEY.public)) in effects
        assert Keep("overdue", b"an answer" + looking.signed) in effects


def test_blame_changes_nothing_that_is_over() -> None:
    """Settled by the board, or taken back."""
    for phase in (Phase.SETTLED, Phase.EXPIRED, Phase.REFUSED):
        state = ours(phase=phase)
        assert promised.advance(state, Blamed(b"", 60)) == (state, [])


def test_what_the_hold_contradicts_does_not_end_a_capture() -> None:
    """It is claimed; and what is said on the board ends it."""
    state = theirs()
    for reason in (Refusal.NO_HOLD, Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN, Refusal.SUMS):
        denied = answer(state.opened, Refused(reason))
        waiting, effects = claim.advance(state, denied, foreign.advance)
        assert (waiting.phase, waiting.attempt) == (Phase.ASKED, 1)
        assert isinstance(effects[-1], Keep)
        over, _ = claim.advance(state, Told(denied.answer), foreign.advance)
        assert over.phase is Phase.REFUSED
    assert claim.may_claim(state)


def test_a_sealed_payment_is_claimed_with_its_payers_certificates() -> None:
    """Without them what the bank says of coins that nobody knows may be true."""
    bare, shown = theirs(h=b""), theirs(h=b"", certificates=(bytes(69),))
    assert (claim.may_claim(bare), claim.may_claim(shown)) == (False, True)
    denied = answer(bare.opened, Refused(Refusal.UNKNOWN_CERTIFICATE))
    assert claim.advance(bare, denied, foreign.advance)[0].phase is Phase.REFUSED
    assert claim.advance(shown, denied, foreign.advance)[0].phase is Phase.ASKED
    sums = answer(bare.opened, Refused(Refusal.SUMS))
    assert claim.advance(shown, sums, foreign.advance)[0].phase is Phase.REFUSED


def test_a_capture_is_claimed_before_its_hold_is_over() -> None:
    """However patient the wallet is; but never in the round in which it asked."""
    state, _ = claim.advance(theirs(), Begin(10), foreign.advance)
    rounds = [closed for closed in range(60) if claim.is_due(state, closed, 120)]
    assert rounds[0] == UNTIL - claim.AHEAD_ROUNDS
    late, _ = claim.advance(theirs(), Begin(UNTIL - 1), foreign.advance)
    assert claim.is_due(late, UNTIL, 120)
    assert not claim.is_due(late, UNTIL - 1, 120)

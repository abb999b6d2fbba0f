"""A bank that doesn't answer, and a wallet that has the board answer for it."""

import pytest

import bank.claims.clerk
from bank.board.audit.finding import Weight
from bank.formats.answer import Refusal, Refused, sign_answer
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry, CertifiedEntry
from bank.formats.request import decode_request, subject_of
from mixmint.errors import PendingError, UserError
from tests.unit.wallet.forced.court import IMPATIENT_S, SOON, Court
from tests.unit.wallet.town import Crash, Wallet
from wallet.machines.steps import Phase
from wallet.operations import PlanState, Want
from wallet.purse import CoinState


def silence(wallet: Wallet, until: Court | None = None) -> None:
    """The bank never answers what this customer sends; or not until he has made that public."""
    wallet.wire.fate = lambda: "both" if until is not None and until.claims() else "lost"


async def test_an_exchange_that_the_bank_ignores_is_forced(court: Court) -> None:
    """Claimed after the stated rounds, executed there, and exchanged once more: its coins were shown."""
    ann = await court.funded()
    silence(ann, court)
    begun = court.board.closed
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert court.claims() == []
    await court.resume_until(ann)
    assert len(court.claims()) == 1
    assert begun + 4 <= court.round_of_claim() <= begun + 12
    # Nobody who read the claim can follow the coin any more.
    (coin,) = ann.purse.coins(CoinState.FREE).values()
    assert (coin.units, coin.is_clean) == (8, True)
    shown = {
        output.coin for entry in court.claims() for output in Claim.decode(entry.body).order.order.outputs
    }
    assert coin.id() not in shown
    plans = [stored.state for stored in ann.purse.operations().values()]
    assert [plan.phase for plan in plans if isinstance(plan, PlanState) and plan.opened] == [Phase.SETTLED]
    assert (await court.audit()).passed


async def test_the_second_exchange_may_have_to_be_forced_too(court: Court) -> None:
    """A bank that never answers this customer: his coins move all the same, each time in public."""
    ann = await court.funded()
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    for _ in range(30):
        await court.resume(ann)
    assert len(court.claims()) > 1
    assert ann.units(CoinState.FREE, CoinState.RESERVED) == 8


async def test_a_payment_that_the_bank_ignores_reaches_its_payee(court: Court) -> None:
    """The payee reads the board as ever; the payer pays once."""
    ann, bob = await court.funded(), court.wallet("bob", **SOON)
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "")
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.pay(request, now=True)
    for _ in range(12):
        await court.resume(ann)
    await bob.teller.sync()
    assert (ann.units(), bob.units()) == (0, 8)
    paid = [stored.state for stored in ann.purse.operations().values()]
    assert [plan.phase for plan in paid if isinstance(plan, PlanState) and plan.want is Want.PAY] == [
        Phase.SETTLED
    ]


@pytest.mark.parametrize("want", ["withdraw", "deposit"])
async def test_account_requests_are_forced_by_an_answer(court: Court, want: str) -> None:
    """The statement that books it stands on the board; the chain goes on from it."""
    ann = await court.funded()
    await court.fund_again(ann, 8)
    await ann.cashier.exchange(None)
    silence(ann)
    with pytest.raises(PendingError):
        await (ann.cashier.deposit(8) if want == "deposit" else ann.cashier.withdraw(4))
    wanted = 16 if want == "deposit" else 4
    for _ in range(24):
        await court.resume(ann)
        if ann.books.head().balance == wanted:
            break
    # The operator's credit stood in the way of the first request: shown on the board, and signed after.
    assert await court.balance(ann) == ann.books.head().balance == wanted
    assert len(court.answers()) == len(court.claims()) >= 2
    ann.wire.fate = lambda: "both"
    await court.resume_until(ann)
    await ann.cashier.withdraw(1)


async def test_no_account_is_a_lie_where_its_opening_stands_before_the_claim(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit sees it; a file with a statement alone could be made of one that came later."""

    def denied(claim: Claim, *_: object) -> bytes:
        body = Refused(Refusal.NO_ACCOUNT)
        return AnswerEntry(court.signer.answer(claim.answer_subject, body)).encode()

    monkeypatch.setattr(bank.claims.clerk, "answer_prepared", denied)
    ann = await court.funded()
    await court.fund_again(ann, 8)
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.withdraw(4)
    for _ in range(10):
        await court.resume(ann)
    report = await court.audit()
    (found,) = [each for each in report.findings if each.weight is Weight.CHEAT]
    assert "is false" in found.sentence


async def test_a_claim_by_hand_needs_no_patience_and_no_leave(court: Court) -> None:
    """With claims = false nothing is posted by itself, however long it takes."""
    ann = await court.funded(claims=False)
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    (row,) = [
        row for row, stored in ann.purse.open_operations().items() if isinstance(stored.state, PlanState)
    ]
    for _ in range(12):
        await court.resume(ann)
    assert court.claims() == []
    await ann.cashier.claim(row)
    assert ann.units() == 8
    with pytest.raises(UserError, match="waits for no answer"):
        await ann.cashier.claim(row)


async def test_nothing_is_claimed_while_the_bank_answers(court: Court) -> None:
    """Every claim tells everyone something."""
    ann = await court.funded()
    for _ in range(5):
        await ann.cashier.exchange(None)
        await court.ticks(3)
    assert court.claims() == []


@pytest.mark.parametrize("step", ["claim-made", "claim-posted", "board-booked"])
async def test_a_crash_at_any_step_claims_once(court: Court, step: str) -> None:
    """On file first, posted again by the next process, known to the board by its subject."""
    ann = await court.funded()
    silence(ann, court)
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    crashes = 0

    def at(name: str) -> None:
        if name == step and crashes < 3:
            raise Crash

    for _ in range(16):
        await court.tick()
        court.close(ann)
        ann = court.wallet("ann", at=at, **SOON)
        try:
            with ann.teller.hurry(IMPATIENT_S):
                await ann.cashier.resume()
        except Crash:
            crashes += 1
        except UserError:
            continue
        if not ann.cashier.undecided():
            break
    assert crashes >= 1
    assert len({Claim.decode(entry.body).subject for entry in court.claims()}) == 1
    assert ann.units() == 8


async def test_the_board_away_for_a_while(court: Court) -> None:
    """The claim stays on file, and is posted by a later command."""
    ann = await court.funded()
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await court.ticks(8)
    refused = 0

    async def post(entry: bytes) -> None:
        nonlocal refused
        refused += 1
        raise UserError("not now")

    taking, court.board.post = court.board.post, post
    with pytest.raises(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.resume()
    assert refused == 1
    court.board.post = taking
    court.close(ann)
    ann = court.wallet("ann", **SOON)
    for _ in range(4):
        await court.resume(ann)
    assert len(court.claims()) >= 1


async def test_too_late_said_directly_does_not_outdo_the_claim(court: Court) -> None:
    """The claim was on the board in time, so the bank must execute it there; freed coins could pay twice."""
    ann = await court.funded(order_rounds=16)
    silence(ann)
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    court.silent = True
    while not court.claims():
        await court.resume(ann)
    await court.ticks(16)
    ann.wire.fate = lambda: "both"

    def too_late(data: bytes) -> bytes:
        asked = decode_request(ann.wire.asked[-1])
        return sign_answer(court.key, court.signer.bank, subject_of(asked), Refused(Refusal.TOO_LATE))

    ann.wire.bends = too_late
    with pytest.raises(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.resume()
    assert ann.units(CoinState.RESERVED) == 8
    court.silent = False
    ann.wire.bends = lambda data: data
    await court.resume_until(ann)
    assert ann.units() == 8
    assert len({e.coin for e in court.board.entries() if isinstance(e, CertifiedEntry)}) >= 3


async def test_a_denied_coin_is_asked_for_on_the_board(court: Court) -> None:
    """*Unknown certificate*, of a coin that the bank certified: in public it can't say that."""
    ann = await court.funded()

    ask = ann.wire.ask

    async def deny(conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        """Said without having asked the ledger."""
        if court.claims():
            return await ask(conversation, body, expires_s, timeout_s)
        subject = subject_of(decode_request(body))
        return sign_answer(court.key, court.signer.bank, subject, Refused(Refusal.UNKNOWN_CERTIFICATE, 0))

    ann.wire.ask = deny
    outcome = await ann.cashier.exchange(None)
    assert outcome.state.phase is Phase.REFUSED
    assert ann.units(CoinState.DISPUTED) == 8
    await court.resume_until(ann)
    assert (ann.units(), ann.units(CoinState.DISPUTED)) == (8, 0)
    assert len(court.claims()) == 1

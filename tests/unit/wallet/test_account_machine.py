"""A withdrawal or a deposit along the chain of statements: exact effects, and never twice."""

import msgspec

from bank.formats.account import NO_HEAD, Operation, SignedStatement, Statement, sign_statement
from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Refusal,
    Refused,
    Statements,
    Taken,
    Withdrawn,
    sign_answer,
)
from bank.formats.coin import coin_id
from bank.formats.order import NOTHING, Output
from bank.formats.request import Withdraw, encode_request, sign_read
from mixmint.keys import SigningKey
from wallet.machines.account import AccountState, advance
from wallet.machines.order import MOST_FORMS
from wallet.machines.steps import (
    Answered,
    Ask,
    Begin,
    Certify,
    Extend,
    Forget,
    Keep,
    MakeOutputs,
    Phase,
    Renewed,
    Seen,
    Void,
)

BANK = SigningKey(bytes(32))
HOLDER = SigningKey(b"\x01" * 32)
COIN = coin_id(b"\x02" * 32)
OUTPUT = Output(COIN, 3)


def statement(
    earlier: Statement | None, operation: Operation, amount: int, digest: bytes = NOTHING
) -> Statement:
    change = -amount if operation is Operation.WITHDRAW else amount
    return Statement(
        BANK.public,
        HOLDER.public,
        1 if earlier is None else earlier.sequence + 1,
        operation,
        amount,
        change if earlier is None else earlier.balance + change,
        digest,
        NO_HEAD if earlier is None else earlier.head(),
        40,
    )


OPENED = statement(None, Operation.OPENED, 0)
FUNDED = statement(OPENED, Operation.CREDIT, 20)


def withdrawal() -> AccountState:
    return AccountState(
        operation=Operation.WITHDRAW,
        bank=BANK.public,
        request_id=bytes(16),
        last_round=50,
        outputs=((COIN, 3),),
    )


def answered(body: Body) -> Answered:
    return Answered(Answer.decode(sign_answer(BANK, bytes(32), bytes(32), body)))


def signed(*statements: Statement) -> tuple[SignedStatement, ...]:
    return tuple(sign_statement(BANK, each) for each in statements)


def asked_at(head: Statement) -> AccountState:
    """A withdrawal that was signed for the statement after ``head`` and is with the bank."""
    return advance(withdrawal(), Begin(), head, HOLDER)[0]


def withdrawn(state: AccountState, earlier: Statement) -> Withdrawn:
    booked = statement(earlier, Operation.WITHDRAW, 8, state.signed().request.digest())
    return Withdrawn(sign_statement(BANK, booked), Certificates(40, 3, (b"\x07" * 64,)))


def test_without_a_known_chain_the_statements_are_read_first() -> None:
    """From the first one on."""
    state, effects = advance(withdrawal(), Begin(), None, HOLDER)
    assert state.phase is Phase.READING
    assert effects == [Ask(0, encode_request(sign_read(HOLDER, BANK.public, 1)))]


def test_the_read_chain_is_extended_and_the_request_names_its_head() -> None:
    """Two statements: opened, credited."""
    body = Statements(signed(OPENED, FUNDED))
    state, effects = advance(withdrawal(), answered(body), None, HOLDER)
    assert state.phase is Phase.ASKED
    request = state.signed().request
    assert (request.sequence, request.head) == (3, FUNDED.head())
    assert effects == [
        *(Extend(each.encode()) for each in body.statements),
        Ask(1, encode_request(Withdraw(state.signed()))),
    ]


def test_six_statements_mean_that_more_may_come() -> None:
    """Nothing is signed before the end of the chain was seen."""
    chain = [OPENED]
    for _ in range(5):
        chain.append(statement(chain[-1], Operation.CREDIT, 1))
    state, effects = advance(withdrawal(), answered(Statements(signed(*chain))), None, HOLDER)
    assert (state.phase, state.requests) == (Phase.READING, ())
    assert effects[-1] == Ask(1, encode_request(sign_read(HOLDER, BANK.public, 7)))


def test_a_booked_withdrawal_keeps_statement_and_certificates() -> None:
    """And settles when the board shows the coins."""
    state = asked_at(FUNDED)
    body = withdrawn(state, FUNDED)
    after, effects = advance(state, answered(body), FUNDED, HOLDER)
    assert (after.phase, after.round) == (Phase.ANSWERED, 40)
    assert effects == [Extend(body.statement.encode()), Certify((OUTPUT,), (b"\x07" * 64,), 3, 40)]
    settled, effects = advance(after, Seen(38, frozenset((COIN,)), frozenset()), FUNDED, HOLDER)
    assert (settled.phase, settled.round, effects) == (Phase.SETTLED, 38, [Forget(after.attempt)])


def test_coins_that_come_one_by_one_settle_a_withdrawal() -> None:
    """The bank's own, alone, are evidence; posted ones are not."""
    second = coin_id(b"\x03" * 32)
    state = msgspec.structs.replace(
        withdrawal(),
        outputs=((COIN, 3), (second, 1)),
        phase=Phase.ANSWERED,
        requests=(b"request",),
        attempt=2,
    )
    posted = frozenset((COIN,))
    after, effects = advance(state, Seen(43, posted, frozenset(), posted), FUNDED, HOLDER)
    assert (after.phase, after.late, effects) == (Phase.ANSWERED, (COIN,), [])
    split, effects = advance(state, Seen(43, posted, frozenset()), FUNDED, HOLDER)
    assert (split.late, effects) == ((COIN,), [Keep("split-order", b"request")])
    settled, effects = advance(after, Seen(44, frozenset((second,)), frozenset()), FUNDED, HOLDER)
    assert (settled.phase, settled.round, effects) == (Phase.SETTLED, 44, [Forget(2)])


def test_the_board_before_the_answer_still_wants_the_statement() -> None:
    """Else the chain's head would be missing a link that the bank can show."""
    state = asked_at(FUNDED)
    shown, effects = advance(state, Seen(38, frozenset((COIN,)), frozenset()), FUNDED, HOLDER)
    assert (shown.phase, shown.shown, effects) == (Phase.ASKED, 38, [])
    settled, effects = advance(shown, answered(withdrawn(state, FUNDED)), FUNDED, HOLDER)
    assert (settled.phase, settled.round) == (Phase.SETTLED, 38)
    assert effects[-1] == Forget(state.attempt)


def test_an_old_sequence_reads_and_finds_the_own_request_executed() -> None:
    """Then the very same request is asked again: never a second one."""
    state = asked_at(FUNDED)
    reading, effects = advance(state, answered(Refused(Refusal.SEQUENCE)), FUNDED, HOLDER)
    assert reading.phase is Phase.READING
    assert effects == [Ask(2, encode_request(sign_read(HOLDER, BANK.public, 3)))]
    own = statement(FUNDED, Operation.WITHDRAW, 8, state.signed().request.digest())
    again, effects = advance(reading, answered(Statements(signed(own))), FUNDED, HOLDER)
    assert len(again.requests) == 1
    assert effects[-1] == Ask(3, encode_request(Withdraw(state.signed())))


def test_an_old_sequence_signs_anew_only_after_the_old_request_is_dead() -> None:
    """The chain has another statement at its sequence, so it can't be executed any more."""
    reading, _ = advance(asked_at(FUNDED), answered(Refused(Refusal.SEQUENCE)), FUNDED, HOLDER)
    credited = statement(FUNDED, Operation.CREDIT, 5)
    again, effects = advance(reading, answered(Statements(signed(credited))), FUNDED, HOLDER)
    assert len(again.requests) == 2
    assert again.signed().request.sequence == 4
    assert effects == [
        Extend(sign_statement(BANK, credited).encode()),
        Ask(3, encode_request(Withdraw(again.signed()))),
    ]


def test_a_refusal_without_a_reason_in_the_chain_signs_nothing() -> None:
    """The bank says "sequence" and shows no newer statement: the request is alive, so there is no second."""
    reading, _ = advance(asked_at(FUNDED), answered(Refused(Refusal.SEQUENCE)), FUNDED, HOLDER)
    state, effects = advance(reading, answered(Statements(())), FUNDED, HOLDER)
    assert (state.phase, len(state.requests)) == (Phase.ASKED, 1)
    assert effects == [Keep("sequence", state.requests[0])]


def test_taken_makes_new_outputs_for_the_same_statement() -> None:
    """Of the two requests only one can be executed, and both digests stay known."""
    state = asked_at(FUNDED)
    same, effects = advance(state, answered(Taken(0, CertifiedBefore(COIN, 3, 3, bytes(64)))), FUNDED, HOLDER)
    assert (same, effects) == (state, [MakeOutputs((3,))])
    fresh = Output(coin_id(b"\x05" * 32), 3)
    renewed, effects = advance(state, Renewed((fresh,)), FUNDED, HOLDER)
    assert [len(renewed.requests), renewed.signed().request.sequence] == [2, 3]
    assert effects == [Ask(2, encode_request(Withdraw(renewed.signed())))]


def test_outputs_that_are_always_taken_are_not_made_for_ever() -> None:
    """It ends as refused; what of it is booked all the same, the board and the statements show."""
    asked = asked_at(FUNDED)
    state = msgspec.structs.replace(asked, requests=asked.requests * (MOST_FORMS + 1))
    taken = answered(Taken(0, CertifiedBefore(COIN, 3, 3, bytes(64))))
    after, effects = advance(state, taken, FUNDED, HOLDER)
    assert (after.phase, after.reason) == (Phase.REFUSED, "taken")
    assert effects == [Void((COIN,)), Forget(state.attempt)]


def test_final_refusals_void_the_outputs() -> None:
    """Too little in the account, too late, no account."""
    for reason in (Refusal.BALANCE, Refusal.TOO_LATE, Refusal.NO_ACCOUNT):
        state = asked_at(FUNDED)
        after, effects = advance(state, answered(Refused(reason)), FUNDED, HOLDER)
        assert after.phase is Phase.REFUSED
        assert effects == [Void((COIN,)), Forget(state.attempt)]


def test_reading_goes_on_with_the_same_question_after_a_restart() -> None:
    """Another operation moved the head meanwhile; a conversation carries one question only."""
    reading, effects = advance(withdrawal(), Begin(), None, HOLDER)
    state = asked_at(FUNDED)
    again, asked = advance(state, answered(Refused(Refusal.SEQUENCE)), FUNDED, HOLDER)
    newer = statement(FUNDED, Operation.CREDIT, 5)
    assert advance(again, Begin(), newer, HOLDER) == (again, asked)
    assert reading.since == 1
    assert effects == [Ask(0, encode_request(sign_read(HOLDER, BANK.public, 1)))]

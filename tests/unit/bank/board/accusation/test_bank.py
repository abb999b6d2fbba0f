"""Accusations of a bank: each cheat is made for real on a patched bank, and each near miss is refused."""

import dataclasses
import os
from pathlib import Path

import pytest

from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import (
    CertifiedTwice,
    EntryFalse,
    SpentTwice,
    StatementsContradict,
    ValueCreated,
    ordered,
)
from bank.board.accusation.verdict import Accused
from bank.formats.answer import Answer, Certificates, CertifiedBefore, Credited, Hold, sign_answer
from bank.formats.coin import coin_id
from bank.formats.entry import CertifiedEntry, Kind, PostedEntry, make_key_entry, make_replaced_entry
from bank.formats.order import SignedOrder, tau_of
from bank.formats.request import Deposit, Execute
from bank.formats.statement import BankStatement, Row, Tally, sign_statement
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import (
    BANK,
    BANK_ID,
    Shown,
    certified,
    fresh_id,
    judge,
    spent,
)
from tests.unit.bank.desk import Desk, fresh

AGAINST_THE_BANK = Accused(bank=BANK.public)


def shown_certificate(entry: CertifiedEntry) -> CertifiedBefore:
    return CertifiedBefore(entry.coin, entry.exponent, entry.epoch, entry.certificate)


def test_an_id_certified_with_two_epochs_convicts_the_bank(desk: Desk) -> None:
    """A bank that forgets what it certified says so itself, in two certificates."""
    _, output = fresh(3)
    first = desk.ask(desk.order([desk.coin(3)], [output])).body
    desk.connection.execute("DELETE FROM certified WHERE coin = ?", (output.coin,))
    desk.epoch += 1
    second = desk.ask(desk.order([desk.coin(3)], [output])).body
    assert isinstance(first, Certificates)
    assert isinstance(second, Certificates)
    shown = [CertifiedBefore(output.coin, 3, each.epoch, each.certificates[0]) for each in (first, second)]
    verdict = judge(CertifiedTwice(desk.key.public, shown[0], shown[1]))
    assert verdict.holds
    assert verdict.whom == Accused(bank=desk.key.public)
    assert output.coin.hex() in verdict.sentence


def test_the_same_certificate_twice_or_two_coins_convict_nobody() -> None:
    """Certifying again what is certified is the rule."""
    coin = fresh_id()
    one, other = shown_certificate(certified(coin, 3, 1)), shown_certificate(certified(coin, 4, 1))
    assert judge(CertifiedTwice(BANK.public, one, other)).holds
    elsewhere = shown_certificate(certified(fresh_id(), 4, 1))
    forged = dataclasses.replace(other, certificate=bytes(64))
    stranger = shown_certificate(certified(coin, 5, 1, SigningKey.generate()))
    for pair in ((one, one), (other, one), (one, elsewhere), (one, forged), (one, stranger)):
        assert not judge(CertifiedTwice(BANK.public, *pair)).holds


def two_seals(folder: Path) -> tuple[Shown, SigningKey, list[bytes]]:
    """A log in which one coin is spent by two orders."""
    coin = SigningKey.generate()
    entries = [spent(coin, os.urandom(32)).encode() for _ in range(2)]
    log = Shown(folder)
    log.close([certified(coin_id(coin.public)).encode(), entries[0]])
    log.close([entries[1]])
    return log, coin, entries


def test_a_coin_spent_twice_in_a_log_that_the_bank_confirmed_convicts_the_bank(
    tmp_path: Path, desk: Desk
) -> None:
    """The real rules with a patched table publish both; the bank's statement takes them for its own."""
    coin = desk.coin(3)
    desk.ask(desk.order([coin], [fresh(3)[1]]))
    desk.connection.execute("DELETE FROM spent")
    desk.ask(desk.order([coin], [fresh(3)[1]]))
    groups = [[entry.encode() for entry in group] for group in desk.groups() if group]
    log = Shown(tmp_path / "log")
    for group in groups:
        log.close(group)
    entries = [entry for group in groups for entry in group if entry[0] == Kind.SPENT]
    verdict = judge(SpentTwice(log.confirmed(key=desk.key), log.find(*entries)))
    assert verdict.holds
    assert verdict.whom == Accused(bank=desk.key.public)


def test_without_the_banks_statement_two_spent_entries_accuse_bank_or_board(tmp_path: Path) -> None:
    """The board and a holder of the coin could have made up the second one."""
    log, _, entries = two_seals(tmp_path)
    verdict = judge(SpentTwice(log.signed(), log.find(*entries)))
    assert verdict.holds
    assert verdict.whom == Accused(log.verifier, or_its_bank=True)


def test_one_orders_entry_twice_or_another_coins_or_unproved_is_no_double_spend(tmp_path: Path) -> None:
    """A repeated entry gives nothing out twice."""
    log, coin, entries = two_seals(tmp_path)
    log.close([entries[0]])
    again = log.proof(log.leaves.index(entries[0]), len(log.leaves) - 2)
    assert again.bytes == (entries[0], entries[0])
    assert not judge(SpentTwice(log.confirmed(), again)).holds
    other = spent(SigningKey.generate(), bytes(32)).encode()
    log.close([other])
    assert not judge(SpentTwice(log.confirmed(), log.find(entries[0], other))).holds
    # Only the first half is confirmed: the second entry isn't the bank's word.
    small = log.confirmed(size=3)
    assert not judge(SpentTwice(small, log.find(*entries))).holds
    false = dataclasses.replace(spent(coin, bytes(32)), signature=bytes(64)).encode()
    log.close([false])
    assert not judge(SpentTwice(log.confirmed(), log.find(entries[0], false))).holds


def test_a_coin_spent_and_replaced_convicts_the_bank(tmp_path: Path) -> None:
    """Replaced is final: the coin's value went back to its account."""
    log, coin, entries = two_seals(tmp_path)
    replaced = make_replaced_entry(BANK, BANK_ID, coin_id(coin.public), 3, 1).encode()
    log.close([replaced])
    assert judge(SpentTwice(log.confirmed(), log.find(entries[0], replaced))).whom == AGAINST_THE_BANK
    assert judge(SpentTwice(log.confirmed(), log.find(entries[0], replaced))).holds
    assert not judge(SpentTwice(log.signed(), log.find(entries[0], replaced))).holds


def statement(
    sequence: int = 1, totals: Tally | None = None, rows: tuple[Row, ...] = (), key: SigningKey = BANK
) -> BankStatement:
    return sign_statement(key, BANK_ID, sequence, 0, bytes(32), totals or Tally(), rows)


@pytest.mark.parametrize(
    "false",
    [
        statement(totals=Tally(withdrawn=8, exchanged=8)),
        statement(totals=Tally(withdrawn=8, exchanged=8, spent=16)),
        statement(totals=Tally(withdrawn=8, deposited=8)),
        statement(totals=Tally(withdrawn=8, replaced=16)),
        statement(totals=Tally(withdrawn=8), rows=(Row(3, 1, Tally(withdrawn=1, spent=2)),)),
        statement(totals=Tally(withdrawn=8), rows=(Row(3, 1, Tally(withdrawn=2)),)),
    ],
)
def test_a_statement_that_can_not_be_true_convicts_the_bank_alone(false: BankStatement) -> None:
    """Nothing but the statement is needed."""
    verdict = judge(StatementsContradict(BANK.public, (false,)))
    assert verdict.holds
    assert verdict.whom == AGAINST_THE_BANK


def test_two_statements_of_one_number_or_with_falling_counts_convict_the_bank() -> None:
    """It said one thing to some, another to others; or took back what it said."""
    rows = (Row(3, 1, Tally(withdrawn=2)),)
    one, other = statement(1, Tally(withdrawn=32), rows), statement(1, Tally(withdrawn=33))
    fewer, less = statement(2, Tally(withdrawn=31)), statement(2, Tally(withdrawn=32), (Row(3, 1, Tally(1)),))
    for false in ((one, other), (one, fewer), (one, less)):
        assert judge(StatementsContradict(BANK.public, ordered(list(false)))).holds
        assert not judge(StatementsContradict(BANK.public, ordered(list(false))[::-1])).holds


def test_true_statements_convict_nobody() -> None:
    """Growing counts, rows left out, and what others signed."""
    one = statement(1, Tally(16, 8, 8, 0, 0), (Row(3, 1, Tally(2, 1, 1)),))
    other = statement(2, Tally(24, 8, 8, 0, 0), (Row(3, 2, Tally(1)),))
    assert not judge(StatementsContradict(BANK.public, (one,))).holds
    assert not judge(StatementsContradict(BANK.public, (one, other))).holds
    assert not judge(StatementsContradict(BANK.public, (one, one))).holds
    forged = statement(1, Tally(8), (), SigningKey.generate())
    assert not judge(StatementsContradict(BANK.public, ordered([one, forged]))).holds


def test_more_certificates_than_stated_convict_the_bank(tmp_path: Path) -> None:
    """By a row, or by the running totals, posted ones too; but no coin counts twice, and none unconfirmed."""
    coins = [certified(fresh_id()) for _ in range(3)]
    posted = PostedEntry(coins[2].coin, 3, 1, coins[2].certificate)
    log = Shown(tmp_path)
    log.close([coins[0].encode(), coins[1].encode()])
    log.close([posted.encode()])
    entries = [coins[0].encode(), coins[1].encode(), posted.encode()]
    enough, fewer = Tally(withdrawn=24), Tally(withdrawn=23)
    row = (Row(3, 1, Tally(withdrawn=2)),)
    assert judge(ValueCreated(log.confirmed(totals=fewer), log.find(*entries))).holds
    assert judge(ValueCreated(log.confirmed(totals=enough, rows=row), log.find(*entries))).holds
    assert not judge(ValueCreated(log.confirmed(totals=enough), log.find(*entries))).holds
    assert not judge(ValueCreated(log.confirmed(totals=Tally(16), rows=row), log.find(*entries[:2]))).holds
    # Read after the statement was signed: the counts needn't have it.
    assert not judge(ValueCreated(log.confirmed(3, totals=fewer), log.find(*entries))).holds
    log.close([coins[0].encode()])
    twice = log.proof(0, 1, len(log.leaves) - 2)
    assert not judge(ValueCreated(log.confirmed(totals=Tally(16)), twice)).holds
    foreign = certified(fresh_id(), key=SigningKey.generate()).encode()
    log.close([foreign])
    assert not judge(ValueCreated(log.confirmed(totals=Tally(16)), log.find(*entries[:2], foreign))).holds


def hold_order(desk: Desk, coin: SigningKey, h: bytes | None = None) -> SignedOrder:
    return desk.order([coin], [fresh(3)[1]], tau=tau_of(h or os.urandom(32)))


def said(desk: Desk, request: SignedOrder | Deposit) -> Word:
    return Word(request, desk.ask(request))


def convicts(desk: Desk, one: Word, other: Word) -> bool:
    verdict = judge(OverlappingHolds.of(desk.key.public, one, other))
    assert verdict.whom == Accused(bank=desk.key.public)
    return verdict.holds


def test_two_holds_on_one_coin_at_one_time_convict_the_bank(desk: Desk) -> None:
    """Simon's collision, answered "yes" twice."""
    coin = desk.coin(3)
    one = said(desk, hold_order(desk, coin))
    desk.connection.execute("DELETE FROM held_coin")
    desk.closed += 1
    other = said(desk, hold_order(desk, coin))
    assert isinstance(one.answer.body, Hold)
    assert isinstance(other.answer.body, Hold)
    assert convicts(desk, one, other)


@pytest.mark.parametrize("deposit", [False, True])
def test_another_order_executed_under_a_live_hold_convicts_the_bank(desk: Desk, *, deposit: bool) -> None:
    """By an exchange or by a deposit; before the hold or during it."""
    coin = desk.coin(3)
    one = said(desk, hold_order(desk, coin))
    desk.connection.execute("DELETE FROM held_coin")
    request = desk.deposit(desk.account(0), [coin]) if deposit else desk.order([coin], [fresh(3)[1]])
    other = said(desk, request)
    assert isinstance(other.answer.body, Credited if deposit else Certificates)
    assert convicts(desk, one, other)


def test_two_orders_of_one_coin_executed_convict_the_bank(desk: Desk) -> None:
    """No log is needed."""
    coin = desk.coin(3)
    one = said(desk, desk.order([coin], [fresh(3)[1]]))
    desk.connection.execute("DELETE FROM spent")
    desk.closed += 100
    assert convicts(desk, one, said(desk, desk.order([coin], [fresh(3)[1]])))


def test_holds_one_after_the_other_and_their_executions_convict_nobody(desk: Desk) -> None:
    """A hold lapses, the next begins, and that one is executed: each in its own rounds."""
    coin = desk.coin(3)
    h = os.urandom(32)
    one = said(desk, hold_order(desk, coin))
    assert isinstance(one.answer.body, Hold)
    desk.closed = one.answer.body.to_round
    request = hold_order(desk, coin, h)
    other = said(desk, request)
    executed = Word(request, desk.ask(Execute(request.seal, h)))
    assert isinstance(executed.answer.body, Certificates)
    assert not convicts(desk, one, other)
    assert not convicts(desk, one, executed)
    assert not convicts(desk, other, executed)


@pytest.mark.parametrize(("promised", "convicting"), [(17, True), (18, False)])
def test_an_execution_promised_for_the_round_after_a_hold_is_after_it(
    desk: Desk, *, promised: int, convicting: bool
) -> None:
    """What is promised for the hold's last round was decided before that closed; what comes later wasn't."""
    coin = desk.coin(3)
    one = said(desk, hold_order(desk, coin))
    assert one.answer.body == Hold(8, 17)
    request = desk.order([coin], [fresh(3)[1]])
    body = Certificates(promised, 3, (bytes(64),))
    other = Word(request, Answer.decode(sign_answer(desk.key, desk.bank, request.seal, body)))
    assert convicts(desk, one, other) == convicting


def test_words_that_were_not_given_or_are_of_others_convict_nobody(desk: Desk) -> None:
    """Another bank's answer, another order's, a refusal, orders without a common coin."""
    coin = desk.coin(3)
    one = said(desk, hold_order(desk, coin))
    rival = hold_order(desk, coin)
    refused = said(desk, rival)
    assert not convicts(desk, one, refused)
    assert not convicts(desk, one, Word(rival, one.answer))
    assert not convicts(desk, one, said(desk, hold_order(desk, desk.coin(3))))
    assert not convicts(desk, one, one)
    other_bank = OverlappingHolds.of(BANK.public, one, one)
    assert not judge(other_bank).holds


@pytest.mark.parametrize("what", ["certified", "spent", "key", "replaced"])
def test_a_false_entry_that_the_bank_confirmed_convicts_it(tmp_path: Path, what: str) -> None:
    """It published a lie and took it for its own."""
    coin = SigningKey.generate()
    true = {
        "certified": certified(fresh_id()),
        "spent": spent(coin, bytes(32)),
        "key": make_key_entry(BANK, BANK_ID),
        "replaced": make_replaced_entry(BANK, BANK_ID, fresh_id(), 3, 1),
    }[what].encode()
    false = true[:-1] + bytes([true[-1] ^ 1])
    log = Shown(tmp_path)
    log.close([true, false])
    assert judge(EntryFalse(log.confirmed(), log.find(false))).whom == AGAINST_THE_BANK
    assert judge(EntryFalse(log.confirmed(), log.find(false))).holds
    assert not judge(EntryFalse(log.confirmed(), log.find(true))).holds
    # A spent entry needs no key to be judged by. Whose certificate it is only the bank's own word can tell.
    assert judge(EntryFalse(log.signed(), log.find(false))).holds == (what == "spent")


def test_a_false_certificate_that_somebody_posted_does_not_accuse_the_bank(tmp_path: Path) -> None:
    """Anyone may post; whether it is true is the board's to check."""
    log = Shown(tmp_path)
    posted = PostedEntry(fresh_id(), 3, 1, bytes(64)).encode()
    log.close([posted])
    assert not judge(EntryFalse(log.confirmed(), log.find(posted))).holds

"""Accusations of a bank whose key was changed: the successor's crimes are his own, and only his."""

import dataclasses
import json
import os
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import (
    CertifiedTwice,
    EntryFalse,
    SpentTwice,
    StatementsContradict,
    ValueCreated,
)
from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.file import check_file, decode_accusation, encode_accusation
from bank.board.accusation.lies import AccountForked, AnswerFalse, Named
from bank.board.accusation.log import TwoViews, WholeLog
from bank.board.accusation.successor import OfBank, OfSuccessor, signers_of
from bank.board.accusation.verdict import Accused
from bank.formats.account import NO_HEAD, AccountRequest, Operation, Statement, sign_request, sign_statement
from bank.formats.answer import Hold, Refusal, Refused, Spent
from bank.formats.claim import Claim
from bank.formats.coin import CoinId, CoinKey, coin_id
from bank.formats.entry import TermsEntry, make_replaced_entry
from bank.formats.order import NOTHING, Order, Output, sign_order, tau_of
from bank.formats.request import Replace
from bank.formats.statement import Tally
from bank.ledger import Terms
from mix.directory import Authorities
from mixmint.errors import MalformedMessage
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, Shown, fresh_id, spent
from tests.unit.bank.board.accusation.succeeded import (
    COIN,
    NETWORK,
    NEW,
    ROUNDS,
    WANTED,
    Succeeded,
    answer,
    certified,
    change,
    claim,
    judge,
    shown,
)
from tests.vectors.make_accused_successor import FILE as VECTORS

NAME = bytes(range(32))


def twice(one: SigningKey = NEW, other: SigningKey = NEW, accused: SigningKey = NEW) -> CertifiedTwice:
    return CertifiedTwice(
        accused.public, shown(certified(NAME, 3, key=one)), shown(certified(NAME, 4, key=other))
    )


@pytest.fixture
def log(tmp_path: Path) -> Succeeded:
    return Succeeded(tmp_path)


def test_a_successor_who_cheats_is_convicted_by_a_file_that_holds_alone(log: Succeeded) -> None:
    """Under the bank's old name, by the key that the authorities gave it."""
    verdict = judge(log.accuse(twice()))
    assert verdict.holds, verdict.sentence
    assert verdict.whom == Accused(bank=NEW.public, founding=BANK.public)
    assert verdict.whom.bank_id == BANK_ID
    assert verdict.whom.text() == f"bank {BANK_ID.hex()} with key {NEW.public.hex()}"


def test_without_the_authorities_nobody_can_tell_whose_key_it_is(log: Succeeded) -> None:
    """Anyone can sign a change to a key of his own, and convict that; the reader is told what he lacks."""
    accusation = log.accuse(twice())
    verdict = judge(accusation, None)
    assert not verdict.holds
    assert "--network FILE" in verdict.sentence
    others = Authorities(tuple(SigningKey(bytes([n]) * 32).public for n in (21, 22)), 1)
    assert "isn't signed by 1" in judge(accusation, others).sentence
    one = dataclasses.replace(log.change, signatures=log.change.signatures[:1])
    assert "isn't signed by 2" in judge(dataclasses.replace(accusation, changes=(one,))).sentence
    assert judge(accusation, signers_of((log.change,))).holds


def test_changes_that_do_not_lead_to_the_accused_key_prove_nothing(log: Succeeded) -> None:
    """Of another bank, twice the same, to another key."""
    accusation = log.accuse(twice())
    for changes in ((log.change, log.change), (dataclasses.replace(log.change, bank=bytes(32)),)):
        assert not judge(dataclasses.replace(accusation, changes=changes)).holds
    assert not judge(dataclasses.replace(accusation, founding=NEW.public)).holds
    third = SigningKey(b"\x08" * 32)
    wrong = dataclasses.replace(accusation, evidence=twice(third, third, third))
    assert "isn't to the accused key" in judge(wrong).sentence
    assert "isn't to the accused key" in judge(log.accuse(twice(BANK, BANK, BANK))).sentence


def test_neither_key_answers_for_what_the_other_one_signed(log: Succeeded) -> None:
    """One certificate of each is nobody's lie; and in the other one's name nothing holds."""
    assert not judge(log.accuse(twice(BANK, NEW))).holds
    assert not judge(log.accuse(twice(BANK, BANK))).holds
    for pair in ((NEW, NEW), (NEW, BANK), (BANK, NEW)):
        assert not check_file(encode_accusation(twice(*pair, accused=BANK))).holds
    # By itself, as if the new key were a founding one: the certificates name another bank.
    assert not check_file(encode_accusation(twice())).holds


def test_a_successor_answers_for_what_stands_behind_his_own_key(tmp_path: Path) -> None:
    """A false entry before it may be the board's, or a thief's; he confirms it, since it is there."""
    true = [certified(fresh_id()).encode() for _ in range(3)]
    # One signature in sixteen ends with a zero.
    false = [entry[:-1] + bytes([entry[-1] ^ 1]) for entry in true]
    log = Succeeded(tmp_path, before=false[:1], early=false[1:2])
    log.close(false[2:])
    confirmed = log.stated()
    verdicts = [judge(log.accuse(EntryFalse(confirmed, log.find(each)))) for each in false]
    assert [verdict.holds for verdict in verdicts] == [False, False, True]
    assert "before the key's own" in verdicts[1].sentence


def test_where_his_key_stands_must_be_shown_and_true(log: Succeeded) -> None:
    """Another key's entry, one of another log, none, or one where no log is."""
    true = certified(fresh_id()).encode()
    false = true[:-1] + bytes([true[-1] ^ 1])
    log.close([false])
    evidence = EntryFalse(log.stated(), log.find(false))
    assert judge(log.accuse(evidence)).holds
    assert "not shown" in judge(dataclasses.replace(log.accuse(evidence), began=None)).sentence
    founding = log.proof(0)
    assert "another key's" in judge(log.accuse(evidence, founding)).sentence
    unproved = dataclasses.replace(log.find(log.own), proof=())
    assert "not proved" in judge(log.accuse(evidence, unproved)).sentence
    assert "no log" in judge(log.accuse(twice(), log.find(log.own))).sentence
    moved = change(log.edge.size, log.edge.root())
    below = dataclasses.replace(log.accuse(evidence), changes=(moved,))
    assert "below the cut" in judge(below).sentence


def test_a_coin_given_out_twice_is_the_crime_of_who_did_it_second(tmp_path: Path) -> None:
    """Twice below the cut: the predecessor's. Once by each, or twice by him: the successor's."""
    old, mixed, own = (SigningKey(os.urandom(32)) for _ in range(3))
    entries = {
        coin.public: [spent(coin, os.urandom(32)).encode() for _ in range(2)] for coin in (old, mixed, own)
    }
    log = Succeeded(tmp_path, before=[*entries[old.public], entries[mixed.public][0]])
    log.close([entries[mixed.public][1], entries[own.public][0]])
    log.close([entries[own.public][1]])
    confirmed = log.stated()
    held = [
        judge(log.accuse(SpentTwice(confirmed, log.find(*entries[coin.public])))).holds
        for coin in (old, mixed, own)
    ]
    assert held == [False, True, True]


def test_a_coin_replaced_by_a_thief_may_be_spent_later(tmp_path: Path) -> None:
    """The successor goes by the coin's age; spent first and replaced by him afterwards is a crime."""
    coin, paid = SigningKey(os.urandom(32)), SigningKey(os.urandom(32))
    stolen = make_replaced_entry(BANK, BANK_ID, coin_id(coin.public), 3, 1).encode()
    by_him = make_replaced_entry(NEW, BANK_ID, coin_id(paid.public), 3, 1).encode()
    ends = [spent(coin, os.urandom(32)).encode(), spent(paid, os.urandom(32)).encode()]
    log = Succeeded(tmp_path, before=[stolen, ends[1]])
    log.close([ends[0], by_him])
    confirmed = log.stated()
    assert not judge(log.accuse(SpentTwice(confirmed, log.find(stolen, ends[0])))).holds
    assert judge(log.accuse(SpentTwice(confirmed, log.find(ends[1], by_him)))).holds


def test_more_certificates_of_his_than_he_states_convict_him(tmp_path: Path) -> None:
    """His predecessor's are in his counts too, but the first of one coin alone: they prove nothing here."""
    old, new = certified(fresh_id(), key=BANK).encode(), certified(fresh_id()).encode()
    log = Succeeded(tmp_path, before=[old])
    log.close([new])
    confirmed = log.stated(Tally(withdrawn=7))
    assert judge(log.accuse(ValueCreated(confirmed, log.find(new)))).holds
    assert not judge(log.accuse(ValueCreated(confirmed, log.find(old)))).holds
    assert not judge(log.accuse(ValueCreated(log.stated(Tally(withdrawn=8)), log.find(new)))).holds


def test_his_statements_are_judged_by_themselves(log: Succeeded) -> None:
    """Two of his with one number; one of his and one of his predecessor's are of two hands."""
    one, other = (log.stated(Tally(withdrawn=units)).statement for units in (8, 16))
    before = log.confirmed(totals=Tally(withdrawn=24)).statement
    pair = tuple(sorted((one, other), key=lambda each: each.signed_part()))
    assert judge(log.accuse(StatementsContradict(NEW.public, pair))).holds
    mixed = tuple(sorted((one, before), key=lambda each: each.signed_part()))
    for key in (NEW, BANK):
        evidence = StatementsContradict(key.public, mixed)
        assert not judge(log.accuse(evidence)).holds
        assert not check_file(encode_accusation(evidence)).holds


def test_he_may_confirm_no_other_log_than_the_board_signed(tmp_path: Path) -> None:
    """Or the board showed him another one."""
    log, other = Succeeded(tmp_path / "one"), Succeeded(tmp_path / "other")
    log.close([certified(fresh_id()).encode()])
    other.close([certified(fresh_id()).encode()])
    log.close([])
    evidence = TwoViews(log.signed(), other.stated(), log.difference(other.edge.size))
    verdict = judge(log.accuse(evidence))
    assert verdict.holds, verdict.sentence
    assert verdict.whom.board is not None


def word(number: int, key: SigningKey = NEW) -> Word:
    """A hold on the coin."""
    outputs = (Output(CoinId(bytes([number]) * 32), 3),)
    order = Order(BANK_ID, bytes([number]) * 16, 100, (CoinKey(COIN.public),), outputs, tau=tau_of(bytes(32)))
    signed = sign_order(order, [COIN], salt=bytes([number]) * 16)
    return Word(signed, answer(signed.seal, Hold(8, 17), key))


def test_a_hold_of_his_over_a_hold_of_his_convicts_him_and_over_his_predecessors_nobody(
    log: Succeeded,
) -> None:
    """Nobody but the order's maker knows what the old bank had promised."""
    assert judge(log.accuse(OverlappingHolds.of(NEW.public, word(1), word(2)))).holds
    for key in (NEW, BANK):
        evidence = OverlappingHolds.of(key.public, word(1, BANK), word(2))
        assert not judge(log.accuse(evidence)).holds
        assert not check_file(encode_accusation(evidence)).holds


def forked(one: SigningKey, other: SigningKey, accused: SigningKey = NEW) -> AccountForked:
    account = SigningKey(b"\4" * 32).public
    two = [
        Statement(BANK_ID, account, 2, Operation.CREDIT, units, units, NOTHING, NO_HEAD, 0)
        for units in (8, 9)
    ]
    return AccountForked.of(accused.public, sign_statement(one, two[0]), sign_statement(other, two[1]))


def test_a_chain_forks_by_one_hand_only(log: Succeeded) -> None:
    """What the old key signed beyond the list is void: the successor's chain goes its own way."""
    assert judge(log.accuse(forked(NEW, NEW))).holds
    assert not judge(log.accuse(forked(BANK, NEW))).holds
    assert not check_file(encode_accusation(forked(BANK, NEW, BANK))).holds


def unanswered(log: Succeeded, *, confirmed: bool, terms: bytes | None = None) -> OfBank:
    at = log.leaves.index(claim().entry().encode())
    marks = [index for index, leaf in enumerate(log.leaves) if leaf[0] == 127 and index > at]
    last = log.edge.size - 1 if confirmed else marks[ROUNDS]
    first = log.leaves.index(terms or log.terms)
    leaves = log.proof(first, *range(at, last + 1))
    return ClaimUnanswered(NEW.public, log.stated() if confirmed else log.signed(), leaves)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_claim_that_he_leaves_without_an_answer_convicts_him(tmp_path: Path, confirmed: bool) -> None:
    """By his own terms; the old key's may be a thief's."""
    log = Succeeded(tmp_path / "his")
    log.close([claim().entry().encode()])
    for _ in range(ROUNDS + 1):
        log.close([])
    assert judge(log.accuse(unanswered(log, confirmed=confirmed))).holds
    old = TermsEntry(Terms(claim_rounds=ROUNDS).published(BANK, BANK_ID, 1)).encode()
    shown_old = judge(log.accuse(unanswered(log, confirmed=confirmed, terms=old)))
    assert "terms are not shown" in shown_old.sentence


def test_an_answer_of_his_that_cannot_be_true_convicts_him(log: Succeeded) -> None:
    """That he knows nothing of a coin which he certified himself; of his predecessor's he may say so."""
    for key, held in ((NEW, True), (BANK, False)):
        made = claim(key)
        lie = answer(made.answer_subject, Refused(Refusal.UNKNOWN_CERTIFICATE, 0))
        evidence = AnswerFalse(NEW.public, Named.CLAIM, made, lie)
        assert judge(log.accuse(evidence)).holds == held


def test_that_he_knows_no_coin_of_a_listed_withdrawal_may_be_true(log: Succeeded) -> None:
    """
    He signs the listed statement himself when its holder reads his account. What it certified stands above
    the cut, so he knows of none of it before he is asked for the withdrawal.
    """
    account = SigningKey(b"\4" * 32)
    coins = (Output(WANTED, 3),)
    asked = AccountRequest(
        *(BANK_ID, account.public, 3, bytes(range(32)), Operation.WITHDRAW, bytes(16), 99), outputs=coins
    )
    listed = Statement(
        *(BANK_ID, account.public, 3, Operation.WITHDRAW, 8, 0, asked.digest(), asked.head), round=5
    )
    again = dataclasses.replace(
        asked, sequence=5, operation=Operation.REPLACE, seal=asked.digest(), head=bytes(32)
    )
    made = Claim(
        Replace(sign_request(account, again), sign_request(account, asked), sign_statement(NEW, listed))
    )
    assert made.objection(NEW.public, BANK_ID) is None
    body = Refused(Refusal.UNKNOWN_CERTIFICATE, 0)
    for subject, named in ((made.answer_subject, Named.CLAIM), (made.subject, Named.REQUEST)):
        evidence = AnswerFalse(NEW.public, named, made, answer(subject, body))
        assert not judge(log.accuse(evidence)).holds
    lie = AnswerFalse(NEW.public, Named.CLAIM, made, answer(made.answer_subject, Refused(Refusal.SUMS)))
    assert judge(log.accuse(lie)).holds


def test_that_an_order_was_executed_may_be_all_he_knows(log: Succeeded) -> None:
    """He read on the board that its coin is spent under its seal. Of a bank that began itself it is a lie."""
    made = claim()
    order = made.request
    body = Spent(0, CoinKey(COIN.public), order.seal, order.signatures[0])  # type: ignore[union-attr]  # an order
    evidence = AnswerFalse(NEW.public, Named.CLAIM, made, answer(made.answer_subject, body))
    verdict = judge(log.accuse(evidence))
    assert not verdict.holds
    assert "may be true" in verdict.sentence


def test_the_file_has_a_version_of_its_own(log: Succeeded) -> None:
    """One form; a title doesn't make an old file a new one, nor the other way round."""
    accusation = log.accuse(twice())
    data = encode_accusation(accusation)
    assert data.startswith(b"mixmint accusation v2\nkind: certified-twice\n")
    assert decode_accusation(data) == accusation
    with pytest.raises(MalformedMessage):
        decode_accusation(data.replace(b"v2", b"v1", 1))
    with pytest.raises(MalformedMessage):
        decode_accusation(encode_accusation(twice()).replace(b"v1", b"v2", 1))
    for changes in ((), (log.change,) * 65):
        with pytest.raises(MalformedMessage):
            decode_accusation(encode_accusation(dataclasses.replace(accusation, changes=changes)))


def test_a_board_is_never_accused_as_a_successor(tmp_path: Path) -> None:
    """Its key isn't changed by anybody."""
    log = Shown(tmp_path)
    log.append([certified(fresh_id()).encode() for _ in range(2)])
    whole = WholeLog(log.signed(), "nothing.")
    made = OfSuccessor(BANK.public, (change(1, bytes(32)),), None, whole)  # type: ignore[arg-type]  # no bank's
    with pytest.raises(MalformedMessage):
        decode_accusation(encode_accusation(made))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_byte_convicts_anybody(data: st.DataObject) -> None:
    """Whatever is written over a good file's evidence, it is malformed, or proves nothing."""
    good = Path(VECTORS).read_text()
    text = json.loads(good)["accusations"][0]["text"]
    head, _, body = text.partition("\n\n")
    evidence = bytearray(b64decode(body))
    at = data.draw(st.integers(1, len(evidence) - 1))
    evidence[at] ^= data.draw(st.integers(1, 255))
    lines = b64encode(evidence).decode()
    wrapped = "".join(lines[each : each + 76] + "\n" for each in range(0, len(lines), 76))
    changed = f"{head}\n\n{wrapped}".encode()
    try:
        assert not check_file(changed, NETWORK).holds
    except MalformedMessage:
        return

"""One-step orders: every answer, and that the same order again has the same one."""

import dataclasses

import pytest

from bank.board.reading.client import Cursor
from bank.comparison import Compared
from bank.confirmer import confirm
from bank.formats.answer import Certificates, CertifiedBefore, Refusal, Refused, Spent, Taken
from bank.formats.coin import certificate_holds, coin_id
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import SEAL_LABEL, Output, SignedOrder
from bank.formats.request import encode_request
from bank.ledger import prepare, settle
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk, fresh


def test_an_exchange_is_certified_published_and_promised(desk: Desk) -> None:
    """The certificates hold, and the one group on its way to the board shows outputs and inputs."""
    old = desk.coin(4)
    (_, first), (_, second) = fresh(3), fresh(3)
    signed = desk.order([old], [first, second])
    body = desk.ask(signed).body
    assert isinstance(body, Certificates)
    assert (body.round, body.epoch) == (desk.closed + desk.terms.promise_rounds, desk.epoch)
    for output, certificate in zip(signed.order.outputs, body.certificates, strict=True):
        assert certificate_holds(
            desk.key.public, certificate, desk.bank, output.exponent, body.epoch, output.coin
        )
    (group,) = desk.groups()
    assert {type(entry) for entry in group} == {CertifiedEntry, SpentEntry}
    assert all(
        entry.holds() if isinstance(entry, SpentEntry) else entry.holds(desk.key.public, desk.bank)  # type: ignore[union-attr]
        for entry in group
    )
    assert desk.units("certified") - desk.units("spent") == 16


def test_the_same_order_gets_the_same_answer_after_a_crash_in_another_round_and_epoch(desk: Desk) -> None:
    """Nothing is stored but coins, yet the answer is rebuilt bit for bit, and nothing is published twice."""
    data = encode_request(desk.order([desk.coin(3)], [fresh(3)[1]], last_round=desk.closed + 1))
    first = desk.ask_bytes(data)
    desk.reopen()
    desk.closed += 100
    desk.epoch += 1
    assert desk.ask_bytes(data) == first
    assert len(desk.groups()) == 1


def test_a_coin_spent_before_is_proved_by_its_own_signature(desk: Desk) -> None:
    """The proof is the earlier order's seal, signed by the coin's own key; nothing of the loser happens."""
    old, other = desk.coin(3), desk.coin(3)
    winner = desk.order([old], [fresh(3)[1]])
    desk.ask(winner)
    loser = desk.order([old, other], [fresh(4)[1]])
    body = desk.ask(loser).body
    assert type(body) is Spent
    assert body.coin_key == old.public == loser.order.inputs[body.index]
    assert body.seal == winner.seal
    assert body.proves()
    assert desk.count("spent") == 1
    assert isinstance(desk.ask(desk.order([other], [fresh(3)[1]])).body, Certificates)


def test_an_output_certified_before_is_shown_with_its_certificate(desk: Desk) -> None:
    """The inputs of the refused order stay unspent."""
    old, taken = desk.coin(3), desk.coin(5)
    body = desk.ask(desk.order([old], [Output(coin_id(taken.public), 2), fresh(2)[1]])).body
    assert isinstance(body, Taken)
    assert isinstance(body.proof, CertifiedBefore)
    assert body.proof.holds(desk.key.public, desk.bank)
    assert (body.proof.coin, body.proof.exponent) == (coin_id(taken.public), 5)
    assert desk.count("spent") == 0
    assert desk.count("certified") == 2
    assert isinstance(desk.ask(desk.order([old], [fresh(3)[1]])).body, Certificates)


def test_a_coin_can_not_be_exchanged_into_itself(desk: Desk) -> None:
    """Its id is certified already."""
    old = desk.coin(3)
    assert isinstance(desk.ask(desk.order([old], [Output(coin_id(old.public), 3)])).body, Taken)
    assert desk.count("spent") == 0


@pytest.mark.parametrize("exponent", [2, 4])
def test_sums_must_be_equal(desk: Desk, exponent: int) -> None:
    """Neither may money be made nor be lost."""
    body = desk.ask(desk.order([desk.coin(3)], [fresh(exponent)[1]])).body
    assert body == Refused(Refusal.SUMS)
    assert desk.count("spent") == 0


def test_a_coin_never_certified_is_refused(desk: Desk) -> None:
    """With the index of the input, in the order's own order of inputs."""
    stranger = SigningKey.generate()
    signed = desk.order([desk.coin(3), stranger], [fresh(3)[1]])
    index = signed.order.inputs.index(stranger.public)  # type: ignore[arg-type]
    assert desk.ask(signed).body == Refused(Refusal.UNKNOWN_CERTIFICATE, index)


def test_who_knows_a_coin_but_not_its_secret_can_not_spend_it(desk: Desk) -> None:
    """A stranger's signature under the coin's public key is false, so the coin stays free."""
    old, thief = desk.coin(3), SigningKey.generate()
    honest = desk.order([old], [fresh(3)[1]])
    stolen = desk.order([thief], [fresh(3)[1]])
    order = dataclasses.replace(stolen.order, inputs=honest.order.inputs)
    forged = SignedOrder.decode(stolen.salt + order.encode() + stolen.signatures[0])
    assert desk.ask(forged).body == Refused(Refusal.SIGNATURE, 0)
    assert desk.count("spent") == 0


def test_outputs_can_not_be_changed_on_the_way(desk: Desk) -> None:
    """What is signed includes the outputs: the bank itself couldn't turn a payment to outputs of its own."""
    signed = desk.order([desk.coin(3)], [fresh(3)[1]])
    turned = dataclasses.replace(signed.order, outputs=(fresh(3)[1],))
    forged = SignedOrder.decode(signed.salt + turned.encode() + signed.signatures[0])
    assert desk.ask(forged).body == Refused(Refusal.SIGNATURE, 0)


def test_another_banks_order_is_refused(desk: Desk) -> None:
    """The bank id is under the seal."""
    body = desk.ask(desk.order([desk.coin(3)], [fresh(3)[1]], bank=bytes(32))).body
    assert body == Refused(Refusal.WRONG_BANK)


def test_an_order_is_not_executed_after_its_last_round(desk: Desk) -> None:
    """Up to its last round yes, afterwards no, and then the coin is free for another order."""
    old = desk.coin(3)
    late = desk.order([old], [fresh(3)[1]], last_round=desk.closed)
    assert desk.ask(late).body == Refused(Refusal.TOO_LATE)
    assert isinstance(
        desk.ask(desk.order([old], [fresh(3)[1]], last_round=desk.closed + 1)).body, Certificates
    )


def test_too_late_an_order_for_a_spent_coin_still_gets_the_proof(desk: Desk) -> None:
    """What happened to the coin says more than the hour."""
    old = desk.coin(3)
    desk.ask(desk.order([old], [fresh(3)[1]]))
    assert type(desk.ask(desk.order([old], [fresh(3)[1]], last_round=1)).body) is Spent


def test_coins_live_then_can_be_exchanged_then_expire(desk: Desk) -> None:
    """A coin's life counts from its epoch; the exchanged coin has the current one."""
    life, grace = desk.terms.life_epochs, desk.terms.grace_epochs
    desk.epoch = life + grace
    assert isinstance(desk.ask(desk.order([desk.coin(3, epoch=1)], [fresh(3)[1]])).body, Certificates)
    assert desk.ask(desk.order([desk.coin(3, epoch=0)], [fresh(3)[1]])).body == Refused(
        Refusal.EXPIRED_COIN, 0
    )


def test_bytes_that_are_no_request_are_refused_with_their_own_hash(desk: Desk) -> None:
    """Signed like any answer, and of the same shape for all malformed bytes."""
    from bank.formats.answer import Answer
    from bank.formats.request import unread_subject

    good = encode_request(desk.order([desk.coin(3)], [fresh(3)[1]]))
    for data in (b"", b"\x01", good[:-1], good + b"\x00", b"\x09" + good[1:], bytes(5000)):
        answer = Answer.decode(desk.ask_bytes(data))
        assert answer.body == Refused(Refusal.MALFORMED)
        assert answer.subject == unread_subject(data)
        assert answer.holds(desk.key.public, desk.bank)


def test_one_batch_may_hold_the_same_order_twice_and_its_rival(desk: Desk) -> None:
    """Order of arrival decides inside a batch; the double gets the same answer, the rival the proof."""
    old = desk.coin(3)
    one, rival = desk.order([old], [fresh(3)[1]]), desk.order([old], [fresh(3)[1]])
    first, again, lost = desk.ask_all([encode_request(each) for each in (one, one, rival)])
    assert first == again
    body = desk.read(rival, lost).body
    assert type(body) is Spent
    assert body.seal == one.seal
    assert len(desk.groups()) == 1


def test_a_hostile_duplicate_does_not_spoil_the_batch(desk: Desk) -> None:
    """63 honest orders beside one that fails at its last output all go through."""
    honest = [desk.order([desk.coin(3)], [fresh(3)[1]]) for _ in range(63)]
    poison = desk.order([desk.coin(3), desk.coin(3)], [honest[40].order.outputs[0], fresh(3)[1]])
    batch = [*honest[:50], poison, *honest[50:]]
    answers = desk.ask_all([encode_request(each) for each in batch])
    bodies = [desk.read(each, answer).body for each, answer in zip(batch, answers, strict=True)]
    assert [type(body) for body in bodies].count(Certificates) == 63
    assert isinstance(bodies[50], Taken)
    assert desk.count("spent") == 63


def test_the_largest_order_is_executed(desk: Desk) -> None:
    """8 inputs, 16 outputs."""
    signed = desk.order([desk.coin(5) for _ in range(8)], [fresh(4)[1] for _ in range(16)])
    body = desk.ask(signed).body
    assert isinstance(body, Certificates)
    assert len(body.certificates) == 16
    assert desk.units("certified") - desk.units("spent") == 256


def test_nothing_in_the_file_ties_inputs_to_outputs_once_the_outbox_is_empty(sqlite_desk: Desk) -> None:
    """No column of the coin tables is shared by input and output; freed space is overwritten."""
    desk = sqlite_desk
    signed = desk.order([desk.coin(3)], [fresh(3)[1]])
    desk.ask(signed)
    desk.run(lambda book: confirm(book, Compared(Cursor(1), 2, True, None)))
    desk.engine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    file = desk.path.read_bytes()
    output, key = signed.order.outputs[0].coin, signed.order.inputs[0]
    # Each once, in its own table (the key's row names the seal; the output's row nothing).
    assert file.count(output) == 1
    assert file.count(key) == 1
    assert file.count(signed.seal) == 1
    assert file.count(signed.salt) == 0
    assert str(SEAL_LABEL).encode() not in file


def test_nothing_in_the_books_ties_inputs_to_outputs_once_the_outbox_is_empty(desk: Desk) -> None:
    """On either engine: a look at every row of every table."""
    signed = desk.order([desk.coin(3)], [fresh(3)[1]])
    output, key = signed.order.outputs[0].coin, signed.order.inputs[0]
    desk.ask(signed)
    assert rows_with(desk, output) == ["certified", "outbox"]
    assert rows_with(desk, key) == ["outbox", "spent"]
    desk.run(lambda book: confirm(book, Compared(Cursor(1), 2, True, None)))
    assert rows_with(desk, output) == ["certified"]
    assert rows_with(desk, key) == ["spent"]
    assert rows_with(desk, signed.seal) == ["spent"]


def rows_with(desk: Desk, what: bytes) -> list[str]:
    """The tables of the rows that hold these bytes, once for each row."""
    return sorted(
        table
        for table, rows in desk.engine.tables().items()
        for row in rows
        if any(isinstance(value, bytes) and what in value for value in row)
    )


def test_a_promise_is_always_of_a_round_that_is_still_open(desk: Desk) -> None:
    """Rounds that close while an order is checked don't make the bank promise the past."""
    signed = desk.order([desk.coin(3)], [fresh(3)[1]])
    prepared = prepare(encode_request(signed), desk.signer, desk.moment)
    desk.closed += desk.terms.promise_rounds
    data = desk.run(lambda book: settle(prepared, desk.signer, book, desk.moment))
    body = desk.read(signed, data).body
    assert isinstance(body, Certificates)
    assert body.round == desk.closed + desk.terms.promise_rounds
    assert desk.ask(signed).body == body

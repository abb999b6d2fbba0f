"""A bank that lies, a board that bends: nothing wrong is believed, everything wrong is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.log.note import KeyKind, VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.log.tiles import ENTRIES, pack, tile_at, unpack
from bank.formats.account import Operation, Statement, sign_statement
from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Held,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    sign_answer,
)
from bank.formats.coin import coin_id, sign_certificate
from bank.formats.entry import AccountEntry, CertifiedEntry, Kind, PostedEntry, RoundEntry, SpentEntry
from bank.formats.order import Output
from bank.formats.request import ReadAccount, decode_request
from bank.ledger.accounts import credit
from mixmint.errors import FatalError, PendingError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S, LogMaker
from tests.unit.wallet.town import PaperBoard, Town, Wallet
from wallet.bearer import Bearer
from wallet.machines.steps import Phase
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState
from wallet.restoring.copies import JUMP

Lie = Callable[[Town, Answer], bytes]


def signed(town: Town, answer: Answer, body: Body) -> bytes:
    """The bank's own hand."""
    return sign_answer(town.key, town.signer.bank, answer.subject, body)


def another_certificate(town: Town, answer: Answer) -> bytes:
    assert isinstance(answer.body, Certificates)
    wrong = sign_certificate(town.key, town.signer.bank, 0, answer.body.epoch, bytes(32))
    return signed(town, answer, Certificates(answer.body.round, answer.body.epoch, (wrong,)))


def invented_proof(town: Town, answer: Answer) -> bytes:
    """ "Spent", of a coin whose secret the bank never had."""
    key = SigningKey.generate()
    return signed(town, answer, Spent(0, key.public, bytes(32), bytes(64)))


LIES: dict[str, Lie] = {
    "unreadable-kind": lambda town, answer: bytes(200),
    "another-subject": lambda town, answer: sign_answer(town.key, town.signer.bank, bytes(32), answer.body),
    "not-signed": lambda town, answer: answer.encode()[:-1] + bytes([answer.encode()[-1] ^ 1]),
    "false-certificate": another_certificate,
    "count-of-certificates": lambda town, answer: signed(
        town, answer, Certificates(9, 0, answer.body.certificates * 2)
    ),
    "proof-of-another-coin": invented_proof,
    "false-refusal": lambda town, answer: signed(town, answer, Refused(Refusal.SUMS)),
    "too-late-too-early": lambda town, answer: signed(town, answer, Refused(Refusal.TOO_LATE)),
}


async def funded(town: Town, units: int = 8) -> Wallet:
    ann = town.wallet("ann")
    await town.fund(ann, units)
    await ann.cashier.withdraw(units)
    return ann


@pytest.mark.parametrize("reason", LIES)
async def test_wrong_answer_decides_nothing_and_is_kept(town: Town, reason: str) -> None:
    """The coin stays reserved, the bytes become a file, and an honest answer ends it later."""
    ann = await funded(town)
    ann.wire.bends = lambda answer: LIES[reason](town, Answer.decode(answer))
    # The board shows rounds without entries, so that it can't make up for the answer.
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="evidence"):
        await ann.cashier.exchange(None)
    assert ann.units(CoinState.RESERVED) == 8
    (kept,) = ann.books.evidence()
    assert kept.name.startswith(reason)
    ann.wire.bends = lambda answer: answer
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert ann.units(CoinState.PENDING) == 8


async def test_invented_proof_of_the_right_coin_is_refused_too(town: Town) -> None:
    """The signature must be the coin key's, over the seal."""
    ann = await funded(town)

    def lie(answer: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        key = order.order.inputs[0]
        return signed(town, Answer.decode(answer), Spent(0, key, bytes(32), bytes(64)))

    ann.wire.bends = lie
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="false-proof"):
        await ann.cashier.exchange(None)


async def test_a_promise_that_the_board_breaks_is_kept_as_evidence(town: Town) -> None:
    """Certified in the answer, missing on the board in the promised round: pending, never free."""
    ann = await funded(town)
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == ["overdue"]
    assert (ann.units(), ann.units(CoinState.PENDING)) == (0, 8)


async def test_a_coin_spent_by_a_stranger_is_lost_with_the_proof(town: Town) -> None:
    """Somebody who copied the purse spends first; the board and the bank both prove it."""
    ann = await funded(town)
    (record,) = ann.purse.coins(CoinState.FREE).values()
    thief = town.wallet("thief")
    await thief.cashier.receive(Bearer(town.signer.bank, (record.coin(),)))
    await ann.teller.sync()
    (lost,) = ann.purse.coins(CoinState.LOST).values()
    key, seal, signature = lost.proof[:32], lost.proof[32:64], lost.proof[64:]
    assert coin_id(key) == record.id()
    assert Spent(0, key, seal, signature).proves()
    assert ann.units() == 0


async def test_spent_by_a_stranger_before_the_board_shows_it(town: Town) -> None:
    """The refusal carries the proof; the coin is lost, and the exchange says so."""
    ann, thief = await funded(town), town.wallet("thief")
    (record,) = ann.purse.coins(CoinState.FREE).values()
    await thief.teller.sync()
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError):
        await thief.cashier.receive(Bearer(town.signer.bank, (record.coin(),)))
    outcome = await ann.cashier.exchange(None)
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "spent")
    assert [proof.proves() for proof in outcome.proofs] == [True]
    assert ann.units(CoinState.LOST) == 8


async def test_two_devices_with_one_seed_never_collide_for_long(town: Town) -> None:
    """The second device's ids are taken, so it makes others; both have what they withdrew."""
    ann = await funded(town, 8)
    seed = ann.purse.fact("seed")
    twin = town.wallet("twin")
    with twin.purse.transaction():
        twin.purse.set_fact("seed", seed)
    town.close(twin)
    twin = town.wallet("twin")
    # What the other device withdrew, this one must know: a booking that nobody signed for is the bank's lie.
    with twin.purse.transaction():
        twin.purse.set_fact("chain", ann.purse.fact("chain"))
    await town.store.run(lambda book: credit(town.signer.bank, ann.purse.account().public, 8, book))
    outcome = await twin.cashier.withdraw(8)
    assert outcome.state.phase is Phase.SETTLED
    assert (ann.units(), twin.units()) == (8, 8)
    assert len(twin.purse.coins(CoinState.VOID)) == 1 + JUMP
    assert twin.books.evidence() == []


async def test_forged_certificates_on_the_board_pay_nothing(town: Town) -> None:
    """An entry proves itself by the bank's signature, not by standing on the board."""
    bob = town.wallet("bob")
    row, request = await bob.cashier.request(8, "")
    (output,) = request.outputs
    forger = SigningKey.generate()
    forged = sign_certificate(forger, town.signer.bank, 3, 0, output.coin)
    entry = CertifiedEntry(output.coin, 3, 0, forged).encode()
    town.board.bends = lambda entries: sorted([*entries, entry])
    await town.tick()
    assert await bob.cashier.look_for(row) is None
    assert bob.units() == 0


async def test_forged_spends_on_the_board_take_nothing(town: Town) -> None:
    """A coin is spent when its own key signed."""
    ann = await funded(town)
    (record,) = ann.purse.coins(CoinState.FREE).values()
    entry = SpentEntry(record.key().public, bytes(32), bytes(64)).encode()
    town.board.bends = lambda entries: sorted([*entries, entry])
    await town.tick()
    await ann.teller.sync()
    assert ann.units() == 8


async def test_every_round_is_read_once(town: Town) -> None:
    """The cursor is on disk with what was learnt: a later process goes on after it."""
    ann = await funded(town)
    town.close(ann)
    again = town.wallet("ann")
    assert again.books.cursor().round >= 2
    await town.tick()
    assert await again.teller.sync() == town.board.closed
    assert again.books.cursor().frontier == town.board.maker.edge.frontier()


async def test_a_coin_of_another_value_than_asked_for_is_taken_but_pays_nothing(town: Town) -> None:
    """Somebody who has seen the request can burn its id for less; the payee gets that coin all the same."""
    ann, bob = await funded(town), town.wallet("bob")
    row, request = await bob.cashier.request(8, "")
    (output,) = request.outputs
    burnt = PaymentRequest(request.bank, request.last_round, (Output(output.coin, 1),))
    await ann.cashier.pay(burnt, now=True)
    assert await bob.cashier.look_for(row) is None
    assert bob.values() == [2]
    outcome = await ann.cashier.deposit(1)
    assert outcome.state.phase is Phase.SETTLED


async def test_a_withdrawal_that_the_holder_never_signed_is_not_accepted(town: Town) -> None:
    """The next request would name it as the chain's head, and so accept it: none is signed."""
    ann = await funded(town)
    await town.store.run(lambda book: credit(town.signer.bank, ann.purse.account().public, 8, book))

    def invented(answer: Answer, earlier: Statement) -> bytes:
        booked = Statement(
            town.signer.bank,
            ann.purse.account().public,
            earlier.sequence + 1,
            Operation.WITHDRAW,
            8,
            earlier.balance - 8,
            bytes(range(32)),
            earlier.head(),
            1,
        )
        statements = (*answer.body.statements, sign_statement(town.key, booked))
        return signed(town, answer, Statements(statements))

    def lie(data: bytes) -> bytes:
        answer = Answer.decode(data)
        if isinstance(decode_request(ann.wire.asked[-1]), ReadAccount):
            return invented(answer, answer.body.statements[-1].statement)
        return data

    ann.wire.bends = lie
    head = ann.books.head()
    with pytest.raises(PendingError, match="invented-booking"):
        await ann.cashier.withdraw(4)
    assert ann.books.head() == head
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == ["invented"]
    assert isinstance(decode_request(ann.wire.asked[-1]), ReadAccount)


async def test_an_order_is_never_held_by_itself(town: Town) -> None:
    """The bank has the coin's signature of this very seal: it proves nothing, and would keep the coin."""
    ann = await funded(town)

    def lie(data: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        held = Held(0, order.order.inputs[0], order.seal, order.signatures[0], 2**32 - 1)
        return signed(town, Answer.decode(data), held)

    ann.wire.bends = lie
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="held-by-itself"):
        await ann.cashier.exchange(None)


async def test_a_deposit_spent_by_itself_is_no_strangers_doing(town: Town) -> None:
    """Without the statement that credits it, the answer is evidence; the coin isn't called lost."""
    ann = await funded(town)

    def lie(data: bytes) -> bytes:
        deposit = decode_request(ann.wire.asked[-1])
        if not hasattr(deposit, "order") or not hasattr(deposit, "signed"):
            return data
        order = deposit.order
        spent = Spent(0, order.order.inputs[0], order.seal, order.signatures[0])
        return signed(town, Answer.decode(data), spent)

    ann.wire.bends = lie
    with pytest.raises(PendingError, match="deposit-without-statement"):
        await ann.cashier.deposit(8)
    assert ann.units(CoinState.LOST) == 0


@pytest.mark.parametrize("reason", [Refusal.BALANCE, Refusal.NO_ACCOUNT])
async def test_a_refusal_that_the_chains_head_contradicts_is_kept(town: Town, reason: Refusal) -> None:
    """The bank signed the balance that it now denies."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(4)
    ann.wire.bends = lambda data: signed(town, Answer.decode(data), Refused(reason))
    town.board.bends = lambda entries: []
    with pytest.raises(PendingError, match="false-refusal"):
        await ann.cashier.withdraw(4)


async def test_a_payment_refused_and_executed_all_the_same_is_paid(town: Town) -> None:
    """The board overrules the bank: the member isn't told to pay again, and nobody is called a splitter."""
    ann, bob = await funded(town), town.wallet("bob")
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "")

    def lie(data: bytes) -> bytes:
        order = decode_request(ann.wire.asked[-1])
        answer = Answer.decode(data)
        if not isinstance(answer.body, Certificates) or order.order.outputs != request.outputs:
            return data
        output = request.outputs[0]
        before = CertifiedBefore(output.coin, output.exponent, answer.body.epoch, answer.body.certificates[0])
        return signed(town, answer, Taken(0, before))

    ann.wire.bends = lie
    shown: list[list[bytes]] = []
    town.board.bends = lambda entries: shown.append(entries) or []
    outcome = await ann.cashier.pay(request, now=True)
    assert outcome.state.phase is Phase.REFUSED
    town.board.bends = lambda entries: sorted([*entries, *(each for late in shown for each in late)])
    await town.tick()
    await ann.cashier.resume()
    paid = ann.purse.operation(outcome.row)
    assert (paid.phase, paid.reason) == (Phase.SETTLED, "")
    assert [path.name.split("-")[0] for path in ann.books.evidence()] == []
    with pytest.raises(UserError, match="paid already"):
        await ann.cashier.pay(request, now=True)


async def test_evidence_that_a_crash_tore_is_written_again(town: Town) -> None:
    """The state that follows from it may be committed only once the file is whole."""
    ann = town.wallet("ann")
    path = ann.books.keep("lie", b"all of it")
    path.write_bytes(b"")
    assert ann.books.keep("lie", b"all of it") == path
    assert path.read_bytes() == b"all of it"
    assert path.stat().st_mode & 0o077 == 0


async def test_a_request_that_names_the_payers_own_ids_is_not_paid(town: Town) -> None:
    """A debtor who rewraps our request would have us pay what he owes, and our request would show as paid."""
    ann = await funded(town)
    _, request = await ann.cashier.request(8, "you owe me")
    rewrapped = PaymentRequest(request.bank, request.last_round, request.outputs, "for something else")
    with pytest.raises(UserError, match="pay itself"):
        await ann.cashier.pay(rewrapped, now=True)
    assert ann.units() == 8


# Boards that break the rules of their log


def leave_out(board: PaperBoard) -> None:
    """The root covers an entry that the files don't show."""
    board.maker.close([AccountEntry(bytes(32)).encode(), AccountEntry(bytes(range(32))).encode()])
    path = board.maker.folder.path / tile_at(ENTRIES, 0, board.maker.edge.size).path()
    leaves = unpack(path.read_bytes())
    path.write_bytes(pack([*leaves[:-3], leaves[-2], leaves[-2], leaves[-1]]))


def unsort(board: PaperBoard) -> None:
    mark = RoundEntry(board.closed + 1, BEGIN_S + board.closed, board.maker.edge.size)
    board.maker.append([bytes([2]) * 33, bytes([1]) * 33, mark.encode()])


def skip_a_round(board: PaperBoard) -> None:
    board.maker.round += 1
    board.maker.close([])


def turn_back_the_clock(board: PaperBoard) -> None:
    mark = RoundEntry(board.closed + 1, BEGIN_S - 1, board.maker.edge.size)
    board.maker.append([mark.encode()])


def use_another_key(board: PaperBoard) -> None:
    board.maker.key = SigningKey.generate()


@pytest.mark.parametrize("lie", [leave_out, unsort, skip_a_round, turn_back_the_clock, use_another_key])
async def test_a_board_that_breaks_its_rules_is_not_believed(
    town: Town, lie: Callable[[PaperBoard], None]
) -> None:
    """It is told plainly, nothing is booked, and the place on the board stays where it was."""
    ann = await funded(town)
    await ann.teller.sync()
    before = ann.books.cursor()
    lie(town.board)
    town.board.maker.publish()
    with pytest.raises(UserError, match="broke its own rules"):
        await ann.teller.sync()
    assert ann.books.cursor() == before
    assert ann.units() == 8


async def test_a_board_that_rewrites_its_past_is_convicted_by_its_signatures(
    town: Town, tmp_path: Path
) -> None:
    """Another log under the same key: both checkpoints are kept as evidence, and nothing is booked."""
    ann = await funded(town)
    await ann.teller.sync()
    other = LogMaker(tmp_path / "other", town.board.maker.key)
    for _ in range(town.board.closed + 6):
        other.close([])
    other.publish()
    honest, town.board.maker.folder = town.board.maker.folder, other.folder
    with pytest.raises(UserError, match="contradicts itself"):
        await ann.teller.sync()
    (kept,) = ann.books.evidence()
    assert kept.name.startswith("board-equivocation-")
    verdict = check_file(kept.read_bytes())
    assert verdict.holds
    assert verdict.whom.board == town.board.maker.verifier
    town.board.maker.folder = honest
    await town.tick()
    await ann.teller.sync()
    assert ann.units() == 8


async def test_a_board_that_shrinks_is_waited_for(town: Town) -> None:
    """An old checkpoint is signed and true; a mirror that lags shows the same."""
    ann = await funded(town)
    old = town.board.maker.folder.checkpoint()
    await town.tick()
    await ann.teller.sync()
    town.board.maker.folder.publish(old)
    with pytest.raises(Unavailable, match="older state"):
        await ann.teller.sync()
    assert ann.books.evidence() == []


async def test_what_no_witness_has_seen_is_not_settled(town: Town) -> None:
    """The wallet's policy decides: without its witness nothing begins, and what has begun is pending."""
    witness = SigningKey.generate()
    key = VerifierKey("w1", witness.public, KeyKind.WITNESS)
    alone = town.board.publish

    def with_witness() -> None:
        note = town.board.maker.sign()
        seen = cosign_text(witness, "w1", note.text, BEGIN_S)
        town.board.maker.folder.publish(note.plus([seen]))

    def the_witness_goes(step: str) -> None:
        if step == "answered":
            town.board.publish = alone

    ann = await funded(town)
    town.close(ann)
    policy = parse_policy(f"witness w1 {key.text()}\nquorum w1")
    ann = town.wallet("ann", policy=policy, at=the_witness_goes)
    with pytest.raises(Unavailable, match="0 of 1 witnesses"):
        await ann.cashier.exchange(None)
    assert ann.units() == 8
    town.board.publish = with_witness
    await town.tick()
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert (ann.units(), ann.units(CoinState.PENDING)) == (0, 8)
    town.board.publish = with_witness
    await town.tick()
    await ann.cashier.resume()
    assert ann.units() == 8


def withhold(town: Town) -> list[bytes]:
    """The bank, or its board, forgets certificates, but not what was spent for them."""
    withheld: list[bytes] = []

    def bends(entries: list[bytes]) -> list[bytes]:
        withheld.extend(entry for entry in entries if entry[0] == Kind.CERTIFIED)
        return [entry for entry in entries if entry not in withheld]

    town.board.bends = bends
    return withheld


@pytest.mark.parametrize("want", ["exchange", "withdraw"])
async def test_a_certificate_that_the_bank_forgot_is_posted_by_its_holder(town: Town, want: str) -> None:
    """Two rounds after the promised one; on the board it is as good as the bank's, and the operation ends."""
    ann = await funded(town)
    await town.fund_again(ann, 8)
    withheld = withhold(town)
    act = ann.cashier.exchange(None) if want == "exchange" else ann.cashier.withdraw(8)
    outcome = await act
    assert outcome.state.phase is Phase.SETTLED
    assert len(withheld) == 1
    assert ann.units() == (8 if want == "exchange" else 16)
    posted = [entry for entry in town.board.entries() if isinstance(entry, PostedEntry)]
    assert [entry.encode()[1:] for entry in posted] == [entry[1:] for entry in withheld]
    assert "overdue" in {path.name.split("-")[0] for path in ann.books.evidence()}


async def test_a_certificate_is_not_posted_before_its_time(town: Town) -> None:
    """The promised round, and two more, are the bank's."""
    ann = await funded(town)
    withhold(town)
    posted: list[tuple[int, bytes]] = []

    async def post(entry: bytes) -> None:
        posted.append((town.board.closed, entry))

    town.board.post = post
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    ((at, _),) = posted
    (coin,) = ann.purse.coins(CoinState.PENDING).values()
    assert at >= coin.round + 2
    assert coin.posted
    # The board took it and doesn't show it: that is its receipt's affair. It isn't posted for ever.
    town.close(ann)
    ann = town.wallet("ann")
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert len(posted) == 1


async def test_what_the_board_does_not_take_is_posted_by_the_next_command(town: Town) -> None:
    """Not again and again by the same one."""
    ann = await funded(town)
    withhold(town)
    tried: list[bytes] = []

    async def refuse(entry: bytes) -> None:
        tried.append(entry)
        raise Unavailable("not now")

    taking, town.board.post = town.board.post, refuse
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    assert len(tried) == 1
    town.board.post = taking
    town.close(ann)
    ann = town.wallet("ann")
    await ann.cashier.resume()
    assert ann.units() == 8
    assert ann.purse.open_operations() == {}


async def test_nothing_is_posted_while_the_bank_keeps_its_promises(town: Town) -> None:
    """Every coin that is posted shows that its holder watches."""
    ann = await funded(town)
    for _ in range(3):
        await ann.cashier.exchange(None)
    assert not any(isinstance(entry, PostedEntry) for entry in town.board.entries())


async def test_a_damaged_place_on_the_board_stops_the_wallet(town: Town) -> None:
    """Going on from the board's head instead would lose what came between."""
    ann = await funded(town)
    with ann.purse.transaction():
        ann.purse.set_fact("cursor", bytes(44))
    with pytest.raises(FatalError, match="place on the board"):
        await ann.teller.sync()

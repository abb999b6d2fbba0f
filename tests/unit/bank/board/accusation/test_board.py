"""Accusations of a board: each cheat made for real by a board that keeps no rule; each near miss refused."""

import dataclasses
from pathlib import Path

import pytest

from bank.board.accusation.evidence import SignedLog
from bank.board.accusation.log import BoardEquivocation, LogInvalid, MapFalse, TwoViews, WholeLog
from bank.board.accusation.receipts import FeedReceiptBroken, ReceiptBroken, Waited
from bank.board.accusation.verdict import Accused
from bank.board.feed import Batch, FeedReceipt, batch_digest, sign_receipt
from bank.board.log.tree import leaf_hash
from bank.board.map.proof import prove
from bank.board.map.trie import EMPTY, SHARDS, root_of_shards, shard_root
from bank.board.receipts import sign_entry_receipt
from bank.formats.coin import coin_id
from bank.formats.entry import AccountEntry, MapEntry, RoundEntry
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BOARD, Shown, certified, fresh_id, judge, spent
from tests.unit.bank.board.logs import BEGIN_S


def account(number: int) -> bytes:
    return AccountEntry(number.to_bytes(32)).encode()


def two_logs(folder: Path, one: int, other: int) -> tuple[Shown, Shown]:
    """A board with two pasts: the first leaf differs."""
    logs = Shown(folder / "one"), Shown(folder / "other")
    for log, rounds, first in zip(logs, (one, other), (1, 2), strict=True):
        log.close([account(first)])
        for number in range(rounds):
            log.close([account(100 + number)])
    return logs


@pytest.mark.parametrize(("one", "other"), [(3, 3), (1, 4), (4, 300)])
def test_two_logs_of_one_board_convict_it(tmp_path: Path, one: int, other: int) -> None:
    """Of one size, or of two."""
    small, large = two_logs(tmp_path, one, other)
    if small.edge.size == large.edge.size and small.edge.root() > large.edge.root():
        small, large = large, small
    size = small.edge.size
    verdict = judge(BoardEquivocation(small.signed(), large.signed(), large.difference(size)))
    assert verdict.holds
    assert verdict.whom == Accused(small.verifier)
    # The same log at two sizes.
    early = Shown(tmp_path / "early")
    early.append(large.leaves[:size])
    assert not judge(BoardEquivocation(early.signed(), large.signed(), large.difference(size))).holds


def test_what_is_no_equivocation(tmp_path: Path) -> None:
    """Another key's log, another origin's, a proof that proves nothing, an empty log."""
    small, large = two_logs(tmp_path, 1, 4)
    difference = large.difference(small.edge.size)
    foreign = Shown(tmp_path / "one", BANK)
    foreign.edge = small.edge
    renamed = Shown(tmp_path / "one")
    renamed.edge, renamed.origin = small.edge, "elsewhere.example.org"
    for other in (foreign, renamed):
        assert not judge(BoardEquivocation(other.signed(), large.signed(), difference)).holds
    wrong = dataclasses.replace(difference, root=small.edge.root())
    assert not judge(BoardEquivocation(small.signed(), large.signed(), wrong)).holds
    assert not judge(BoardEquivocation(large.signed(), small.signed(), difference)).holds
    empty = Shown(tmp_path / "empty")
    assert not judge(BoardEquivocation(empty.signed(), large.signed(), large.difference(0))).holds


def test_a_receipt_is_no_checkpoint_of_a_log_with_a_label_for_its_name(tmp_path: Path) -> None:
    """The key signs labelled statements too; an origin that begins as they do is refused."""
    log = Shown(tmp_path)
    log.close([account(1)])
    log.origin = "mixmint/entry-receipt/v1"
    other = Shown(tmp_path / "other")
    other.close([account(2)])
    other.origin = log.origin
    pair = sorted((log, other), key=lambda each: each.edge.root())
    assert not judge(BoardEquivocation(pair[0].signed(), pair[1].signed(), pair[1].difference(2))).holds


@pytest.mark.parametrize("bank_has_more", [False, True])
def test_a_bank_that_confirms_another_log_than_the_board_signed_accuses_one_of_both(
    tmp_path: Path, *, bank_has_more: bool
) -> None:
    """Which of them lied can't be told."""
    small, large = two_logs(tmp_path, 1, 4)
    difference = large.difference(small.edge.size)
    signed, confirmed = (small, large) if bank_has_more else (large, small)
    verdict = judge(TwoViews(signed.signed(), confirmed.confirmed(), difference))
    assert verdict.holds
    assert verdict.whom == Accused(small.verifier, BANK.public)
    own = judge(TwoViews(large.signed(), large.confirmed(small.edge.size), difference))
    assert not own.holds


def marks(first: RoundEntry, second: RoundEntry) -> list[bytes]:
    return [account(1), first.encode(), account(2), second.encode()]


GOOD = RoundEntry(1, BEGIN_S, 0)


@pytest.mark.parametrize(
    ("leaves", "places"),
    [
        ([account(2), account(1)], (0, 1)),
        ([account(1)], (0,)),
        ([b"\x02short"], (0,)),
        ([b""], (0,)),
        ([account(1), RoundEntry(1, BEGIN_S, 1).encode()], (1,)),
        ([RoundEntry(1, BEGIN_S, 5).encode()], (0,)),
        ([RoundEntry(0, BEGIN_S, 0).encode()], (0,)),
        ([RoundEntry(2, BEGIN_S, 0).encode()], (0,)),
        (marks(GOOD, RoundEntry(3, BEGIN_S, 2)), (1, 3)),
        (marks(GOOD, RoundEntry(2, BEGIN_S - 1, 2)), (1, 3)),
        (marks(GOOD, RoundEntry(2, BEGIN_S, 3)), (2, 3)),
        (marks(GOOD, RoundEntry(2, BEGIN_S, 1)), (1, 3)),
        ([GOOD.encode(), MapEntry(1, 9, 0, EMPTY).encode()], (1,)),
        ([GOOD.encode(), MapEntry(2, 1, 0, EMPTY).encode()], (0, 1)),
        ([account(1), GOOD.encode(), MapEntry(1, 1, 0, EMPTY).encode()], (0, 2)),
    ],
)
def test_leaves_that_break_the_rules_convict_the_board(
    tmp_path: Path, leaves: list[bytes], places: tuple[int, ...]
) -> None:
    """Unsorted, malformed, marks and maps in the wrong place."""
    log = Shown(tmp_path)
    log.append(leaves)
    verdict = judge(LogInvalid(log.signed(), log.proof(*places)))
    assert verdict.holds, verdict.sentence
    assert verdict.whom == Accused(log.verifier)


def test_no_pair_of_an_honest_logs_leaves_convicts_the_board(tmp_path: Path) -> None:
    """All pairs, also those that look odd out of their place."""
    log = Shown(tmp_path)
    log.close([account(3), account(1), account(1)])
    log.close([])
    log.close([MapEntry(1, 4, 0, EMPTY).encode(), account(0)])
    log.close([b"\x50of a later version"])
    for one in range(len(log.leaves)):
        assert not judge(LogInvalid(log.signed(), log.proof(one))).holds
        for other in range(one + 1, len(log.leaves)):
            assert not judge(LogInvalid(log.signed(), log.proof(one, other))).holds


def test_leaves_of_another_log_convict_nobody(tmp_path: Path) -> None:
    """The board must have signed them."""
    bad, good = Shown(tmp_path / "bad"), Shown(tmp_path / "good")
    bad.append([account(2), account(1), GOOD.encode()])
    good.close([account(1), account(2)])
    assert not judge(LogInvalid(good.signed(), bad.proof(0, 1))).holds
    swapped = dataclasses.replace(good.proof(0, 1), leaves=((0, account(2)), (1, account(1))))
    assert not judge(LogInvalid(good.signed(), swapped)).holds


def test_a_map_that_leaves_out_a_coin_convicts_the_board(tmp_path: Path) -> None:
    """Certified but absent, or spent but only certified."""
    coin = SigningKey.generate()
    identity = coin_id(coin.public)
    entries = [certified(identity).encode(), spent(coin, bytes(32)).encode()]
    records = identity + b"\x01"
    for said, caught in ((b"", 0), (records, 1)):
        roots = [shard_root(said) if number == identity[0] else EMPTY for number in range(SHARDS)]
        log = Shown(tmp_path / str(caught))
        log.close(entries)
        entry = MapEntry(1, 3, len(said) // 33, root_of_shards(roots)).encode()
        log.close([entry])
        proof = prove(identity, said, roots)
        assert judge(MapFalse(log.signed(), log.find(entries[caught], entry), proof)).holds
        if said:
            # The certified entry alone is what the map says.
            assert not judge(MapFalse(log.signed(), log.find(entries[0], entry), proof)).holds


def test_a_coin_that_came_after_the_map_convicts_nobody(tmp_path: Path) -> None:
    """The map is of the leaves up to its size."""
    identity = fresh_id()
    log = Shown(tmp_path)
    log.close([])
    roots = [EMPTY] * SHARDS
    log.close([entry := MapEntry(1, 1, 0, root_of_shards(roots)).encode(), certified(identity).encode()])
    leaves = log.proof(1, 2)
    assert leaves.bytes[1] == entry
    assert not judge(MapFalse(log.signed(), leaves, prove(identity, b"", roots))).holds


def test_what_only_the_whole_log_proves_never_holds_by_itself(tmp_path: Path) -> None:
    """It says what to do instead."""
    log = Shown(tmp_path)
    log.close([])
    verdict = judge(WholeLog(log.signed(), "the map of entry 5 is wrong."))
    assert not verdict.holds
    assert "mixmint board audit" in verdict.sentence


def broken_receipts(folder: Path) -> tuple[Shown, bytes]:
    """A board that gave a receipt for round 2, and closed it without the entry."""
    log = Shown(folder)
    log.close([account(1)])
    log.close([account(2), account(3)])
    log.close([account(4)])
    return log, account(5)


def test_an_entry_missing_from_its_promised_round_convicts_the_board(tmp_path: Path) -> None:
    """The whole round is shown, by its leaves' hashes."""
    log, missing = broken_receipts(tmp_path)
    receipt = sign_entry_receipt(BOARD, leaf_hash(missing), 2, 1)
    verdict = judge(ReceiptBroken(log.signed(), receipt, log.stretch(2, 4)))
    assert verdict.holds
    assert verdict.whom == Accused(log.verifier)
    first = sign_entry_receipt(BOARD, leaf_hash(missing), 1, 0)
    assert judge(ReceiptBroken(log.signed(), first, log.stretch(0, 1))).holds


def test_a_receipt_that_was_honoured_or_is_shown_with_too_little_convicts_nobody(tmp_path: Path) -> None:
    """The entry is there; the wrong round; half of the round; a receipt of somebody else's."""
    log, missing = broken_receipts(tmp_path)
    kept = sign_entry_receipt(BOARD, leaf_hash(account(3)), 2, 1)
    broken = sign_entry_receipt(BOARD, leaf_hash(missing), 2, 1)
    forged = sign_entry_receipt(BANK, leaf_hash(missing), 2, 1)
    assert not judge(ReceiptBroken(log.signed(), kept, log.stretch(2, 4))).holds
    assert not judge(ReceiptBroken(log.signed(), broken, log.stretch(0, 1))).holds
    assert not judge(ReceiptBroken(log.signed(), broken, log.stretch(5, 6))).holds
    assert not judge(ReceiptBroken(log.signed(), forged, log.stretch(2, 4))).holds
    # The round's first leaf cut off, so that the stretch begins with an entry.
    assert not judge(ReceiptBroken(log.signed(), kept, log.stretch(4, 4))).holds
    assert not judge(ReceiptBroken(log.signed(), kept, dataclasses.replace(log.stretch(2, 4), first=3))).holds
    # A round that isn't closed yet is late, not broken.
    later = sign_entry_receipt(BOARD, leaf_hash(missing), 4, 3)
    assert not judge(ReceiptBroken(log.signed(), later, log.stretch(5, 6))).holds


def fed(log: Shown, batch: Batch, round_: int, closed: int, waited: Waited | None) -> FeedReceiptBroken:
    data = batch.encode()
    receipt = sign_receipt(BOARD, data, batch.next, round_, closed)
    return FeedReceiptBroken(log.signed(), receipt, data, 0, 0, waited, log.stretch(2, 6))


def waited(next_group: int, closed: int, *, taken: bool = False) -> Waited:
    receipt = sign_receipt(BOARD, b"batch", next_group, closed + 1, closed, taken=taken)
    return Waited(taken, batch_digest(b"batch"), receipt)


def test_a_fed_entry_missing_from_all_its_rounds_convicts_the_board(tmp_path: Path) -> None:
    """From the round after the one when the board still waited for it, to the promised one."""
    log, missing = broken_receipts(tmp_path)
    batch = Batch(5, [[missing]])
    assert judge(fed(log, batch, 3, 2, waited(5, 1))).holds
    assert judge(fed(log, batch, 2, 1, waited(5, 1, taken=True))).holds
    whole = dataclasses.replace(fed(log, batch, 3, 2, None), stretch=log.stretch(0, 6))
    assert judge(whole).holds


def test_a_fed_entry_that_is_there_or_may_be_earlier_convicts_nobody(tmp_path: Path) -> None:
    """Each thing that the rounds shown can't tell."""
    log, missing = broken_receipts(tmp_path)
    batch = Batch(5, [[missing]])
    assert not judge(fed(log, Batch(5, [[account(3)]]), 3, 2, waited(5, 1))).holds
    assert not judge(fed(log, batch, 3, 2, None)).holds
    assert not judge(fed(log, batch, 3, 2, waited(6, 1))).holds
    assert not judge(fed(log, batch, 3, 2, waited(0, 1))).holds
    assert not judge(fed(log, batch, 3, 2, waited(5, 0))).holds
    assert not judge(fed(log, batch, 4, 3, waited(5, 1))).holds
    assert not judge(fed(log, batch, 3, 0, waited(5, 1))).holds


def test_an_answer_to_a_batch_that_was_not_taken_convicts_nobody(tmp_path: Path) -> None:
    """A bank that feeds other groups under old numbers is told what the board waits for, no more."""
    log, missing = broken_receipts(tmp_path)
    evidence = fed(log, Batch(5, [[missing]]), 3, 2, waited(5, 1))
    answer: FeedReceipt = sign_receipt(BOARD, evidence.batch, 6, 3, 2, taken=False)
    assert not judge(dataclasses.replace(evidence, receipt=answer)).holds


def test_a_receipt_that_stops_before_the_batch_ends_convicts_nobody(tmp_path: Path) -> None:
    """A board takes a batch whole; a number in its middle promises nothing of the rest."""
    log, missing = broken_receipts(tmp_path)
    evidence = fed(log, Batch(5, [[missing], [missing]]), 3, 2, waited(5, 1))
    assert judge(evidence).holds
    half = sign_receipt(BOARD, evidence.batch, 6, 3, 2)
    assert not judge(dataclasses.replace(evidence, receipt=half)).holds


def test_a_signed_log_needs_the_boards_own_signature(tmp_path: Path) -> None:
    """A checkpoint with one bit changed accuses nobody."""
    log, missing = broken_receipts(tmp_path)
    receipt = sign_entry_receipt(BOARD, leaf_hash(missing), 2, 1)
    signed = log.signed()
    forged = SignedLog(signed.board, signed.text, bytes(64))
    assert judge(ReceiptBroken(signed, receipt, log.stretch(2, 4))).holds
    assert not judge(ReceiptBroken(forged, receipt, log.stretch(2, 4))).holds

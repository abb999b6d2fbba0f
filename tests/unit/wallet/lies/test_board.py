"""A board that bends: what it shows falsely is not believed, and its own signatures convict it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.log.note import KeyKind, VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.log.tiles import ENTRIES, pack, tile_at, unpack
from bank.formats.coin import sign_certificate
from bank.formats.entry import AccountEntry, CertifiedEntry, RoundEntry, SpentEntry
from mixmint.errors import FatalError, PendingError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import BEGIN_S, LogMaker
from tests.unit.wallet.lies.victim import funded
from tests.unit.wallet.town import PaperBoard, Town
from wallet.purse import CoinState


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


async def test_a_damaged_place_on_the_board_stops_the_wallet(town: Town) -> None:
    """Going on from the board's head instead would lose what came between."""
    ann = await funded(town)
    with ann.purse.transaction():
        ann.purse.set_fact("cursor", bytes(44))
    with pytest.raises(FatalError, match="place on the board"):
        await ann.teller.sync()

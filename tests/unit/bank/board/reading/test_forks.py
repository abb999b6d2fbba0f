"""bank/board/reading/fork.py: a fork is told with its proof, and an honest board never is one."""

from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import VerifierKey
from bank.board.log.tree import EMPTY_ROOT
from bank.board.reading.client import Cursor
from bank.board.reading.conviction import accusation_of
from bank.board.reading.fork import Fork, ForkedLog
from mixmint.errors import PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import ORIGIN, LogMaker
from tests.unit.bank.board.reading.readers import KEY, account, reader_of

STRANGER = SigningKey(b"s" * 32)


def forked(maker: LogMaker, folder: Path, shared: int, rounds: int) -> LogMaker:
    """Another log of the same board: the same in its first ``shared`` leaves, otherwise different."""
    other = LogMaker(folder, maker.key)
    other.append(maker.leaves[:shared])
    other.round = sum(leaf[0] == 127 for leaf in maker.leaves[:shared])
    for number in range(rounds):
        other.close([account(10_000 + number)])
    other.publish()
    return other


@pytest.mark.parametrize("rounds", [5, 6, 40, 200])
@pytest.mark.parametrize("seen", [5, 2])
async def test_a_fork_is_told_with_its_proof(maker, tmp_path: Path, rounds: int, seen: int) -> None:
    """Same size or larger, at the checkpoint or behind it: two signatures of the board convict it."""
    for number in range(5):
        maker.close([account(number)])
    maker.publish()
    after = (await reader_of(maker).rounds(Cursor()))[seen - 1].after
    other = forked(maker, tmp_path / "other", 0, rounds)
    with pytest.raises(ForkedLog) as caught:
        await reader_of(other).rounds(after)
    fork = caught.value.fork
    assert fork.older == after.note
    assert fork.holds(maker.verifier)
    # Nobody else is accused by it, and nothing less proves it.
    assert not fork.holds(VerifierKey(ORIGIN, STRANGER.public))
    assert not Fork(fork.older, fork.newer, maker.edge.root(), fork.proof).holds(maker.verifier)
    assert not Fork(fork.newer, fork.older, fork.root, fork.proof).holds(maker.verifier) or rounds == 5
    verdict = check_file(accusation_of(caught.value))
    assert verdict.holds
    assert verdict.whom.board == maker.verifier


async def test_a_fork_that_begins_behind_the_cursor_is_told_too(maker, tmp_path: Path) -> None:
    """The reader had seen a newer checkpoint than he had read to."""
    for number in range(50):
        maker.close([account(number)])
    maker.publish()
    (one,) = await reader_of(maker).rounds(Cursor(), most=1)
    for rounds in (49, 60):
        other = forked(maker, tmp_path / str(rounds), 2, rounds)
        with pytest.raises(ForkedLog) as caught:
            await reader_of(other).rounds(one.after, most=1)
        assert caught.value.fork.holds(maker.verifier)


async def test_damaged_tiles_of_an_honest_board_are_no_fork(maker, reader, server) -> None:
    """Without two signatures that contradict each other nobody is accused."""
    for number in range(5):
        maker.close([account(number)])
    maker.publish()
    rounds = await reader.rounds(Cursor())
    for number in range(300):
        maker.close([account(5 + number)])
    maker.publish()
    for path, at in (("tile/0/000", 32 * 200), ("tile/entries/000", 700)):
        good = (maker.folder.path / path).read_bytes()
        server.bends = {path: good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]}
        for after in (rounds[1].after, rounds[-1].after, Cursor()):
            with pytest.raises(PeerError) as caught:
                await reader.rounds(after, most=50)
            assert not isinstance(caught.value, ForkedLog)


async def test_an_honest_board_that_grew_is_never_a_fork(maker) -> None:
    """Whatever was seen of it before."""
    for number in range(20):
        maker.close([account(number)])
        note = maker.publish()
        rounds = await reader_of(maker).rounds(Cursor(), most=number + 1)
        assert not Fork(rounds[0].after.note, note, maker.edge.root()).holds(maker.verifier)


def test_a_signed_empty_log_proves_no_fork() -> None:
    """Every log begins with no leaves."""
    empty = sign_checkpoint(KEY, Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    later = sign_checkpoint(KEY, Checkpoint(ORIGIN, 3, b"r" * 32))
    assert not Fork(empty, later, bytes(32)).holds(VerifierKey(ORIGIN, KEY.public))
    assert not Fork(empty, later, b"r" * 32, (b"r" * 32,)).holds(VerifierKey(ORIGIN, KEY.public))

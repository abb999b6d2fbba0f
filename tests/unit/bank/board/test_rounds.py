"""bank/board/rounds.py: which leaves make a round."""

import pytest

from bank.board.rounds import MOST_ROUND_ENTRIES, check_round, is_mark, is_sorted, leaves_of
from bank.formats.entry import AccountEntry, AccusationEntry, CertifiedEntry, RoundEntry, SpentEntry
from mixmint.errors import MalformedMessage

ENTRIES = [
    SpentEntry(b"k" * 32, b"e" * 32, b"t" * 64).encode(),
    AccountEntry(b"a" * 32).encode(),
    AccusationEntry(b"\xff" * 40).encode(),
    CertifiedEntry(b"c" * 32, 3, 7, b"s" * 64).encode(),
]


def test_a_rounds_leaves_are_its_entries_ascending_and_then_its_mark() -> None:
    """The mark is of the highest kind, so one sorting orders all."""
    leaves = leaves_of(7, 1000, 40, ENTRIES)
    assert leaves == sorted(leaves)
    assert leaves[:-1] == sorted(ENTRIES)
    assert [is_mark(leaf) for leaf in leaves] == [False] * 4 + [True]
    assert check_round(leaves, 7, 40, 999) == RoundEntry(7, 1000, 40)


def test_an_empty_round_is_its_mark() -> None:
    """Empty rounds are the network's clock."""
    assert check_round(leaves_of(9, 5, 40, []), 9, 40, 5) == RoundEntry(9, 5, 40)


@pytest.mark.parametrize(
    ("number", "first", "not_before_s"), [(8, 40, 0), (6, 40, 0), (7, 39, 0), (7, 40, 1001)]
)
def test_a_mark_of_another_round_place_or_time_is_refused(number: int, first: int, not_before_s: int) -> None:
    """Numbers and indexes have no gaps, and the clock never runs backwards."""
    with pytest.raises(MalformedMessage, match="mark"):
        check_round(leaves_of(7, 1000, 40, ENTRIES), number, first, not_before_s)


def test_a_round_without_its_mark_or_with_two_is_refused() -> None:
    """It ends where its mark is, and nowhere else."""
    leaves = leaves_of(7, 1000, 40, ENTRIES)
    for wrong in (leaves[:-1], [*leaves, leaves[-1]]):
        with pytest.raises(MalformedMessage, match="mark"):
            check_round(wrong, 7, 40, 0)
    with pytest.raises(MalformedMessage, match="count"):
        check_round([], 7, 40, 0)


def test_another_order_of_entries_is_refused() -> None:
    """Order could carry who came with whom, so only one is right."""
    leaves = leaves_of(7, 1000, 40, ENTRIES)
    with pytest.raises(MalformedMessage, match="sorted"):
        check_round([*leaves[1::-1], *leaves[2:]], 7, 40, 0)


def test_a_round_that_is_too_large_is_refused() -> None:
    """A reader knows what one can cost him."""
    leaves = leaves_of(1, 0, 0, [ENTRIES[1]] * MOST_ROUND_ENTRIES)
    check_round(leaves, 1, 0, 0)
    with pytest.raises(MalformedMessage, match="count"):
        check_round([leaves[0], *leaves], 1, 0, 0)


def test_equal_entries_may_stand_side_by_side() -> None:
    """A repeated entry is evidence, so the board must be able to show it."""
    assert is_sorted([ENTRIES[1], ENTRIES[1], ENTRIES[0]])

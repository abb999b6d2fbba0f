"""What the board shows against what it was given: honest boards agree, and nothing else does."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bank.board.log.tree import Frontier
from bank.board.reading.client import Cursor, VerifiedRound
from bank.comparison import Compared, Position, compare
from bank.formats.entry import AnswerEntry, ClaimEntry, MapEntry, PostedEntry, decode_entry
from tests.unit.bank.paper import certified

OTHERS = [
    ClaimEntry(b"c").encode(),
    AnswerEntry(b"a").encode(),
    MapEntry(1, 1, 0, bytes(32)).encode(),
    PostedEntry(bytes(32), 0, 0, bytes(64)).encode(),
]
Group = list[bytes]
Rounds = list[list[Group]]

groups = st.lists(st.integers(1, 2**20).map(certified), max_size=3)
boards = st.lists(st.lists(groups, max_size=3), min_size=1, max_size=4)
"""Rounds of groups of entries."""


def shown(rounds: Sequence[Sequence[bytes]]) -> list[VerifiedRound]:
    """As a reader hands them on."""
    made, size = [], 0
    for number, entries in enumerate(rounds, start=1):
        first, size = size, size + len(entries) + 1
        decoded = tuple(decode_entry(entry) for entry in sorted(entries))
        frontier = Frontier().append([bytes(32)] * size)
        made.append(VerifiedRound(number, 0, decoded, Cursor(number, frontier), first))
    return made


def flat(round_: Sequence[Group]) -> list[bytes]:
    return [entry for group in round_ for entry in group]


def ask(rounds: Sequence[Sequence[bytes]], given_groups: Sequence[Group], owed: int = 0) -> Compared:
    fed = len(given_groups) + 1
    return compare(Position(Cursor(), 1, fed), shown(rounds), iter(given_groups), owed)


@given(boards, st.lists(st.sampled_from(OTHERS), max_size=3))
def test_an_honest_board_agrees_to_the_end(rounds: Rounds, others: list[bytes]) -> None:
    """Sorted inside rounds, whole groups in order, empty ones anywhere, and what others put in beside."""
    given_groups = [group for round_ in rounds for group in round_]
    shows = [flat(round_) + others for round_ in rounds]
    compared = ask(shows, given_groups, owed=len(given_groups) + 1)
    assert compared.difference is None
    assert (compared.cursor.round, compared.group) == (len(rounds), len(given_groups) + 1)
    assert compared.news == any(shows)


@given(boards, st.data())
def test_whatever_one_entry_is_turned_into_it_is_noticed(rounds: Rounds, data: st.DataObject) -> None:
    """Left out, changed, repeated, invented, or moved to another round."""
    given_groups = [group for round_ in rounds for group in round_]
    shows = [flat(round_) for round_ in rounds]
    assume(any(shows))
    place = data.draw(st.sampled_from([number for number, entries in enumerate(shows) if entries]))
    entry = data.draw(st.sampled_from(shows[place]))
    how = data.draw(st.sampled_from(["left out", "changed", "repeated", "invented", "moved"]))
    if how != "invented" and how != "repeated":
        shows[place].remove(entry)
    if how == "changed":
        shows[place].append(entry[:-1] + bytes([entry[-1] ^ 1]))
    if how == "repeated":
        shows[place].append(entry)
    if how == "invented":
        shows[place].append(certified(2**30))
    if how == "moved":
        other = data.draw(st.integers(0, len(shows) - 1))
        # Groups of one entry may be in either round, as long as they come in order.
        assume(
            other != place and not (len(flat(rounds[place])) == 1 or any(len(g) == 1 for g in given_groups))
        )
        shows[other].append(entry)
    compared = ask(shows, given_groups, owed=len(given_groups) + 1)
    assert compared.difference is not None
    assert compared.cursor.round <= len(shows)


def test_a_difference_says_what_and_where_in_one_line() -> None:
    """Not more than a few entries of it, however many there are."""
    compared = ask(
        [[certified(1)], [certified(9), certified(8)]], [[certified(1)], [certified(2)], [certified(3)]]
    )
    assert (compared.cursor.round, compared.group) == (1, 2)
    text = str(compared.difference)
    assert text.startswith("round 2 of the board shows 2 entries (certified 0000")
    assert "lacks 2 entries (certified 0000" in text
    many = str(ask([[certified(n) for n in range(1, 50)]], []).difference)
    assert "49 entries" in many
    assert len(many) < 300


@pytest.mark.parametrize("overtaken", [True, False])
def test_groups_come_in_their_order(overtaken: bool) -> None:
    """A board that lets one group overtake another broke its word, even if it shows both in the end."""
    one, two = [certified(1), certified(2)], [certified(3)]
    shows = [two, one] if overtaken else [one, two]
    assert (ask(shows, [one, two]).difference is not None) == overtaken


def test_what_the_receipts_promise_must_be_there() -> None:
    """Nothing strange is shown, but the round by which it should be there is over."""
    compared = ask([[], []], [[], [certified(1)], [certified(2)]], owed=3)
    assert compared.difference is not None
    assert compared.difference.missing == (certified(1),)
    assert compared.group == 2
    assert ask([[], []], [[], [certified(1)]], owed=2).difference is None


def test_empty_groups_wait_for_the_boards_receipt() -> None:
    """Nothing of them can be read; a board without a receipt for them may still need to be fed."""
    position = Position(Cursor(), 1, fed=3)
    compared = compare(position, shown([[]]), iter([[], [], [], []]), 0)
    assert compared.group == 3


def answer(name: bytes) -> list[bytes]:
    return [AnswerEntry(name).encode()]


def test_answers_to_claims_are_read_like_everything_else() -> None:
    """Each in its turn, empty groups between them, and others' answers beside them."""
    rounds = [
        [certified(1), *answer(b"x"), *answer(b"other")],
        [*answer(b"y")],
        [certified(2), *answer(b"z")],
    ]
    groups = [answer(b"x"), [certified(1)], [], answer(b"y"), [], [certified(2)], answer(b"z"), []]
    compared = ask(rounds, groups, owed=9)
    assert (compared.difference, compared.group) == (None, 9)


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_that_the_board_keeps_back_is_missed(first: bool) -> None:
    """Behind it other entries show that its turn is over; else the board's receipt does."""
    groups = [answer(b"x"), [certified(1)]] if first else [[certified(1)], answer(b"x")]
    compared = ask([[certified(1)]], groups, owed=3)
    assert compared.difference is not None
    assert compared.difference.missing == tuple(answer(b"x"))
    assert ask([[certified(1)]], [[certified(1)], answer(b"x")], owed=2).difference is None
    assert ask([[]], [answer(b"x")]).group == 1

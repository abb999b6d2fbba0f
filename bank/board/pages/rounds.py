"""Rounds for people: the newest ones as a table, and which of the log's files hold one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bank.board.log.tiles import ENTRIES, WIDTH, tile_at
from bank.board.writing.journal import ClosedRound

TILES_SHOWN = 8


@dataclass(frozen=True)
class RoundRow:
    """A line of the newest rounds: a round with entries, or how many empty ones stand between two."""

    number: int = 0
    count: int = 0
    closed_at_s: int = 0
    root: str = ""
    empty: int = 0


def rows_of(newest: int, shown: Sequence[ClosedRound], *, complete: bool) -> list[RoundRow]:
    """
    The newest rounds with entries (descending), and between them how many empty ones there were.

    ``complete``: there are no others, so the empty ones before the first are counted too.
    """
    rows: list[RoundRow] = []
    above = newest + 1
    for closed in shown:
        if above - closed.number > 1:
            rows.append(RoundRow(empty=above - closed.number - 1))
        rows.append(RoundRow(closed.number, closed.count, closed.closed_at_s, closed.root.hex()))
        above = closed.number
    if complete and above > 1:
        rows.append(RoundRow(empty=above - 1))
    return rows


def tile_paths(closed: ClosedRound, size: int) -> tuple[list[str], int]:
    """
    The files with a round's leaves and with their hashes, in a log of ``size`` leaves: the paths of the first
    few, and how many more there are.
    """
    indexes = range(closed.first // WIDTH, (closed.size - 1) // WIDTH + 1)
    shown = indexes[: TILES_SHOWN // 2]
    paths = [tile_at(level, index, size).path() for index in shown for level in (ENTRIES, 0)]
    return paths, 2 * (len(indexes) - len(shown))

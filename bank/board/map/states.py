"""
Which entries change a coin's state. Pure.

States only grow: a coin that was certified again after it was spent stays spent. So the order of a period's
entries doesn't matter, and an entry read twice changes nothing.

Source: docs/spec/map.md, section 1.
"""

from collections.abc import Iterable
from enum import IntEnum

from bank.formats.coin import coin_id
from bank.formats.entry import Kind

Changes = dict[bytes, int]
"""Coin id (32 bytes) -> the highest state seen."""


class State(IntEnum):
    """What the board's log says of a coin. A coin that the log doesn't name has none."""

    CERTIFIED = 1
    SPENT = 2
    REPLACED = 3


_STATE_OF = {
    int(Kind.CERTIFIED): int(State.CERTIFIED),
    int(Kind.POSTED): int(State.CERTIFIED),
    int(Kind.SPENT): int(State.SPENT),
    int(Kind.REPLACED): int(State.REPLACED),
}


def collect(entries: Iterable[bytes], changes: Changes) -> None:
    """Add to ``changes`` what these entries (leaves of the log, well-formed) say of coins."""
    spent = int(Kind.SPENT)
    for entry in entries:
        state = _STATE_OF.get(entry[0])
        if state is None:
            continue
        # A spent entry begins with the coin's public key; the others with its id.
        coin = coin_id(entry[1:33]) if entry[0] == spent else entry[1:33]
        if changes.get(coin, 0) < state:
            changes[coin] = state

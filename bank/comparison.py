"""
Whether the board shows what the bank gave it: rounds that were read against groups of the outbox. Pure.

Inside a round entries are sorted, so they are compared as multisets; over rounds their order is the outbox's,
because no group is split and none overtakes another. So each round must show exactly the next groups, whole.
Only what nobody but the bank can give is compared: certificates that holders posted, claims and answers come
by other ways too.

Source: docs/spec/statement.md, section 2.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bank.board.reading.client import Cursor, VerifiedRound
from bank.formats.entry import FROM_THE_BANK, Entry, Kind, StatementEntry

OURS = FROM_THE_BANK - {Kind.ANSWER}
"""Kinds of entries that can come from nobody but the bank."""
_SHOWN = 3
_SHOWN_BYTES = 33
"""So much of an entry names it: kind, and coin, key or bank."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    How far the bank has read: to ``cursor``, where the groups before ``group`` were. ``fed``: the board had
    signed for the groups before it when the reading began.
    """

    cursor: Cursor
    group: int
    fed: int


@dataclass(frozen=True, slots=True)
class Difference:
    """
    A round that doesn't show what it must. ``strange``: entries that the bank didn't give there; ``missing``:
    those that should stand there, or with nothing strange should have stood there or before.
    """

    round: int
    strange: tuple[bytes, ...] = ()
    missing: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        lacks = f"lacks {_named(self.missing)} that the bank gave and the board signed for"
        if not self.strange:
            return f"the board {lacks}, up to round {self.round}"
        shows = (
            f"round {self.round} of the board shows {_named(self.strange)} that this bank didn't give there"
        )
        return f"{shows}, and {lacks}" if self.missing else shows


@dataclass(frozen=True, slots=True)
class Compared:
    """
    How far board and outbox agree: up to ``cursor``, with the groups before ``group``; and the first
    difference behind that. ``news``: whether entries that are no statements were among them.
    """

    cursor: Cursor
    group: int
    news: bool
    difference: Difference | None


def compare(
    position: Position, rounds: Sequence[VerifiedRound], groups: Iterator[Sequence[bytes]], owed: int
) -> Compared:
    """
    Compare rounds, the first of them the one after the position, with the outbox's groups from
    ``position.group`` on, of which no more are taken than needed.

    ``owed``: by the board's receipts the groups before it are in these rounds or earlier ones.
    """
    cursor, group, news = position.cursor, position.group, False
    for round_ in rounds:
        shown = sorted([encoded for entry in round_.entries if (encoded := entry.encode())[0] in OURS])
        given: list[bytes] = []
        taken = 0
        while len(given) < len(shown):
            following = next(groups, None)
            if following is None:
                break
            given += _ours(following)
            taken += 1
        if sorted(given) != shown:
            return Compared(cursor, group, news, _difference(round_.number, shown, given))
        cursor, group = round_.after, group + taken
        news = news or any(_is_news(entry) for entry in round_.entries)
    # Groups without such entries show nothing: the board's receipt is all that can be had for them.
    late: list[bytes] = []
    for following in groups:
        late = _ours(following)
        if late or group >= position.fed:
            break
        group += 1
    if group < owed:
        return Compared(cursor, group, news, Difference(cursor.round, missing=tuple(late)))
    return Compared(cursor, group, news, None)


def _ours(group: Iterable[bytes]) -> list[bytes]:
    return [entry for entry in group if entry[0] in OURS]


def _is_news(entry: Entry) -> bool:
    return not isinstance(entry, StatementEntry)


def _difference(number: int, shown: Sequence[bytes], given: Sequence[bytes]) -> Difference:
    shows, gave = Counter(shown), Counter(given)
    return Difference(number, tuple((shows - gave).elements()), tuple((gave - shows).elements()))


def _named(entries: Sequence[bytes]) -> str:
    names = [
        f"{Kind(entry[0]).name.lower()} {entry[1:_SHOWN_BYTES].hex()[:16]}..." for entry in entries[:_SHOWN]
    ]
    more = ", ..." if len(entries) > _SHOWN else ""
    return f"{len(entries)} entr{'y' if len(entries) == 1 else 'ies'} ({', '.join(names)}{more})"

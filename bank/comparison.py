"""
Whether the board shows what the bank gave it: rounds that were read against groups of the outbox. Pure.

Inside a round entries are sorted, so they are compared as multisets; over rounds their order is the outbox's,
because no group is split and none overtakes another. So each round must show exactly the next groups, whole.
Only what the bank gave is compared: certificates that holders posted, claims and some answers come by other
ways. An answer to a claim must be there when its group's turn has come, whoever put it there.

Source: docs/spec/statement.md, section 2.
"""

from collections import Counter, deque
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
    waiting = _Groups(groups)
    for round_ in rounds:
        encoded = [entry.encode() for entry in round_.entries]
        shown = sorted([entry for entry in encoded if entry[0] in OURS])
        answers = Counter(entry for entry in encoded if entry[0] == Kind.ANSWER)
        given: list[bytes] = []
        taken = 0
        while len(given) < len(shown):
            following = waiting.take()
            if following is None:
                break
            given += _ours(following)
            taken += 1
            if _is_answer(following) and not _contains(answers, following):
                # Not in the round of what was given behind it.
                return Compared(cursor, group, news, Difference(round_.number, missing=tuple(following)))
        if sorted(given) != shown:
            return Compared(cursor, group, news, _difference(round_.number, shown, given))
        taken += waiting.take_answers(answers)
        cursor, group = round_.after, group + taken
        news = news or any(_is_news(entry) for entry in round_.entries)
    # Groups without entries show nothing: the board's receipt is all that can be had for them.
    late: list[bytes] = []
    while (following := waiting.take()) is not None:
        late = list(following)
        if late or group >= position.fed:
            break
        group += 1
    if group < owed:
        return Compared(cursor, group, news, Difference(cursor.round, missing=tuple(late)))
    return Compared(cursor, group, news, None)


class _Groups:
    """The outbox's groups, with a look at those that come next."""

    def __init__(self, groups: Iterator[Sequence[bytes]]) -> None:
        self._groups = groups
        self._seen: deque[Sequence[bytes]] = deque()

    def take(self) -> Sequence[bytes] | None:
        return self._seen.popleft() if self._seen else next(self._groups, None)

    def take_answers(self, shown: Counter[bytes]) -> int:
        """
        Take the groups that come next as far as they are answers to claims that this round shows, and what
        shows nothing between them; how many.
        """
        looked: list[Sequence[bytes]] = []
        taken = 0
        while (following := self.take()) is not None:
            looked.append(following)
            if _is_answer(following) and _contains(shown, following):
                taken = len(looked)
            elif following:
                break
        self._seen.extendleft(reversed(looked[taken:]))
        return taken


def _is_answer(group: Sequence[bytes]) -> bool:
    """An answer is a group of its own. Others may put it on the board too, but not before the bank."""
    return bool(group) and all(entry[0] == Kind.ANSWER for entry in group)


def _contains(shown: Counter[bytes], group: Sequence[bytes]) -> bool:
    """Whether the round shows the group; then its entries are used up."""
    if any(shown[entry] < count for entry, count in Counter(group).items()):
        return False
    shown.subtract(group)
    return True


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

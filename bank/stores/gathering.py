"""
What a transaction gathers in memory and writes at its end, a row each: groups for the outbox, and counts. So
a batch of orders costs a few writes more, not a few for each order.
"""

from abc import abstractmethod
from collections.abc import Sequence

from bank.board.feed import Batch
from bank.ledger.book import Count, Value
from bank.stores.interface import GROUP_BYTES, MOST_OUTBOX_ROW_BYTES
from bank.stores.upkeep import Upkeep


class Gathering(Upkeep):
    """This part of ``bank.stores.interface.Books``; ``gather_anew`` comes first."""

    counts: dict[Value, list[int]]
    """The columns of ``Count``, to be added to those on file."""
    next_group: int | None
    """Given out so far; None while no group was numbered."""
    _groups: list[Sequence[bytes]]
    """Since the newest row of the outbox."""
    _group_bytes: int

    def gather_anew(self) -> None:
        """Whatever an earlier transaction left is gone."""
        self.counts, self.next_group, self._groups, self._group_bytes = {}, None, [], 0

    @abstractmethod
    def put_row(self, first: int, following: int, entries: int, batch: bytes) -> None:
        """A row of the outbox: groups ``first`` to ``following - 1``, encoded, with so many entries."""

    def count(self, what: Count, values: Sequence[Value]) -> None:
        counts = self.counts
        for value in values:
            row = counts.get(value)
            if row is None:
                row = counts[value] = [0] * len(Count)
            row[what] += 1

    def unstated(self) -> int:
        rows = self.rows("SELECT exponent, epoch FROM tally WHERE changed <> 0")
        return len(self.counts.keys() | {Value._make(row) for row in rows})

    def publish(self, entries: Sequence[bytes]) -> None:
        self._groups.append(entries)
        self._group_bytes += GROUP_BYTES + sum(map(len, entries))
        if self._group_bytes > MOST_OUTBOX_ROW_BYTES:
            self.flush()

    def newest_group(self) -> int:
        return self._following() + len(self._groups) - 1

    def flush(self) -> None:
        """Make a row of the outbox of the groups gathered since the last one."""
        if self._groups:
            batch = Batch(self._following(), self._groups)
            self.put_row(batch.first, batch.next, sum(map(len, self._groups)), batch.encode())
            self.next_group = batch.next
            self._groups, self._group_bytes = [], 0

    def _following(self) -> int:
        """The number of the first group that is in no row yet."""
        return self.state().next_group if self.next_group is None else self.next_group

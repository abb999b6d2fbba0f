"""
The bank's statements, one by one and against what the log shows.

For each: it balances; it confirms this very log; against all before it: its number is new, no count falls,
its running totals are those of all rows that stand. Then, part after part of the log: what a statement
confirms has no more certificates than it states; and once a statement is itself part of what a later one
confirms, everything that it counts has been public: so it may not state more than that shows.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bank.board.accusation.books import StatementsContradict, contradiction, ordered
from bank.board.audit.convict import Confirmation, Prosecutor
from bank.board.audit.counting import Shown, shown_until
from bank.board.audit.finding import Fault, Finding, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.spill import Landmark, Spilled
from bank.formats.entry import StatementEntry
from bank.formats.statement import BankStatement, Tally

MOST_FINDINGS = 16
"""About statements; a bank that can't count is found out by the first one."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A row, and the statement that it stands in."""

    tally: Tally
    at: int


class Statements:
    """The checks of all statements of one log."""

    def __init__(self, spilled: Spilled, replay: Replay, prosecutor: Prosecutor) -> None:
        self._spilled = spilled
        self._replay = replay
        self._prosecutor = prosecutor
        self._newest: BankStatement | None = None
        self._key = replay.bank_key
        """Who signed it."""
        self._standing: dict[tuple[int, int], _Standing] = {}
        self._units = Tally()
        """Those of all rows that stand."""
        self.findings: list[Finding] = []
        self.count = 0
        self.unconfirmed = 0
        """Entries that changed what a coin is, behind all that the bank confirmed."""

    @property
    def newest(self) -> BankStatement | None:
        """The one with the highest number."""
        return self._newest

    async def read(self) -> None:
        """The first part: each by itself, and against those before it. Finds out what the bank confirmed."""
        confirmations: list[Confirmation] = []
        for landmark, statement in self._all():
            self.count += 1
            await self._judge_alone(statement, landmark)
            await self._judge_after(statement, landmark)
            if await self._is_of_this_log(statement, landmark):
                confirmations.append(Confirmation(statement.size, landmark.at, landmark.leaf))
        self._prosecutor.confirmations = sorted(confirmations, key=lambda each: each.size)

    def sizes(self) -> set[int]:
        """Where the log's parts end."""
        return {each.size for each in self._prosecutor.confirmations}

    async def compare(self) -> None:
        """The second part: against what the log shows."""
        sizes = sorted(self.sizes())
        by_size: dict[int, list[Confirmation]] = {}
        for confirmation in self._prosecutor.confirmations:
            by_size.setdefault(confirmation.size, []).append(confirmation)
        waiting = deque(
            (place.mark, landmark)
            for landmark, _ in self._all()
            if (place := self._spilled.round_of(landmark.leaf)) is not None
        )
        confirmed = 0
        for part, shown in shown_until(self._spilled.folder, len(sizes) + 1):
            if part == len(sizes):
                self.unconfirmed = shown.entries - confirmed
                break
            size, confirmed = sizes[part], shown.entries
            for confirmation in by_size[size]:
                await self._judge_shown(confirmation, shown)
            confirming = {self._replay.key_at(each.leaf) for each in by_size[size]}
            while waiting and waiting[0][0] < size:
                _, landmark = waiting.popleft()
                # What a bank that was replaced had still to publish never came: that is why it was replaced.
                if self._replay.key_at(landmark.leaf) in confirming:
                    self._judge_overstated(self._statement(landmark.at), shown)
            if part == len(sizes) - 1 and not self.findings:
                self._judge_standing(size, shown)

    def _all(self) -> Iterator[tuple[Landmark, BankStatement]]:
        for landmark, entry in self._spilled.landmarks():
            if isinstance(entry, StatementEntry):
                yield landmark, entry.statement

    def _statement(self, at: int) -> BankStatement:
        entry = self._spilled.entry(at)
        if not isinstance(entry, StatementEntry):
            raise TypeError("not a statement's place")
        return entry.statement

    @property
    def _room(self) -> int:
        """For so many findings more."""
        return MOST_FINDINGS - len(self.findings)

    def _add(self, finding: Finding) -> None:
        if self._room:
            self.findings.append(finding)

    async def _accuse(self, leaf: int, *statements: BankStatement) -> None:
        """By the key that counts at this leaf, which signed all of them."""
        key = self._replay.key_at(leaf)
        contradict = StatementsContradict(key, ordered(list(statements))) if key else None
        evidence = await self._prosecutor.proven(contradict)
        numbers = " and ".join(str(each.sequence) for each in statements)
        self._add(self._prosecutor.finding(Fault.STATEMENT, evidence, f"statement {numbers} can't be true"))

    def _whole(self, fault: Fault, words: str) -> None:
        self._add(self._prosecutor.finding(fault, None, words))

    async def _judge_alone(self, statement: BankStatement, landmark: Landmark) -> None:
        if contradiction((statement,)):
            await self._accuse(landmark.leaf, statement)

    async def _judge_after(self, statement: BankStatement, landmark: Landmark) -> None:
        number = statement.sequence
        if statement.size > landmark.leaf:
            self._whole(Fault.STATEMENT, f"statement {number} confirms entries that were not there yet")
        newest = self._newest
        if self._key != (key := self._replay.key_at(landmark.leaf)):
            # A successor counts all that came before as withdrawn and deposited, since it can't tell.
            if newest is not None and number <= newest.sequence:
                self._whole(Fault.STATEMENT, f"statement {number} comes after statement {newest.sequence}")
            self._key, self._newest = key, statement
            self._standing, self._units = {}, Tally()
            await self._stand(statement, landmark)
            return
        if newest is not None and newest.encode() == statement.encode():
            self._add(Finding(Weight.NOTE, Fault.REPEATED, f"statement {number} stands in the log twice."))
            return
        if newest is not None and contradiction(ordered([newest, statement])):
            await self._accuse(landmark.leaf, newest, statement)
        if newest is not None and number <= newest.sequence:
            self._whole(Fault.STATEMENT, f"statement {number} comes after statement {newest.sequence}")
            return
        if number != (newest.sequence + 1 if newest else 1):
            self._whole(Fault.STATEMENT, f"before statement {number} one is missing")
        self._newest = statement
        await self._stand(statement, landmark)

    async def _stand(self, statement: BankStatement, landmark: Landmark) -> None:
        # Each row costs the same however many there have been: a log may be full of full statements.
        fallen: set[int] = set()
        for row in statement.rows:
            before = self._standing.get((row.exponent, row.epoch))
            if before is not None:
                self._units = self._units.plus(before.tally, -(1 << row.exponent))
                if any(a > b for a, b in zip(before.tally.numbers(), row.tally.numbers(), strict=True)):
                    fallen.add(before.at)
            self._units = self._units.plus(row.tally, 1 << row.exponent)
            self._standing[row.exponent, row.epoch] = _Standing(row.tally, landmark.at)
        for earlier in sorted(fallen)[: self._room]:
            await self._accuse(landmark.leaf, self._statement(earlier), statement)
        if self._units != statement.totals:
            self._whole(
                Fault.STATEMENT,
                f"the rows that stand with statement {statement.sequence} don't come to its running totals",
            )

    async def _is_of_this_log(self, statement: BankStatement, landmark: Landmark) -> bool:
        if statement.size > landmark.leaf:
            return False
        if await self._replay.root_at(statement.size) == statement.root:
            return True
        if not self._room:
            return False
        evidence = await self._prosecutor.two_views(statement, landmark.leaf)
        words = f"statement {statement.sequence} confirms another log than this one"
        self._add(self._prosecutor.finding(Fault.TWO_VIEWS, evidence, words))
        return False

    async def _judge_shown(self, confirmation: Confirmation, shown: Shown) -> None:
        """No more certificates than stated, in what this statement confirms."""
        if not self._room:
            # What proves it is sought in all records.
            return
        statement = self._statement(confirmation.at)
        log = self._prosecutor.log_of(confirmation)
        words = f"the log shows more certificates than statement {statement.sequence} states"
        for row in statement.rows:
            stated = row.tally.certified
            if log and shown.of(row.exponent, row.epoch)[0] > stated:
                value = (row.exponent, row.epoch)
                evidence = await self._prosecutor.value_created(log, stated, value)
                self._add(self._prosecutor.finding(Fault.VALUE, evidence, words))
                return
        stated = statement.totals.certified
        if log and shown.units[0] > stated:
            evidence = await self._prosecutor.value_created(log, stated, None)
            self._add(self._prosecutor.finding(Fault.VALUE, evidence, words))

    def _judge_standing(self, size: int, shown: Shown) -> None:
        """
        The same of the rows that no newer statement repeats: else certificates of a value that is never
        stated again would be hidden by a sum in which another value's are only on their way.
        """
        for (exponent, epoch), (certified, _, _) in sorted(shown.by_value.items()):
            standing = self._standing.get((exponent, epoch))
            if certified > (standing.tally.certified if standing else 0):
                self._whole(
                    Fault.VALUE,
                    f"of {1 << exponent} units in epoch {epoch} there are more certificates among the first "
                    f"{size} entries, which the bank confirmed, than any of its statements states",
                )
                return

    def _judge_overstated(self, statement: BankStatement, shown: Shown) -> None:
        """No more stated than shown, by a log that a later statement confirms and that has this one."""
        for row in statement.rows:
            if _exceeds(row.tally, shown.of(row.exponent, row.epoch)):
                value = f"{1 << row.exponent} units in epoch {row.epoch}"
                self._whole(
                    Fault.OVERSTATED,
                    f"statement {statement.sequence} counts more coins of {value} than ever became public",
                )
                return
        if _exceeds(statement.totals, shown.units):
            self._whole(
                Fault.OVERSTATED, f"statement {statement.sequence} counts more units than ever became public"
            )


def _exceeds(tally: Tally, shown: list[int]) -> bool:
    return any(
        stated > seen
        for stated, seen in zip((tally.certified, tally.spent, tally.replaced), shown, strict=True)
    )

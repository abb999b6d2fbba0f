"""
From what is wrong to a file that proves it: the leaves are read again, the proof is built, the check decides.

Nothing is written that the offline check doesn't accept. What it can't accept, since only the whole log
proves it, becomes a file that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from bank.board.accusation.books import CertifiedTwice, EntryFalse, SpentTwice, ValueCreated
from bank.board.accusation.evidence import ConfirmedLog, Leaves, ProvenLog, SignedLog
from bank.board.accusation.file import Evidence, check, encode_accusation
from bank.board.accusation.log import BoardEquivocation, Difference, LogInvalid, TwoViews, WholeLog
from bank.board.accusation.successor import OfBank, OfSuccessor, log_in, signers_of
from bank.board.audit.finding import Fault, Finding, Problem, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.shard import coins_of
from bank.board.audit.spill import SHARDS, TOGETHER, Spilled, read_shards
from bank.board.log.reader import LogReader
from bank.board.log.tree import Node, prove_many
from bank.formats.answer import CertifiedBefore
from bank.formats.entry import (
    CertifiedEntry,
    KeyEntry,
    PostedEntry,
    RoundEntry,
    StatementEntry,
    decode_entry,
)
from bank.formats.statement import BankStatement
from mixmint.errors import MalformedMessage

MOST_PROVED = 40_000
"""Leaves in one file: more would not fit it."""
_WORDS = {
    Fault.MARK: "a round's mark at entry {one} is wrong",
    Fault.ORDER: "entries {one} and {other} of a round are not sorted",
    Fault.MALFORMED: "entry {one} is malformed",
    Fault.UNFINISHED: "the log ends with entry {one}, in the middle of a round",
    Fault.FALSE: "entry {one} bears a false signature",
    Fault.VOID: "entry {one} is signed by a key of the bank's that another had replaced",
    Fault.ENDED_TWICE: "entries {one} and {other} both end one coin",
    Fault.CERTIFIED_TWICE: "entries {one} and {other} certify one coin with two values or epochs",
    Fault.NEVER_CERTIFIED: "entry {one} ends a coin that no entry certifies",
    Fault.REPEATED: "entry {other} says again what entry {one} says",
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A statement that confirms this very log: how much of it, and where it stands in the spilled file."""

    size: int
    at: int
    leaf: int = 0
    """Its own index in the log, by which its key is chosen."""


class Prosecutor:
    """One audit's. ``confirmations`` are ascending by size."""

    def __init__(self, reader: LogReader, replay: Replay, signed: SignedLog, spilled: Spilled) -> None:
        self._reader = reader
        self._replay = replay
        self._spilled = spilled
        self.signed = signed
        self.confirmations: list[Confirmation] = []
        # Whose changes count is decided: by the auditor's authorities, or by what the log shows.
        self._who = signers_of(replay.changes)
        self._began: dict[bytes, int] | None = None

    async def of(self, problem: Problem) -> Finding:
        """The finding, with its file. Raises Unavailable, PeerError: the log can't be read again."""
        words = _WORDS[problem.fault].format(one=problem.one, other=problem.other)
        if problem.fault is Fault.VOID:
            return Finding(
                Weight.NOTE, problem.fault, f"{words}: it counts for nothing, and is nobody's crime."
            )
        if problem.fault is Fault.REPEATED:
            return Finding(Weight.NOTE, problem.fault, f"{words}: nobody gains by it.")
        evidence = await self._evidence(problem)
        return self.finding(problem.fault, evidence, words)

    async def proven(self, evidence: OfBank | None) -> Evidence | None:
        """
        The evidence, if it holds: with what shows whose key it accuses, where that isn't the bank's founding
        one. None when it proves nothing by itself. Raises as ``leaves``.
        """
        if evidence is None:
            return None
        shown: Evidence = evidence
        if evidence.accused().bank not in {None, self._replay.bank_key}:
            successor = await self._of_successor(evidence)
            if successor is None:
                return None
            shown = successor
        return shown if check(shown, self._who).holds else None

    async def _of_successor(self, evidence: OfBank) -> OfSuccessor | None:
        founding, changes = self._replay.bank_key, self._replay.changes
        key, log = evidence.accused().bank, log_in(evidence)
        count = next((at for at, change in enumerate(changes, start=1) if change.new == key), 0)
        if founding is None or key is None or not count:
            return None
        began = None
        if log is not None:
            leaf = self.began(key)
            if not 0 <= leaf < log.size:
                return None
            began = await self.leaves(log.size, (leaf,))
        return OfSuccessor(founding, changes[:count], began, evidence)

    def began(self, key: bytes) -> int:
        """The leaf of a later key's (32 bytes) first entry of its own; -1 for the founding key, or none."""
        if self._began is None:
            self._began = {}
            for index, leaf in self._spilled.claims():
                entry = decode_entry(leaf)
                if isinstance(entry, KeyEntry):
                    self._began.setdefault(entry.public, index)
        return self._began.get(key, -1)

    def finding(self, fault: Fault, evidence: Evidence | None, words: str) -> Finding:
        """A cheat, with the evidence if it holds, else with a file that sends the reader to the log."""
        if evidence is not None and check(evidence, self._who).holds:
            whom, sentence = evidence.accused().text(), evidence.sentence()
            return Finding(Weight.CHEAT, fault, sentence, whom, encode_accusation(evidence))
        whole = WholeLog(self.signed, f"{words}.")
        return Finding(Weight.CHEAT, fault, f"{words}.", whole.accused().text(), encode_accusation(whole))

    async def leaves(self, size: int, indexes: Sequence[int]) -> Leaves | None:
        """Leaves with their proof under the log's first ``size`` leaves; None when tiles are missing."""
        order = sorted(set(indexes))
        found = Leaves(tuple([(index, await self._replay.leaf(index)) for index in order]), ())
        wanted: list[Node] = []

        def noted(node: Node) -> bytes:
            wanted.append(node)
            return b""

        prove_many(order, size, noted)
        try:
            hashes = {node: await self._reader.node(node, self._replay.size) for node in wanted}
        except MalformedMessage:
            return None
        return Leaves(found.leaves, tuple(prove_many(order, size, hashes.__getitem__)))

    def confirmed(self, after: int) -> ConfirmedLog | None:
        """The smallest log that the bank confirmed with this entry in it."""
        for confirmation in self.confirmations:
            if confirmation.size > after:
                return self.log_of(confirmation)
        return None

    def log_of(self, confirmation: Confirmation) -> ConfirmedLog | None:
        entry = self._spilled.entry(confirmation.at)
        key = self._replay.key_at(confirmation.leaf)
        if not isinstance(entry, StatementEntry) or key is None:
            return None
        return ConfirmedLog(key, entry.statement)

    async def equivocation(self, earlier: SignedLog) -> Evidence | None:
        """The log doesn't begin with one that the board signed before."""
        difference = await self._difference(earlier.size)
        if earlier.size == self.signed.size and earlier.root > self.signed.root:
            return BoardEquivocation(self.signed, earlier, Difference(earlier.root, ()))
        return BoardEquivocation(earlier, self.signed, difference)

    async def two_views(self, statement: BankStatement, leaf: int) -> Evidence | None:
        """The bank confirmed, at this leaf, a log that this one doesn't begin with."""
        key = self._replay.key_at(leaf)
        if key is None or statement.size > self._replay.size:
            return None
        difference = await self._difference(statement.size)
        return await self.proven(TwoViews(self.signed, ConfirmedLog(key, statement), difference))

    async def _difference(self, size: int) -> Difference:
        if size == self._replay.size:
            return Difference(self._replay.root(), ())
        proof = await self._reader.consistency(size, self._replay.size)
        return Difference(await self._replay.root_at(size), tuple(proof))

    async def invalid(self, *indexes: int) -> Evidence | None:
        """Leaves that break the board's rules."""
        leaves = await self.leaves(self.signed.size, indexes)
        return LogInvalid(self.signed, leaves) if leaves else None

    async def value_created(
        self, log: ConfirmedLog, units: int, value: tuple[int, int] | None
    ) -> Evidence | None:
        """
        Certificates in a confirmed log: of one value (exponent, epoch), more than ``units`` coins; or of all,
        more than ``units`` units. None when they don't fit a file.
        """
        found: list[tuple[int, int]] = []
        since = self.began(log.bank_key)
        folder = self._spilled.folder
        for records in chain.from_iterable(
            read_shards(folder, first, TOGETHER) for first in range(0, SHARDS, TOGETHER)
        ):
            for coin in coins_of(records):
                if not coin.certified or coin.certified[0][0] >= log.size:
                    continue
                index, *of = coin.certified[0]
                if index <= since:
                    # A successor's statement counts it, too; but whether it had to, only the whole log shows.
                    continue
                if value is None or value == tuple(of):
                    found.append((of[0], index))
            # The most valuable are enough; kept few, they don't grow with the log.
            found = sorted(found, reverse=True)[: MOST_PROVED + 1]
        needed, total = 0, 0
        while needed < len(found) and total <= units:
            total += 1 if value else 1 << found[needed][0]
            needed += 1
        if total <= units or needed > MOST_PROVED:
            return None
        leaves = await self.leaves(log.size, [index for _, index in islice(found, needed)])
        return await self.proven(ValueCreated(log, leaves)) if leaves else None

    async def _evidence(self, problem: Problem) -> Evidence | None:
        fault = problem.fault
        if fault is Fault.MARK:
            return await self._wrong_mark(problem)
        if fault is Fault.ORDER:
            return await self.invalid(problem.one, problem.other)
        if fault in {Fault.MALFORMED, Fault.UNFINISHED}:
            return await self.invalid(problem.one)
        if fault is Fault.CERTIFIED_TWICE:
            return await self._certified_twice(problem)
        if fault is Fault.FALSE:
            return await self._false(problem.one)
        if fault is Fault.ENDED_TWICE:
            for log in self.logs(max(problem.one, problem.other)):
                leaves = await self.leaves(log.size, (problem.one, problem.other))
                evidence = await self.proven(SpentTwice(log, leaves)) if leaves else None
                if evidence is not None:
                    return evidence
        return None

    def logs(self, after: int) -> list[ProvenLog]:
        """What proves the most first: the bank's own word, then the board's."""
        confirmed = self.confirmed(after)
        return [confirmed, self.signed] if confirmed else [self.signed]

    async def _wrong_mark(self, problem: Problem) -> Evidence | None:
        """Whatever shows it: the mark alone, the mark before it too, or the leaf before its round."""
        mark = decode_entry(await self._replay.leaf(problem.other))
        pairs: list[tuple[int, ...]] = [(problem.other,)]
        if problem.one >= 0:
            pairs.append((problem.one, problem.other))
        if isinstance(mark, RoundEntry) and 0 < mark.first <= problem.other:
            pairs.append((mark.first - 1, problem.other))
        for pair in pairs:
            evidence = await self.invalid(*pair)
            if evidence is not None and check(evidence).holds:
                return evidence
        return None

    async def _certified_twice(self, problem: Problem) -> Evidence | None:
        entries = [decode_entry(await self._replay.leaf(index)) for index in (problem.one, problem.other)]
        shown = [
            CertifiedBefore(entry.coin, entry.exponent, entry.epoch, entry.certificate)
            for entry in entries
            if isinstance(entry, CertifiedEntry)
        ]
        key = self._replay.key_at(problem.other)
        if len(shown) != 2 or key is None:
            return None
        one, other = sorted(shown, key=lambda each: (each.exponent, each.epoch))
        return await self.proven(CertifiedTwice(key, one, other))

    async def _false(self, index: int) -> Evidence | None:
        if isinstance(decode_entry(await self._replay.leaf(index)), PostedEntry):
            return None
        for log in self.logs(index):
            leaves = await self.leaves(log.size, (index,))
            evidence = await self.proven(EntryFalse(log, leaves)) if leaves else None
            if evidence is not None:
                return evidence
        return None

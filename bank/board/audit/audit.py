"""
An audit: everything that a board's log says, recomputed by somebody who believes neither board nor bank.

The checks, in the order in which they are made:

1. the checkpoint: the board's signature, and the cosignatures that the policy demands;
2. the tree: every leaf's hash, up to the checkpoint's root;
3. growth: the log begins with the one of the last checkpoint seen;
4. the rounds' marks: numbers, first entries, times; entries are well-formed, and sorted inside their round;
5. signatures: every certificate (posted ones too), spent coin, replaced coin, key and statement;
6. coins: no coin is spent by two orders, or spent and replaced; no id is certified with two values or epochs;
   every coin that ends was certified;
7. statements: each balances, confirms this log, and agrees with those before it; there are never more
   certificates than it states, nor fewer than it states once all of them should be public;
8. the map: the root and the number of coins of every map entry; what it said of coins to the auditor;
9. receipts that the auditor was shown: their entries are in the promised rounds, a bank's batches too;
10. claims: each true one is answered by the round that the bank's terms name, and not with a lie;
11. time: a board whose rounds stand still is late, which is no theft.

One pass reads the log, in any number of processes (``replay``); one sorts what it says of coins, shard by
shard (``shard``). Memory doesn't grow with the log, but for a byte in eight leaves, and the places of
statements and maps.

Source: docs/spec/accusation.md, section 6; docs/operators-guide.md.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bank.board.accusation.evidence import SignedLog
from bank.board.audit.claims import Claims
from bank.board.audit.convict import Prosecutor
from bank.board.audit.fed import FedReceipt, judge_fed
from bank.board.audit.finding import Fault, Finding, Problems, Weight
from bank.board.audit.maps import Maps
from bank.board.audit.promises import judge_receipts
from bank.board.audit.replay import Progress, Replay
from bank.board.audit.shard import ShardJob, check_shards
from bank.board.audit.shown import judge_proofs
from bank.board.audit.spill import SHARDS, TOGETHER, Spill, Spilled, cuts_of
from bank.board.audit.statements import Statements
from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.note import Note
from bank.board.log.reader import LogReader, Published
from bank.board.map.coin_proof import CoinProof
from bank.board.receipts import EntryReceipt
from bank.formats.entry import Kind
from mix.directory import Authorities
from mixmint.errors import UserError

MOST_SHOWN = 8
"""Findings of one kind that are looked into; the rest are counted."""
LATE_S = 7200
"""Seconds without a round after which the board is called late. No round of ours takes half as long."""


@dataclass
class Report:
    """What an audit came to."""

    published: Published
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[int] = field(default_factory=Counter)
    """Entries by kind."""
    rounds: int = 0
    statements: int = 0
    maps: int = 0
    closed_at_s: int = 0
    """When the newest round closed, as the board says."""
    confirmed: int = 0
    """How many entries the bank has confirmed."""
    unconfirmed: int = 0
    """Of the others, how many changed what a coin is."""
    bank_key: bytes | None = None
    changes: int = 0
    """How often its key was changed."""
    believed: bool = False
    """Whether those changes were believed as they stand."""
    unjudged: int = 0
    """Claims from before the bank's first terms."""
    open_claims: int = 0
    """Claims without an answer, whose time isn't over."""

    @property
    def checkpoint(self) -> Checkpoint:
        return self.published.checkpoint

    @property
    def passed(self) -> bool:
        return all(finding.weight is not Weight.CHEAT for finding in self.findings)

    @property
    def unchecked(self) -> list[str]:
        """What nobody should think was checked, each in a sentence."""
        told = []
        if self.unconfirmed:
            since = f"behind the first {self.confirmed:,}" if self.confirmed else "of this log"
            told.append(
                f"{self.unconfirmed:,} entries about coins, {since}, are in no statement of the bank's yet: "
                "whether they give out as much as they take in. Ask why, if that lasts."
            )
        if self.unjudged:
            told.append(f"{self.unjudged:,} claims from before the bank's terms: nothing was promised yet.")
        if self.open_claims:
            told.append(f"{self.open_claims:,} claims without an answer, whose time isn't over.")
        if self.changes and self.believed:
            told.append(
                f"{self.changes:,} changes of the bank's key: whether the network's authorities signed them. "
                "Name the network file: --network FILE."
            )
        if unknown := sum(count for kind, count in self.kinds.items() if kind not in set(Kind)):
            told.append(f"{unknown:,} entries of unknown kinds: a newer version may know them.")
        return told


@dataclass(frozen=True)
class Audit:
    """
    What to audit and how. ``since``: the last checkpoint seen, signed by the board. ``bank_key``: the bank's
    (32 bytes), where it is known; else the first key that the log names. ``pool``, ``jobs``: the processes.
    ``receipts``: what the board promised to whoever asks for this audit.
    """

    reader: LogReader
    pool: Executor
    jobs: int
    since: Note | None = None
    bank_key: bytes | None = None
    progress: Progress = lambda what, done, total: None
    receipts: Sequence[EntryReceipt] = ()
    authorities: Authorities | None = None
    """Who may change the bank's key; None: every change that the log shows is taken to be theirs."""
    fed: Sequence[FedReceipt] = ()
    """What the board promised to the bank that feeds it."""
    proofs: Sequence[CoinProof] = ()
    """What its map said of single coins."""

    async def run(self, now_s: float) -> Report:
        """
        Audit the log as it is now.

        Raises Unavailable, UserError (disk full, another bank's log), PeerError (signature, quorum, other
        leaves than at the first reading), MalformedMessage: then there is nothing to report on.
        """
        published = await self.reader.checkpoint()  # check 1
        report = Report(published)
        replay = Replay(self.reader, published.checkpoint.size)
        key = await self._key(replay)
        with tempfile.TemporaryDirectory(prefix="mixmint-audit-") as folder:
            with closing(Spill(Path(folder))) as spill:
                changes = await replay.find_changes(key, self.authorities) if key else ()
                await replay.run(key, spill, self.pool, 2 * self.jobs, self.progress, changes)
                spill.finish()
            with closing(Spilled(Path(folder))) as spilled:
                await self._judge(report, replay, spilled)
        self._look_at_the_clock(report, replay, now_s)
        return report

    async def _key(self, replay: Replay) -> bytes | None:
        found = await replay.find_key()
        if self.bank_key is not None and found not in {None, self.bank_key}:
            # Else each of its entries would seem to be a lie.
            raise UserError(
                f"this is the log of bank {found.hex() if found else ''}, not of {self.bank_key.hex()}; "
                "name the board's bank"
            )
        return self.bank_key or found

    async def _judge(self, report: Report, replay: Replay, spilled: Spilled) -> None:
        signed = SignedLog.of(report.published.note, self.reader.log)
        prosecutor = Prosecutor(self.reader, replay, signed, spilled)
        report.kinds, report.rounds, report.bank_key = replay.kinds, spilled.rounds, replay.bank_key
        report.changes, report.believed = len(replay.changes), self.authorities is None
        report.closed_at_s = replay.last_mark[2]
        if replay.root() != report.checkpoint.root:  # check 2
            # Nothing that was read is known to be what the board signed, so nothing of it can accuse anyone.
            words = (
                "the entries don't lead to the root that the board signed: they are damaged, or not its own"
            )
            report.findings.append(prosecutor.finding(Fault.TREE, None, words))
            return
        report.findings += await self._growth(signed, replay, prosecutor)  # check 3
        statements = Statements(spilled, replay, prosecutor)
        await statements.read()
        maps = Maps(spilled, replay, prosecutor)
        problems = replay.problems
        problems.join(await self._sort(spilled, statements.sizes(), maps.sizes()))
        report.findings += await _explain(problems, prosecutor)  # checks 4, 5, 6
        await statements.compare()
        report.findings += statements.findings  # check 7
        await maps.compare()
        report.findings += maps.findings  # check 8
        report.findings += await judge_proofs(self.proofs, spilled, replay, prosecutor)
        report.findings += await judge_receipts(self.receipts, spilled, replay, prosecutor)  # check 9
        report.findings += await judge_fed(self.fed, spilled, replay, prosecutor)
        claims = Claims(spilled, replay, prosecutor)
        await claims.judge()
        report.findings += claims.findings  # check 10
        report.unjudged, report.open_claims = claims.unjudged, claims.open
        report.statements, report.maps = statements.count, maps.count
        report.unconfirmed = statements.unconfirmed
        if prosecutor.confirmations:
            report.confirmed = prosecutor.confirmations[-1].size

    async def _growth(self, signed: SignedLog, replay: Replay, prosecutor: Prosecutor) -> list[Finding]:
        if self.since is None:
            return []
        earlier = open_checkpoint(self.since, self.reader.log)
        if earlier.size > signed.size:
            return [
                Finding(
                    Weight.LATE,
                    Fault.GROWTH,
                    f"the log has {signed.size} entries, and had {earlier.size} when it was seen before: "
                    "what is served is old. Ask elsewhere, or again later.",
                )
            ]
        if await replay.root_at(earlier.size) == earlier.root:
            return []
        evidence = await prosecutor.equivocation(SignedLog.of(self.since, self.reader.log))
        words = f"the log does not begin with the {earlier.size} entries that were seen before"
        return [prosecutor.finding(Fault.GROWTH, evidence, words)]

    async def _sort(self, spilled: Spilled, statements: set[int], maps: set[int]) -> Problems:
        """The second pass."""
        loop = asyncio.get_running_loop()
        cuts = cuts_of(statements), cuts_of(maps)
        problems = Problems()
        jobs = [ShardJob(spilled.folder, first, *cuts) for first in range(0, SHARDS, TOGETHER)]
        running = [loop.run_in_executor(self.pool, check_shards, job) for job in jobs]
        for done, future in enumerate(running, start=1):
            problems.join(await future)
            self.progress("comparing coins", done * TOGETHER, SHARDS)
        return problems

    def _look_at_the_clock(self, report: Report, replay: Replay, now_s: float) -> None:
        quiet_s = now_s - replay.last_mark[2]  # check 11
        if replay.last_mark[0] >= 0 and quiet_s > LATE_S:
            minutes = round(quiet_s / 60)
            report.findings.append(
                Finding(
                    Weight.LATE,
                    "clock",
                    f"no round closed for {minutes} minutes: what was promised for rounds after "
                    f"{replay.last_mark[1]} is late, which is no theft.",
                )
            )


async def _explain(problems: Problems, prosecutor: Prosecutor) -> list[Finding]:
    """The first few of each kind, each with its file; of the rest how many there are."""
    findings: list[Finding] = []
    for fault, count in problems.counts.items():
        shown: Sequence[Finding] = [
            await prosecutor.of(problem)
            for problem in [each for each in problems.found if each.fault is fault][:MOST_SHOWN]
        ]
        findings += shown
        if count > len(shown):
            weight = shown[0].weight if shown else Weight.CHEAT
            findings.append(Finding(weight, fault, f"{count - len(shown)} more of the kind '{fault}'."))
    return findings

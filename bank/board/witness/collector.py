"""
A log gathers cosignatures on a checkpoint until its policy's quorum is met.

All witnesses are asked at once. When enough have cosigned, the others get a short grace, so that readers with
stricter policies find theirs too. When not enough do within the time for one attempt, it depends: *fail open*
publishes without the quorum; *fail closed* asks again until it is met, and the log stands still meanwhile.

Source: docs/spec/witness.md, section 4.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bank.board.log.note import Note, Signature, VerifierKey
from bank.board.log.policy import Policy, Witness
from bank.board.witness.asking import Asked, Proofs
from mixmint.errors import MixmintError, PeerError, Unavailable, UserError

GRACE_S = 0.25
"""How long those witnesses are waited for that the quorum doesn't need."""
HURRY_S = 10.0
"""One that was late isn't waited for, unless it is needed, for so long."""
_LONGEST_PAUSE_S = 1.0
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_log = logging.getLogger("bank.board.witness")


class CollectorMetrics:
    """Counts by the names that the policy gives."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.cosigned = Counter(
            "mixmint_board_cosignatures", "Cosignatures gathered", ["witness"], registry=self.registry
        )
        self.failed = Counter(
            "mixmint_board_cosign_failures",
            "Times that a witness didn't cosign, by reason",
            ["witness", "reason"],
            registry=self.registry,
        )
        self.size = Gauge(
            "mixmint_board_cosigned_size",
            "Leaves that a witness cosigned",
            ["witness"],
            registry=self.registry,
        )
        self.without = Counter(
            "mixmint_board_checkpoints_without_quorum",
            "Checkpoints that too few witnesses cosigned (fail open)",
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mixmint_board_cosign_seconds",
            "From a signed checkpoint to its cosignatures",
            buckets=_SECONDS,
            registry=self.registry,
        )


def check_policy(policy: Policy, log: VerifierKey, *, fail_open: bool) -> None:
    """
    Whether the board whose log has this key can work under its policy.

    Raises UserError: the policy is about another log, or its quorum can't ever be met.
    """
    if policy.log is not None and policy.log != log:
        raise UserError(f"the policy's log is {policy.log.text()}, and this board's is {log.text()}")
    _check_quorum(policy, fail_open)


def _check_quorum(policy: Policy, fail_open: bool) -> None:
    asked = [witness.name for witness in policy.witnesses if witness.url is not None]
    if not fail_open and not policy.is_met(asked):
        # Failing closed, it would never publish again.
        raise UserError("too few witnesses of the policy have a URL: its quorum can't be met; add theirs")


class Collector:
    """
    Of one log, called for one checkpoint after the other, never with a smaller one.

    ``timeout_s``: for one attempt. ``proofs(old, new)``: from the log's own tiles.
    """

    def __init__(
        self,
        policy: Policy,
        origin: str,
        proofs: Proofs,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float,
        fail_open: bool,
        now_s: Callable[[], float] = time.time,
        metrics: CollectorMetrics | None = None,
    ) -> None:
        """Raises UserError when the quorum can't ever be met, and failing closed would stop the log."""
        self.metrics = metrics or CollectorMetrics()
        self.trouble = ""
        """Why the newest checkpoint has no quorum (yet); empty when it has. For the operator."""
        self._policy = policy
        self._timeout_s = timeout_s
        self._fail_open = fail_open
        self._asked = [
            Asked(witness, origin, proofs, session, timeout_s, now_s)
            for witness in policy.witnesses
            if witness.url is not None
        ]
        _check_quorum(policy, fail_open)

    async def gather(self, note: Note, size: int) -> Note:
        """
        The note of our checkpoint of ``size`` leaves with verified cosignatures added, in the policy's order.

        With its quorum; failing open, perhaps without. Failing closed it doesn't return before the quorum is
        met. Raises FatalError when a witness has seen what we don't have: nothing may be published; and what
        ``proofs`` raises.
        """
        started_s = time.perf_counter()
        before = self._policy.cosignatures(note)
        found = dict(before)
        while True:
            await self._attempt(note, size, found, everyone=False)
            if self._is_met(found):
                self._note_trouble("")
                break
            self._note_trouble(self._describe(found))
            if self._fail_open:
                self.metrics.without.inc()
                break
            await asyncio.sleep(min(_LONGEST_PAUSE_S, self._timeout_s))
        self.metrics.seconds.observe(time.perf_counter() - started_s)
        return note.plus(
            found[witness] for witness in self._policy.witnesses if witness in found and witness not in before
        )

    async def check_start(self, note: Note, size: int) -> bool:
        """
        Ask every witness with our newest checkpoint, before anything new is signed.

        A log that never published asks too, with size 0: its files may have been lost. A witness that can't
        be reached, or doesn't know us, is no obstacle to a start: the operator reads it in the log. Returns
        whether something new may be signed: the quorum has cosigned, or the log fails open. Raises FatalError
        when one has seen more of this log than ``size`` leaves, or another past of it.
        """
        found: dict[Witness, Signature] = {}
        await self._attempt(note, size, found, everyone=True)
        return self._fail_open or self._is_met(found)

    def _is_met(self, found: dict[Witness, Signature]) -> bool:
        return self._policy.is_met([witness.name for witness in found])

    async def _attempt(
        self, note: Note, size: int, found: dict[Witness, Signature], *, everyone: bool
    ) -> None:
        """Ask those who aren't in ``found`` yet, once; what they give is put into it."""
        loop = asyncio.get_running_loop()
        tasks = {
            asyncio.create_task(each.ask(note, size)): each
            for each in self._asked
            if each.witness not in found
        }
        waiting = set(tasks)
        enough = self._is_met(found) and not everyone
        give_up_s = loop.time() + (GRACE_S if enough else self._timeout_s)
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=give_up_s - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    self._take(tasks[task], task, size, found)
                if not done:
                    break
                if self._is_met(found) and not everyone:
                    give_up_s = min(give_up_s, loop.time() + GRACE_S)
                    if all(tasks[task].hurried_until_s > loop.time() for task in waiting):
                        break
            for task in waiting:
                self._note_late(tasks[task], loop.time())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(
        self, asked: Asked, task: "asyncio.Task[Signature]", size: int, found: dict[Witness, Signature]
    ) -> None:
        """Raises FatalError."""
        name = asked.witness.name
        try:
            found[asked.witness] = task.result()
        except Unavailable as error:
            self._note_failure(asked, "unavailable", error)
        except PeerError as error:
            self._note_failure(asked, error.reason, error)
        else:
            asked.hurried_until_s = 0.0
            self.metrics.cosigned.labels(name).inc()
            self.metrics.size.labels(name).set(size)
            if asked.trouble:
                _log.info("witness %s cosigns again", name)
            asked.trouble = ""

    def _note_failure(self, asked: Asked, reason: str, error: MixmintError) -> None:
        self.metrics.failed.labels(asked.witness.name, reason).inc()
        if asked.trouble != str(error):
            # Once for each cause, not for each round.
            _log.warning("witness %s doesn't cosign: %s", asked.witness.name, error)
        asked.trouble = str(error)

    def _note_late(self, asked: Asked, now_s: float) -> None:
        if asked.hurried_until_s <= now_s:
            asked.hurried_until_s = now_s + HURRY_S
        self._note_failure(asked, "late", Unavailable("no answer in time"))

    def _describe(self, found: dict[Witness, Signature]) -> str:
        missing: Sequence[str] = [
            f"{each.witness.name} ({each.trouble})" for each in self._asked if each.witness not in found
        ]
        consequence = "published without" if self._fail_open else "rounds wait"
        return f"too few witnesses cosign, {consequence}: {', '.join(missing) or 'none can be asked'}"

    def _note_trouble(self, trouble: str) -> None:
        if trouble and not self.trouble:
            _log.warning("%s", trouble)
        elif self.trouble and not trouble:
            _log.info("enough witnesses cosign again")
        self.trouble = trouble

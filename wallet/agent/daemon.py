"""
The agent's loop: a short step at a steady pace, each with the wallet opened anew.

The home's lock is held only during a step. A step that meets a command at work waits for its turn, or leaves
it; a step that isn't done in time is cut off, as a crash would cut it off, and goes on in the next one.

What is healthy: a step that came to its end; and one that was cut off after it had gone through what is open,
or come farther on the board, since then only the newest exchange's answer is out. A step that came nowhere in
its time is *late*. Some failed or late ones in a row are trouble, and so is a home that is never free.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from random import Random, SystemRandom

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from mix.background import Background
from mixmint.errors import PeerError, UserError
from mixmint.web import operations_app
from replyblocks.member import HomeInUse
from wallet.agent.keeper import Keeper
from wallet.agent.settings import AgentSettings
from wallet.cashier import Cashier

FAILED_STEPS = 3
"""So many failed or late ones in a row, and /healthz says why."""
BUSY_STEPS = 60
"""So many in a row that found the home in use: no command takes as long."""
_LATE = (
    "no step comes through in its time: the gateway or the board is slow, or hold_s is too short; nothing is "
    "lost, and nothing is done"
)
_MINUTE_S = 60

Open = Callable[[], AbstractAsyncContextManager[Cashier]]
"""Opens the wallet; raises HomeInUse while a command works on it."""

_log = logging.getLogger("wallet.agent")


class AgentMetrics:
    """What the operator may watch: that it lives and works. No amounts, and no times but to the minute."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = Counter(
            "mixmint_agent_steps",
            "Steps by how they ended: done, cut (out of time, well on), late (out of time, nowhere), "
            "busy (a command was at work), failed",
            ["how"],
            registry=self.registry,
        )
        self.done_s = Gauge(
            "mixmint_agent_newest_step_seconds",
            "When a step was last done or well on, Unix time, whole minutes",
            registry=self.registry,
        )


class Agent:
    """Keeps one wallet. ``now_s``: Unix seconds."""

    def __init__(
        self,
        settings: AgentSettings,
        open_: Open,
        *,
        now_s: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        self._settings = settings
        self._open = open_
        self._now_s = now_s
        self.keeper = Keeper(settings, now_s, rng or SystemRandom())
        self.metrics = AgentMetrics()
        self._failed = 0
        self._busy = 0
        self.trouble = ""

    async def run(self) -> None:
        """Step after step, for ever. Raises FatalError when the wallet's state is in doubt."""
        while True:
            await self.step()
            await asyncio.sleep(self._settings.poll_s)

    async def step(self) -> None:
        """One step, whatever becomes of it but a FatalError."""
        how, trouble = await self._try()
        self.metrics.steps.labels(how).inc()
        if how in ("done", "cut"):
            self.metrics.done_s.set(int(self._now_s()) // _MINUTE_S * _MINUTE_S)
            if self.trouble:
                _log.info("working again")
            self._failed, self._busy, self.trouble = 0, 0, ""
            return
        self._busy = self._busy + 1 if how == "busy" else 0
        self._failed += how != "busy"
        is_trouble = self._busy >= BUSY_STEPS if how == "busy" else self._failed >= FAILED_STEPS
        if is_trouble and self.trouble != trouble:
            self.trouble = trouble
            _log.warning("%s", trouble)

    async def _try(self) -> tuple[str, str]:
        self.keeper.got_on = False
        try:
            async with self._open() as cashier, asyncio.timeout(self._settings.hold_s):
                await self.keeper.step(cashier)
        except TimeoutError:
            return ("cut", "") if self.keeper.got_on else ("late", _LATE)
        except HomeInUse as error:
            return "busy", str(error)
        except (UserError, PeerError) as error:
            return "failed", str(error)
        return "done", ""


def build_app(settings: AgentSettings, open_: Open) -> web.Application:
    """The operations app; its cleanup context is the agent."""
    agent = Agent(settings, open_)

    async def work(_: web.Application) -> AsyncIterator[None]:
        async with Background() as background:
            background.start(agent.run())
            yield

    def health() -> dict[str, object]:
        return {"status": agent.trouble or "ok"}

    app = operations_app(agent.metrics.registry, health)
    app.cleanup_ctx.append(work)
    return app

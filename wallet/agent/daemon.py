"""
The agent's loop: a short step at a steady pace, each with the wallet opened anew.

The home's lock is held only during a step. A step that meets a command at work waits for its turn, or leaves
it; a step that isn't done in time is cut off, as a crash would cut it off, and goes on in the next one.
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
"""So many in a row, and /healthz says why."""
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
            "Steps by how they ended: done, cut (out of time), busy (a command was at work), failed",
            ["how"],
            registry=self.registry,
        )
        self.done_s = Gauge(
            "mixmint_agent_newest_step_seconds",
            "When a step was last done, Unix time, whole minutes",
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
            self._failed, self.trouble = 0, ""
        elif how == "failed":
            self._failed += 1
            if self._failed >= FAILED_STEPS and self.trouble != trouble:
                self.trouble = trouble
                _log.warning("%s", trouble)

    async def _try(self) -> tuple[str, str]:
        try:
            async with self._open() as cashier, asyncio.timeout(self._settings.hold_s):
                await self.keeper.step(cashier)
        except TimeoutError:
            return "cut", ""
        except HomeInUse:
            return "busy", ""
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
